"""Speaking: text in a voice to a waveform, a sentence at a time."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tts_meta.audio.writing import Waveform, is_stuck, write_sound
from tts_meta.context import in_own_context, own_context
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.base import Base
from tts_meta.models.light_vocoder import Light
from tts_meta.models.manner import PLAIN, Manner
from tts_meta.models.vocoder import Vocoder

SPEECH_VERSION = 1
"""Version of how text becomes sound, with reading and vocoders. Increase it when the same voice and text would sound
other than before; the cache of the benchmark depends on it."""
SENTENCE_PAUSE = 0.25
"""Seconds of silence between sentences."""
_FIRST_CHUNK, _CHUNK = 64, 256
"""Mel frames that a streaming vocoder is given at a time: few at first, so that it is heard soon."""
_TOGETHER, _FEWEST_TOGETHER = 8, 4
"""Sentences that are predicted side by side; fewer than the second are faster one by one."""
_LOUDEST = 12.0
"""Largest log-mel that is taken for sound: full scale is below 6, and models that diverged give thousands."""
_DAMAGED = "the voice, base or vocoder is damaged, or the voice diverged; clone or copy it again"

speaking = threading.RLock()
"""Held while a thread speaks: the decoder sets torch's number of threads, and phonemizers know one caller only."""


@dataclass(frozen=True, repr=False)
class Speech:
    """A waveform `(S,)` in [-1, 1], its rate, the log-mel of each sentence `(T, M)`, and seconds spent per stage."""

    samples: Waveform
    rate: int
    mels: list[torch.Tensor]
    timings: dict[str, float] = field(default_factory=dict)
    notice: str | None = None

    def save(self, path: str | Path) -> None:
        """Write the audio in the format of the suffix, whole or not at all: `.wav`, `.flac`, `.ogg`, `.mp3`, `.opus`.

        Raises UsageError for another suffix, TtsMetaError where the file cannot be written or the sound is not finite.
        """
        write_sound(path, self.samples, self.rate)

    def __repr__(self) -> str:
        return f"Speech({self.seconds:.2f} s at {self.rate} Hz, {len(self.mels)} sentences)"

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.samples) / self.rate


