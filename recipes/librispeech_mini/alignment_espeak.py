"""Speech of eSpeak with the true times of its phones: `pip install '.[multilingual]'`."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.librispeech_mini.alignment_boundaries import Phone, Word, merge_rhotics
from tts_meta.audio.io import Waveform
from tts_meta.errors import TtsMetaError

_IPA = {
    "iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH AH", "eɪ": "EY", "ɛ": "EH", "æ": "AE", "a": "AE", "ɑː": "AA",
    "ɔː": "AO", "ɔ": "AO", "oː": "AO", "oʊ": "OW", "ʊ": "UH", "uː": "UW", "ʌ": "AH", "ə": "AH", "ɐ": "AH",
    "ɜː": "ER", "ɚ": "ER", "aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "b": "B", "d": "D", "f": "F", "ɡ": "G", "h": "HH",
    "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "s": "S", "ʃ": "SH", "t": "T",
    "tʃ": "CH", "dʒ": "JH", "θ": "TH", "ð": "DH", "v": "V", "w": "W", "z": "Z", "ʒ": "ZH", "ɾ": "D T", "ʔ": "T",
}  # fmt: skip
"""Phones of the CMU dictionary for eSpeak's American phones. For one such as `ɔːɹ` the first part counts."""


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_SYNCHRONOUS, _PHONEMES_IN_IPA = 2, 3
_LIST_END, _WORD, _PHONEME = 0, 1, 7
_PAD = 0.25
"""Seconds of silence before and after the speech. The speech of eSpeak begins at its first sample."""
_NOISE = 3e-4
"""Root mean square of noise that is added, because recognisers fail in digital silence."""


class EspeakSpeaker:
    """eSpeak NG: speech, and the sample at which each phone starts (`speak_lib.h`).

    voice: the language, and a variant such as `+f2` for another speaker; the phones are those of American English.
    """

    def __init__(self, voice: str = "en-us") -> None:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise TtsMetaError("eSpeak is not installed; install it with: pip install '.[multilingual]'")
        loader = importlib.import_module("espeakng_loader")
        self._library = ctypes.CDLL(loader.get_library_path())
        data = loader.get_data_path().encode()
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEMES_IN_IPA)
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise TtsMetaError(f"eSpeak has no voice '{voice}'; use one such as en-us or de+f2")

    def speak(self, text: str) -> tuple[Waveform, list[Word]]:
        """The waveform `(S,)` of a text and its words with their phones."""
        parts: list[bytes] = []
        events: list[tuple[int, int, int, str]] = []

        def receive(samples: Any, count: int, new_events: Any) -> int:
            if count > 0:
                parts.append(ctypes.string_at(samples, 2 * count))
            index = 0
            while new_events[index].type != _LIST_END:
                event = new_events[index]
                name = event.id.string.decode(errors="ignore") if event.type == _PHONEME else ""
                events.append((event.type, event.text_position, event.sample, name))
                index += 1
            return 0

        callback = _Callback(receive)
        self._library.espeak_SetSynthCallback(callback)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, 1, None, None)
        self._library.espeak_Synchronize()
        self._library.espeak_SetSynthCallback(None)  # the library must not keep the address of a freed function
        samples = np.frombuffer(b"".join(parts), dtype="<i2").astype(np.float32) / 32768
        samples = np.pad(samples, round(_PAD * self.rate))
        noise = np.random.default_rng(len(samples)).normal(0.0, _NOISE, len(samples))
        return (samples + noise).astype(np.float32), self._words(events)

    def _words(self, events: Sequence[tuple[int, int, int, str]]) -> list[Word]:
        # A phone ends at the next phone or pause (a phone without a name). The event of a word comes before the short
        # pause that may precede its first phone. An event at the start of a phone means that there is no pause.
        words: dict[int, list[Phone]] = {}
        marks = [event for event in events if event[0] in (_WORD, _PHONEME)]
        for index, (kind, position, sample, name) in enumerate(marks[:-1]):
            if kind == _PHONEME and name:
                following = next(mark for mark in marks[index + 1 :] if mark[0] == _PHONEME or mark[2] > sample)
                start, end = (_PAD + time / self.rate for time in (sample, following[2]))
                words.setdefault(position, []).append(Phone(_names(name), start, end))
        return [merge_rhotics(word) for word in words.values()]


def _names(ipa: str) -> frozenset[str]:
    unstressed = ipa.lstrip("ˈˌ")
    for length in (2, 1):
        if unstressed[:length] in _IPA:
            return frozenset(_IPA[unstressed[:length]].split())
    return frozenset()
