"""The aligner of a base on recordings: the times of words, and how well a transcript fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from scipy.signal import correlate
from torch import Tensor

from recipes.librispeech_mini.alignment_boundaries import (
    ComparedSentence,
    Word,
    compare_alignments,
    words_from_symbols,
)
from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.audio.io import Waveform
from tts_meta.corpus import Example, Utterance
from tts_meta.models.pretrained import Base

STRETCH_FRAMES, STRETCH_PHONES = 25, 4
"""Length of the stretch that fits worst: in frames (0.29 s, about a word), and in phones."""


@dataclass(frozen=True)
class PreparedRecording:
    """The input of the aligner: trimmed waveform `(S,)`, its log-mel `(T, M)`, and its start in the file, seconds."""

    waveform: Waveform
    mel: Tensor
    start: float


@dataclass(frozen=True)
class TranscriptFit:
    """How well a transcript fits, as mean log-probabilities."""

    mean_score: float
    """Over the whole sentence; the checks of training and `clone` use it."""
    worst_stretch: float
    """Over the `STRETCH_FRAMES` consecutive frames that fit worst, pauses included."""
    worst_phones: float
    """Over the `STRETCH_PHONES` consecutive phones that fit worst, each phone with the same weight."""


@dataclass(frozen=True)
class JoinedSentences:
    """Pairs of consecutive sentences of a speaker, each pair joined to one recording. One entry per pair."""

    speakers: list[str] = field(default_factory=list)
    seconds_outside: list[float] = field(default_factory=list)
    """Distance of the join from the pause that the aligner finds there; 0 inside the pause."""
    comparisons: list[ComparedSentence] = field(default_factory=list)
    """The words of the joined recording compared with those of the two single recordings."""


class BaseAligner:
    """The aligner of a base, for waveforms and recordings. Times count from the start of the untrimmed recording."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.rate = base.config.audio.mel.sample_rate
        self.frame = base.config.audio.mel.frame_seconds
        self._mel_spec = MelSpec(base.config.audio.mel)
        self._prepared: dict[str, PreparedRecording] = {}
        self._phonemes: dict[str, str] = {}

    def recording(self, utterance: Utterance) -> PreparedRecording:
        """The recording of an utterance, prepared as in training."""
        if utterance.id not in self._prepared:
            self._prepared[utterance.id] = self.prepare(read_audio(utterance.source, self.rate))
        return self._prepared[utterance.id]

    def prepare(self, samples: Waveform) -> PreparedRecording:
        """Samples `(S,)`, prepared as in training."""
        trimmed = prepare_waveform(samples, self.base.config.audio)
        # The trimmed waveform is a part of the samples times a factor, so the correlation is largest at its start.
        start = int(correlate(samples, trimmed, "valid", "fft").argmax())
        return PreparedRecording(trimmed, self.mel(trimmed), start / self.rate)

    def mel(self, waveform: Waveform) -> Tensor:
        """Log-mel `(T, M)` of samples `(S,)` without any preparation."""
        with torch.inference_mode():
            return self._mel_spec(torch.from_numpy(waveform)[None])[0].clone()

    def words(self, mel: Tensor, text: str, start: float = 0.0) -> list[Word]:
        """The aligned words of a text. `start`: time of the first frame, seconds."""
        durations = self.base.aligner.align(mel, self._tokens(text), self.base.kinds).durations
        return words_from_symbols(self._phonemes[text], durations.tolist(), self.frame, start)

    def words_of(self, utterance: Utterance) -> list[Word]:
        """The aligned words of a recording."""
        prepared = self.recording(utterance)
        return self.words(prepared.mel, utterance.text, prepared.start)

    def example(self, id: str, speaker: str, mel: Tensor, text: str) -> Example:
        """A training example of a log-mel with the transcript `text`."""
        tokens = self._tokens(text)
        return Example(id, speaker, tokens, torch.zeros_like(tokens), mel)

    def fit(self, example: Example) -> TranscriptFit:
        """How well the transcript of an example fits its mel. Raises the errors of `Aligner.align`."""
        mel, tokens, kinds = example.mel, example.tokens, self.base.kinds
        alignment = self.base.aligner.align(mel, tokens, kinds, example.id)
        token_of_frame = torch.arange(len(tokens)).repeat_interleave(alignment.durations)
        per_frame = self._log_probs(mel).gather(1, tokens[token_of_frame][:, None])[:, 0]
        worst_stretch = per_frame.unfold(0, min(STRETCH_FRAMES, len(per_frame)), 1).mean(1).min()
        per_token = torch.zeros(len(tokens)).index_add(0, token_of_frame, per_frame)
        per_phone = (per_token / alignment.durations.clamp(min=1))[~kinds.silent[tokens]]
        worst_phones = per_phone.unfold(0, min(STRETCH_PHONES, len(per_phone)), 1).mean(1).min()
        return TranscriptFit(alignment.score, float(worst_stretch), float(worst_phones))

    def _tokens(self, text: str) -> Tensor:
        if text not in self._phonemes:
            self._phonemes[text] = self.base.phonemizer.phonemize(text)
        return self.base.symbols.encode(self._phonemes[text], text)

    def _log_probs(self, mel: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.base.aligner(mel[None], torch.tensor([len(mel)]))[0].clone()


def join_sentences(aligner: BaseAligner, utterances: Sequence[Utterance]) -> JoinedSentences:
    """Join each two consecutive sentences of a speaker to one recording, and align it and its parts."""
    joined = JoinedSentences()
    for first, second in pairwise(utterances):
        if first.speaker != second.speaker:
            continue
        recordings = aligner.recording(first), aligner.recording(second)
        join = len(recordings[0].waveform) / aligner.rate
        first_words = aligner.words(recordings[0].mel, first.text)
        separate_words = first_words + aligner.words(recordings[1].mel, second.text, join)
        mel = aligner.mel(np.concatenate([recording.waveform for recording in recordings]))
        words = aligner.words(mel, f"{first.text.rstrip('.,;:')}. {second.text}")
        if len(words) == len(separate_words):
            pause_start, pause_end = words[len(first_words) - 1][-1].end, words[len(first_words)][0].start
            joined.speakers.append(first.speaker)
            joined.seconds_outside.append(max(pause_start - join, join - pause_end, 0.0))
            boundaries = tuple(compare_alignments(words, separate_words))
            joined.comparisons.append(ComparedSentence(second.id, second.speaker, boundaries))
    return joined