def speak_text(
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    text: str,
    *,
    phonemes: bool = False,
    speaker: int = -1,
    manner: Manner = PLAIN,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Speech:
    """Speak a text of any length, split at sentences; `phonemes` says that it is written in phonemes already.

    `speaker` is an index of the base's training speakers, -1 the voice's own; `report` is told (sentences done,
    sentences in all). Threads that speak at the same time take turns. Raises TtsMetaError where there is nothing to
    speak, or where what is predicted is no sound, as of damaged weights.
    """
    with speaking, own_context(), torch.inference_mode():
        return _speak_text(base, model, vocoder, text, phonemes, speaker, manner, report)


def _speak_text(
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    text: str,
    phonemes: bool,
    speaker: int,
    manner: Manner,
    report: Callable[[int, int], None],
) -> Speech:
    _check_arguments(base, text, speaker, manner)
    timings = {"text": 0.0, "acoustic": 0.0, "vocoder": 0.0}
    began = time.perf_counter()
    tokens = [_encode(base, sentence, phonemes) for sentence in _sentences(base, text, phonemes)]
    timings["text"] = time.perf_counter() - began

    began = time.perf_counter()
    mels = [_sound_mel(mel) for mel in _predict(model, tokens, speaker, manner)]
    timings["acoustic"] = time.perf_counter() - began

    pause = np.zeros(round(SENTENCE_PAUSE * vocoder.sample_rate), dtype=np.float32)
    parts: list[Waveform] = []
    for number, mel in enumerate(mels, start=1):
        began = time.perf_counter()
        samples = _sound(vocoder(mel[None])[0])
        timings["vocoder"] += time.perf_counter() - began
        parts += [pause, samples] if parts else [samples]
        report(number, len(mels))
    return Speech(np.concatenate(parts), vocoder.sample_rate, mels, timings, vocoder.notice)


def stream_text(
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    text: str,
    *,
    phonemes: bool = False,
    speaker: int = -1,
    manner: Manner = PLAIN,
) -> Iterator[Waveform]:
    """Yield the samples of `speak_text` as they come, `(S,)` each.

    The light vocoder makes frames sound in chunks, of under a second at first, while the rest of a long sentence is yet
    to be predicted; others give a sentence whole. Arguments and errors are those of `speak_text`; a sentence that
    cannot be read is an error when its turn comes. Between two parts the caller's own settings of torch are back.
    """
    _check_arguments(base, text, speaker, manner)
    return _in_turn(in_own_context(_stream_text)(base, model, vocoder, text, phonemes, speaker, manner))


def _in_turn(parts: Iterator[Waveform]) -> Iterator[Waveform]:
    """The same parts; while one is made, no other thread speaks."""
    while True:
        with speaking:
            try:
                part = next(parts)
            except StopIteration:
                return
        yield part


def _stream_text(
    base: Base, model: AcousticModel, vocoder: Vocoder, text: str, phonemes: bool, speaker: int, manner: Manner
) -> Iterator[Waveform]:
    for number, sentence in enumerate(_sentences(base, text, phonemes)):
        if number:
            yield np.zeros(round(SENTENCE_PAUSE * vocoder.sample_rate), np.float32)
        tokens = _encode(base, sentence, phonemes)
        mels = map(_sound_mel, model.stream(tokens, speaker, _manner_of(manner, number), _CHUNK))
        made = vocoder.stream(_chunks(mels)) if isinstance(vocoder, Light) else vocoder(torch.cat(list(mels))[None])
        for samples in made:
            yield _sound(samples)


def _predict(
    model: AcousticModel, sentences: Sequence[torch.Tensor], speaker: int, manner: Manner
) -> list[torch.Tensor]:
    """Log-mels `(T, M)` of sentences `(N,)`, those of like length side by side where that is faster."""
    if len(sentences) < _FEWEST_TOGETHER or manner.variation:
        return [model.generate(one, speaker, manner=_manner_of(manner, n)) for n, one in enumerate(sentences)]
    by_length = sorted(range(len(sentences)), key=lambda number: len(sentences[number]))
    mels: dict[int, torch.Tensor] = {}
    for first in range(0, len(by_length), _TOGETHER):
        numbers = by_length[first : first + _TOGETHER]
        made = model.generate_batch([sentences[number] for number in numbers], speaker, manner)
        mels |= dict(zip(numbers, made, strict=True))
    return [mels[number] for number in range(len(sentences))]


def _chunks(mels: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same frames `(T, M)` in chunks, the first of which is small."""
    size = _FIRST_CHUNK
    for mel in mels:
        while len(mel):
            yield mel[:size]
            mel, size = mel[size:], _CHUNK


def _check_arguments(base: Base, text: object, speaker: int, manner: object) -> None:
    """Raises UsageError for what is not a text, a manner, or a training speaker of the base."""
    if not isinstance(text, str):
        raise UsageError(f"the text must be a string, not {type(text).__name__}")
    if not isinstance(manner, Manner):
        raise UsageError(f"the manner must be a Manner, such as Manner(pace=1.2), not {type(manner).__name__}")
    if not isinstance(speaker, int) or not -1 <= speaker < len(base.speakers):
        raise UsageError(f"the base has {len(base.speakers)} training speakers, numbered from 0; {speaker} is none")


def _sound_mel(mel: torch.Tensor) -> torch.Tensor:
    """The same log-mel `(T, M)`. Raises TtsMetaError where it is not finite or louder than any sound."""
    if not mel.isfinite().all() or (mel > _LOUDEST).any():
        raise TtsMetaError(f"what is predicted is no sound: {_DAMAGED}")
    return mel


def _sound(samples: torch.Tensor) -> Waveform:
    """Samples `(S,)` of a vocoder. Raises TtsMetaError where they are not finite or stuck at full scale."""
    made = samples.float().cpu().numpy()
    if not np.isfinite(made).all() or is_stuck(made):
        raise TtsMetaError(f"the vocoder gives no sound: {_DAMAGED}")
    return made


def _manner_of(manner: Manner, number: int) -> Manner:
    """Each sentence draws its own variation."""
    return dataclasses.replace(manner, seed=manner.seed + number)


def _encode(base: Base, sentence: str, phonemes: bool) -> torch.Tensor:
    return base.symbols.encode(sentence if phonemes else base.phonemizer.phonemize(sentence), sentence)


def _sentences(base: Base, text: str, phonemes: bool) -> list[str]:
    """Sentences that hold a letter or digit; a lone `...` between sentences is a pause, not a fault."""
    sentences = [line for line in text.splitlines() if line.strip()] if phonemes else base.phonemizer.sentences(text)
    spoken = [sentence for sentence in sentences if any(character.isalnum() for character in sentence)]
    if not spoken:
        shown = " ".join(text.split())[:60]
        raise TtsMetaError(f'nothing to speak in "{shown}"; give at least one word')
    return spoken
