"""A base's aligner at work on recordings, and faults planted in transcripts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.signal import correlate
from torch import Tensor

from recipes.librispeech_mini.alignment_speech import plain_words
from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.audio.io import Waveform
from tts_meta.corpus import Example, Utterance
from tts_meta.evaluate.alignment import Compared, Word, compare, words_from_symbols
from tts_meta.models.pretrained import Base

FAULTS = (
    "none",
    "another sentence",
    "another, nearest in length",
    "three words missing",
    "a word missing",
    "a word added",
    "a word replaced",
    "recording ends 1 s early",
)
STRETCH, PHONES = 25, 4
"""Frames (0.29 s, about a word) and phones of the stretch that fits worst."""


@dataclass(frozen=True)
class Heard:
    """A recording as the aligner gets it: trimmed waveform, its log-mel `(T, M)`, and where it starts, seconds."""

    waveform: Waveform
    mel: Tensor
    start: float


@dataclass(frozen=True)
class Fit:
    """How well a transcript fits, mean log-probabilities: what the pipeline judges by, and two local measures."""

    score: float
    stretch: float
    """Over the `STRETCH` frames that fit worst, pauses counted too."""
    phones: float
    """Over the `PHONES` phones in a row that fit worst, each phone counted once."""


class Measurer:
    """A base on waveforms and recordings; times are those of the recording before it was trimmed."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.rate = base.config.audio.mel.sample_rate
        self.frame = base.config.audio.mel.frame_seconds
        self._mel_spec = MelSpec(base.config.audio.mel)
        self._heard: dict[str, Heard] = {}
        self._phonemes: dict[str, str] = {}

    def hear(self, utterance: Utterance) -> Heard:
        """What the pipeline makes of a recording."""
        if utterance.id not in self._heard:
            self._heard[utterance.id] = self.prepare(read_audio(utterance.audio, self.rate))
        return self._heard[utterance.id]

    def prepare(self, samples: Waveform) -> Heard:
        """What the pipeline makes of samples `(S,)`."""
        trimmed = prepare_waveform(samples, self.base.config.audio)
        # The trimmed waveform is a part of the whole one but for a factor: nowhere do they agree better.
        start = int(correlate(samples, trimmed, "valid", "fft").argmax())
        return Heard(trimmed, self.mel(trimmed), start / self.rate)

    def mel(self, waveform: Waveform) -> Tensor:
        """Log-mel `(T, M)` of samples `(S,)` as they are."""
        with torch.inference_mode():
            return self._mel_spec(torch.from_numpy(waveform)[None])[0].clone()

    def words(self, mel: Tensor, text: str, start: float = 0.0) -> list[Word]:
        """The words of a text whose first frame is at `start`, as they are aligned."""
        durations = self.base.aligner.align(mel, self._tokens(text), self.base.kinds).durations
        return words_from_symbols(self._phonemes[text], durations.tolist(), self.frame, start)

    def said(self, utterance: Utterance) -> list[Word]:
        """The words of a recording."""
        heard = self.hear(utterance)
        return self.words(heard.mel, utterance.text, heard.start)

    def _tokens(self, text: str) -> Tensor:
        if text not in self._phonemes:
            self._phonemes[text] = self.base.phonemizer.phonemize(text)
        return self.base.symbols.encode(self._phonemes[text], text)

    def _log_probs(self, mel: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.base.aligner(mel[None], torch.tensor([len(mel)]))[0].clone()

    def example(self, id: str, speaker: str, mel: Tensor, text: str) -> Example:
        """What training would be given of a recording that is said to say `text`."""
        tokens = self._tokens(text)
        return Example(id, speaker, tokens, torch.zeros_like(tokens), mel)

    def fit(self, example: Example) -> Fit:
        """How well a transcript fits its recording. Raises as `Aligner.align`."""
        mel, tokens, kinds = example.mel, example.tokens, self.base.kinds
        alignment = self.base.aligner.align(mel, tokens, kinds, example.id)
        places = torch.arange(len(tokens)).repeat_interleave(alignment.durations)
        along = self._log_probs(mel).gather(1, tokens[places][:, None])[:, 0]
        stretch = along.unfold(0, min(STRETCH, len(along)), 1).mean(1).min()
        phones = torch.zeros(len(tokens)).index_add(0, places, along) / alignment.durations.clamp(min=1)
        phones = phones[~kinds.silent[tokens]]
        few = phones.unfold(0, min(PHONES, len(phones)), 1).mean(1).min()
        return Fit(alignment.score, float(stretch), float(few))


def spliced(measurer: Measurer, utterances: Sequence[Utterance]) -> tuple[list[str], list[float], list[Compared]]:
    """Each two neighbouring sentences of a speaker as one: speakers, how far each join lies outside the pause found
    there, in seconds, and the words of the whole compared with those of each part alone.
    """
    who, off, compared = [], [], []
    for first, second in pairwise(utterances):
        if first.speaker != second.speaker:
            continue
        its, after = measurer.hear(first), measurer.hear(second)
        join = len(its.waveform) / measurer.rate
        alone = measurer.words(its.mel, first.text)
        left = len(alone)
        alone += measurer.words(after.mel, second.text, join)
        mel = measurer.mel(np.concatenate([its.waveform, after.waveform]))
        words = measurer.words(mel, f"{first.text.rstrip('.,;:')}. {second.text}")
        if len(words) == len(alone):
            who.append(first.speaker)
            off.append(max(words[left - 1][-1].end - join, join - words[left][0].start, 0.0))
            compared.append(Compared(second.id, second.speaker, tuple(compare(words, alone))))
    return who, off, compared


def plant(
    fault: str, number: int, utterances: Sequence[Utterance], mel: Tensor, frame: float
) -> tuple[Tensor, str] | None:
    """Log-mel and transcript of an utterance with the fault in one of them; None where it is too short for it."""
    utterance = utterances[number]
    dice = random.Random(f"{fault}/{utterance.id}")
    others = [one for one in utterances if one.speaker == utterance.speaker and one.text != utterance.text]
    if fault == "none":
        return mel, utterance.text
    if fault == "another sentence":
        return mel, dice.choice(others).text
    if fault == "another, nearest in length":
        return mel, min(others, key=lambda one: (abs(len(one.text) - len(utterance.text)), one.id)).text
    if fault == "recording ends 1 s early":
        return (mel[: -round(1 / frame)], utterance.text) if utterance.seconds > 3 else None
    words = utterance.text.split()
    if len(words) < 5:
        return None
    place = dice.randrange(1, len(words) - 3)
    stray = dice.choice([word for one in others for word in plain_words(one.text) if len(word) > 3])
    changed = {
        "three words missing": [*words[:place], *words[place + 3 :]],
        "a word missing": [*words[:place], *words[place + 1 :]],
        "a word added": [*words[:place], stray, *words[place:]],
        "a word replaced": [*words[:place], stray, *words[place + 1 :]],
    }
    return mel, " ".join(changed[fault])
