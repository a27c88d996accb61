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

from tts_meta.audio.writing import Waveform, is_saturated, write_audio
from tts_meta.context import default_torch_state, default_torch_state_per_item, limit_primitive_cache
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels
from tts_meta.text import Utterance, phoneme_utterances, utterances
from tts_meta.text.normalize import omitted_emoji

SPEECH_VERSION = 2
"""Version of how text becomes sound, with reading and vocoders. Increase it when the same voice and text would sound
other than before; the cache of the benchmark depends on it."""
_FIRST_CHUNK, _CHUNK = 64, 256
"""Mel frames that a streaming vocoder is given at a time: few at first, so that it is heard soon."""
_TOGETHER, _FEWEST_TOGETHER = 8, 4
"""Sentences that are predicted side by side; fewer than the second are faster one by one."""

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
        write_audio(path, self.samples, self.rate)

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
    options: SynthesisOptions = DEFAULT,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Speech:
    """Speak a text of any length, split at sentences; `phonemes` says that it is written in phonemes already.

    Long sentences are spoken in pieces, so that memory does not grow with their length. `<break time="500ms"/>` in the
    text is silence.

    `speaker` is an index of the base's training speakers, -1 the voice's own; `report` is told (sentences done,
    sentences in all). Threads that speak at the same time take turns. Raises TtsMetaError where there is nothing to
    speak, where the vocoder takes other mels than the base gives, or where what is predicted is no sound, as of damaged
    weights.
    """
    with speaking, default_torch_state(), torch.inference_mode():
        limit_primitive_cache()
        return _speak_text(base, model, vocoder, text, phonemes, speaker, options, report)


def _speak_text(
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    text: str,
    phonemes: bool,
    speaker: int,
    options: SynthesisOptions,
    report: Callable[[int, int], None],
) -> Speech:
    _check_arguments(base, vocoder, text, speaker, options)
    timings = {"text": 0.0, "acoustic": 0.0, "vocoder": 0.0}
    began = time.perf_counter()
    spoken = list(_utterances(base, text, phonemes))
    tokens = [_encode(base, utterance) for utterance in spoken if utterance.text]
    timings["text"] = time.perf_counter() - began

    began = time.perf_counter()
    mels = _predict(model, tokens, speaker, options)
    timings["acoustic"] = time.perf_counter() - began

    parts: list[Waveform] = []
    waiting = iter(mels)
    done = 0
    for utterance in spoken:
        if utterance.text:
            began = time.perf_counter()
            parts.append(_sound(vocoder(next(waiting)[None])[0]))
            timings["vocoder"] += time.perf_counter() - began
            done += 1
            report(done, len(mels))
        parts.append(_silence(utterance.pause, vocoder.sample_rate))
    return Speech(_joined(parts), vocoder.sample_rate, mels, timings, notice_of(vocoder, text, phonemes))


def notice_of(vocoder: Vocoder, text: str, phonemes: bool = False) -> str | None:
    """One line on what the user may not expect: another vocoder, characters that are not spoken; None for neither."""
    notices = [vocoder.notice, None if phonemes else omitted_emoji(text)]
    return "; ".join(notice for notice in notices if notice) or None


def stream_text(
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    text: str,
    *,
    phonemes: bool = False,
    speaker: int = -1,
    options: SynthesisOptions = DEFAULT,
) -> Iterator[Waveform]:
    """Yield the samples of `speak_text` as they come, `(S,)` each.

    The light vocoder makes frames sound in chunks, of under a second at first, while the rest of a long sentence is yet
    to be predicted; others give a sentence whole. Arguments and errors are those of `speak_text`; a sentence that
    cannot be read is an error when its turn comes. Between two parts the caller's own settings of torch are back.
    """
    _check_arguments(base, vocoder, text, speaker, options)
    return _in_turn(default_torch_state_per_item(_stream_text)(base, model, vocoder, text, phonemes, speaker, options))


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
    base: Base,
    model: AcousticModel,
    vocoder: Vocoder,
    text: str,
    phonemes: bool,
    speaker: int,
    options: SynthesisOptions,
) -> Iterator[Waveform]:
    limit_primitive_cache()
    number = 0
    for utterance in _utterances(base, text, phonemes):
        if utterance.text:
            tokens = _encode(base, utterance)
            mels = model.stream(tokens, speaker, _manner_of(options, number), _CHUNK)
            made = (
                vocoder.stream(_chunks(mels))
                if isinstance(vocoder, SourceFilterVocoder)
                else vocoder(torch.cat(list(mels))[None])
            )
            for samples in made:
                yield _sound(samples)
            number += 1
        if utterance.pause:
            yield _silence(utterance.pause, vocoder.sample_rate)


