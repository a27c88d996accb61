"""Forced alignment by pocketsphinx 5.1.1, as a reference: `pip install '.[alignment]'`."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr

from recipes.librispeech_mini.alignment_boundaries import Phone, Word, merge_rhotics
from tts_meta.audio.io import Waveform
from tts_meta.errors import TtsMetaError

_RATE, _HOP, _WINDOW = 16_000, 160, 410
# Frame i is the window that starts at sample i * _HOP. The point between the middles of two consecutive windows is this
# many seconds after the first sample of the later one.
_MIDDLE = (_WINDOW - _HOP) / 2 / _RATE


def dictionary_words(text: str) -> list[str]:
    """The words of a text, written as in a pronouncing dictionary."""
    return re.findall(r"[a-z']*[a-z][a-z']*", text.lower().replace("’", "'"))


class PocketsphinxAligner:
    """Forced alignment with the American model and dictionary that pocketsphinx includes."""

    def __init__(self) -> None:
        if importlib.util.find_spec("pocketsphinx") is None:
            raise TtsMetaError("pocketsphinx is not installed; pip install '.[alignment]'")
        # With bestpath the lattice leaves phones too few frames: the second pass fails for a fifth of the sentences
        # (github.com/cmusphinx/pocketsphinx, pull request 500).
        decoder = importlib.import_module("pocketsphinx").Decoder
        wide_beams = {"beam": 1e-100, "pbeam": 1e-100, "wbeam": 1e-100}
        self._decoder: Any = decoder(lm=None, loglevel="FATAL", bestpath=False, **wide_beams)

    def missing_words(self, words: Sequence[str]) -> list[str]:
        """The words that are not in its dictionary."""
        return [word for word in words if self._decoder.lookup_word(word) is None]

    def align(self, samples: Waveform, rate: int, words: Sequence[str]) -> list[Word] | None:
        """The words of a recording `(S,)` with their phones; None if the decoder finds no path."""
        samples = samples if rate == _RATE else soxr.resample(samples, rate, _RATE)
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        try:
            self._decoder.set_align_text(" ".join(words))
            self._decode(pcm)
            self._decoder.set_alignment()
            self._decode(pcm)
        except RuntimeError:
            return None
        aligned: list[Word] = []
        for entry in self._decoder.get_alignment():
            # Copied here, because the entries are valid inside the loop only.
            phones = [(phone.name, phone.start, phone.start + phone.duration) for phone in entry]
            if entry.name[0] not in "<[":
                aligned.append(
                    merge_rhotics(
                        [
                            Phone(frozenset({name}), self._seconds(start), self._seconds(end))
                            for name, start, end in phones
                        ]
                    )
                )
        return aligned if len(aligned) == len(words) else None

    def _decode(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()

    @staticmethod
    def _seconds(frame: int) -> float:
        return frame * _HOP / _RATE + _MIDDLE
