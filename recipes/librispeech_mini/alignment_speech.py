"""Alignments from outside: pocketsphinx's of a recording, and eSpeak's own, which is the truth of what it says.

Both are tools of the measurement in `alignment.py`, installed by `pip install '.[alignment,multilingual]'`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr

from tts_meta.audio.io import Waveform
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.alignment import Phone, Word, merge_rhotics

_RATE, _HOP, _WINDOW = 16_000, 160, 410
# Frame i is the window that starts at sample i * _HOP; the point between the middles of two neighbours is this much
# after the later one's first sample.
_MIDDLE = (_WINDOW - _HOP) / 2 / _RATE

_IPA = {
    "iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH AH", "eɪ": "EY", "ɛ": "EH", "æ": "AE", "a": "AE", "ɑː": "AA",
    "ɔː": "AO", "ɔ": "AO", "oː": "AO", "oʊ": "OW", "ʊ": "UH", "uː": "UW", "ʌ": "AH", "ə": "AH", "ɐ": "AH",
    "ɜː": "ER", "ɚ": "ER", "aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "b": "B", "d": "D", "f": "F", "ɡ": "G", "h": "HH",
    "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "s": "S", "ʃ": "SH", "t": "T",
    "tʃ": "CH", "dʒ": "JH", "θ": "TH", "ð": "DH", "v": "V", "w": "W", "z": "Z", "ʒ": "ZH", "ɾ": "D T", "ʔ": "T",
}  # fmt: skip
"""eSpeak's American phones as those of the CMU dictionary; of one such as `ɔːɹ` the first part counts."""


def plain_words(text: str) -> list[str]:
    """The words of a text as a pronouncing dictionary lists them."""
    return re.findall(r"[a-z']*[a-z][a-z']*", text.lower().replace("’", "'"))


class Pocketsphinx:
    """Forced alignment by pocketsphinx 5.1.1 with the American model and dictionary that it comes with."""

    def __init__(self) -> None:
        if importlib.util.find_spec("pocketsphinx") is None:
            raise TtsMetaError("pocketsphinx is not installed; install it with: pip install '.[alignment]'")
        # Its best path through the lattice leaves phones too few frames: a fifth of the sentences fail in the second
        # pass (github.com/cmusphinx/pocketsphinx, pull request 500).
        decoder = importlib.import_module("pocketsphinx").Decoder
        wide = {"beam": 1e-100, "pbeam": 1e-100, "wbeam": 1e-100}
        self._decoder: Any = decoder(lm=None, loglevel="FATAL", bestpath=False, **wide)

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that its dictionary lacks."""
        return [word for word in words if self._decoder.lookup_word(word) is None]

    def align(self, samples: Waveform, rate: int, words: Sequence[str]) -> list[Word] | None:
        """The words of a recording `(S,)` with their phones; None where no path was found."""
        samples = samples if rate == _RATE else soxr.resample(samples, rate, _RATE)
        sound = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(" ".join(words))
            self._pass(sound)
            self._decoder.set_alignment()
            self._pass(sound)
        except RuntimeError:
            return None
        found: list[Word] = []
        for entry in self._decoder.get_alignment():
            # What the entries point to does not outlive the loop.
            phones = [(phone.name, phone.start, phone.start + phone.duration) for phone in entry]
            if entry.name[0] not in "<[":
                found.append(
                    merge_rhotics(
                        [
                            Phone(frozenset({name}), self._seconds(start), self._seconds(end))
                            for name, start, end in phones
                        ]
                    )
                )
        return found if len(found) == len(words) else None

    def _pass(self, sound: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()

    @staticmethod
    def _seconds(frame: int) -> float:
        return frame * _HOP / _RATE + _MIDDLE


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
"""Seconds of silence on both sides of what eSpeak says, which begins with its first sample."""
_NOISE = 3e-4
"""Root mean square of the noise under it: recognisers are at a loss in digital silence."""


class Espeak:
    """eSpeak NG, an American voice: speech, and from which sample on each phone sounds (`speak_lib.h`)."""

    def __init__(self) -> None:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise TtsMetaError("eSpeak is not installed; install it with: pip install '.[multilingual]'")
        loader = importlib.import_module("espeakng_loader")
        self._library = ctypes.CDLL(loader.get_library_path())
        data = loader.get_data_path().encode()
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEMES_IN_IPA)
        self._library.espeak_SetVoiceByName(b"en-us")

    def speak(self, text: str) -> tuple[Waveform, list[Word]]:
        """The waveform `(S,)` of a text and its words with their phones."""
        sound: list[bytes] = []
        events: list[tuple[int, int, int, str]] = []

        def receive(samples: Any, count: int, found: Any) -> int:
            if count > 0:
                sound.append(ctypes.string_at(samples, 2 * count))
            place = 0
            while found[place].type != _LIST_END:
                event = found[place]
                name = event.id.string.decode(errors="ignore") if event.type == _PHONEME else ""
                events.append((event.type, event.text_position, event.sample, name))
                place += 1
            return 0

        callback = _Callback(receive)
        self._library.espeak_SetSynthCallback(callback)
        written = text.encode()
        self._library.espeak_Synth(written, len(written) + 1, 0, 0, 0, 1, None, None)
        self._library.espeak_Synchronize()
        samples = np.frombuffer(b"".join(sound), dtype="<i2").astype(np.float32) / 32768
        samples = np.pad(samples, round(_PAD * self.rate))
        noise = np.random.default_rng(len(samples)).normal(0.0, _NOISE, len(samples))
        return (samples + noise).astype(np.float32), self._words(events)

    def _words(self, events: Sequence[tuple[int, int, int, str]]) -> list[Word]:
        # A phone lasts until the next one or a pause (a phone without name). The mark of a word stands before the short
        # pause that may precede its first phone; where it stands before the phone's own start, there is none.
        words: dict[int, list[Phone]] = {}
        marks = [event for event in events if event[0] in (_WORD, _PHONEME)]
        for place, (kind, position, sample, name) in enumerate(marks[:-1]):
            if kind == _PHONEME and name:
                following = next(mark for mark in marks[place + 1 :] if mark[0] == _PHONEME or mark[2] > sample)
                start, end = (_PAD + at / self.rate for at in (sample, following[2]))
                words.setdefault(position, []).append(Phone(_names(name), start, end))
        return [merge_rhotics(word) for word in words.values()]


def _names(ipa: str) -> frozenset[str]:
    plain = ipa.lstrip("ˈˌ")
    for length in (2, 1):
        if plain[:length] in _IPA:
            return frozenset(_IPA[plain[:length]].split())
    return frozenset()