def _predict(
    model: AcousticModel, sentences: Sequence[torch.Tensor], speaker: int, options: SynthesisOptions
) -> list[torch.Tensor]:
    """Log-mels `(T, M)` of sentences `(N,)`, those of like length side by side where that is faster."""
    if len(sentences) < _FEWEST_TOGETHER or options.prenet_dropout:
        return [model.generate(one, speaker, options=_manner_of(options, n)) for n, one in enumerate(sentences)]
    by_length = sorted(range(len(sentences)), key=lambda number: len(sentences[number]))
    mels: dict[int, torch.Tensor] = {}
    for first in range(0, len(by_length), _TOGETHER):
        numbers = by_length[first : first + _TOGETHER]
        made = model.generate_batch([sentences[number] for number in numbers], speaker, options)
        mels |= dict(zip(numbers, made, strict=True))
    return [mels[number] for number in range(len(sentences))]


def _chunks(mels: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The same frames `(T, M)` in chunks, the first of which is small."""
    size = _FIRST_CHUNK
    for mel in mels:
        while len(mel):
            yield mel[:size]
            mel, size = mel[size:], _CHUNK


def _check_arguments(base: Base, vocoder: Vocoder, text: object, speaker: int, options: object) -> None:
    """Raises UsageError for what is not a text, a manner, or a training speaker of the base.

    Raises TtsMetaError for a vocoder that takes other mels than the base gives.
    """
    check_mels(vocoder, base.config.audio.mel)
    if not isinstance(text, str):
        raise UsageError(f"the text must be a string, not {type(text).__name__}")
    if not isinstance(options, SynthesisOptions):
        raise UsageError(
            f"options must be SynthesisOptions, such as SynthesisOptions(speed=1.2), not {type(options).__name__}"
        )
    if not isinstance(speaker, int) or not -1 <= speaker < len(base.speakers):
        raise UsageError(f"the base has {len(base.speakers)} training speakers, numbered from 0; {speaker} is none")


def _sound(samples: torch.Tensor) -> Waveform:
    """Samples `(S,)` of a vocoder. Raises TtsMetaError where they are not finite or stuck at full scale."""
    made = samples.float().cpu().numpy()
    if not np.isfinite(made).all() or is_saturated(made):
        raise TtsMetaError("the vocoder gives no sound: it or the voice is damaged or diverged; clone or copy it again")
    return made


def _manner_of(options: SynthesisOptions, number: int) -> SynthesisOptions:
    """Each sentence draws its own variation."""
    return dataclasses.replace(options, seed=options.seed + number)


def _utterances(base: Base, text: str, phonemes: bool) -> Iterator[Utterance]:
    return phoneme_utterances(text) if phonemes else utterances(base.phonemizer, text, base.lexicon)


def _encode(base: Base, utterance: Utterance) -> torch.Tensor:
    return base.symbols.encode(utterance.phonemes, utterance.text)


def _silence(seconds: float, rate: int) -> Waveform:
    return np.zeros(round(seconds * rate), np.float32)


def _joined(parts: list[Waveform]) -> Waveform:
    """The parts one after the other; each is released once it is copied, so that the sound is held once."""
    whole = np.empty(sum(map(len, parts)), np.float32)
    at = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        whole[at : at + len(part)] = part
        at += len(part)
    return whole
