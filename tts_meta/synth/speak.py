"""`speak_text` and `stream_text`: turn text into a waveform, sentence by sentence."""

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
from tts_meta.text.language_guess import language_notice
from tts_meta.text.normalize import omitted_emoji

SPEECH_VERSION = 2
"""Version of synthesis, including text processing and vocoders.

Increase this version when the same voice and text would give other audio. The cache of the benchmark depends on this
version.
"""
_FIRST_CHUNK, _CHUNK = 64, 256
"""Mel frames in the first call and in later calls of a streaming vocoder.

The first call has few frames, so that playback can begin soon.
"""
_BATCH_SIZE, _MIN_BATCH_SIZE = 8, 4
"""Largest and smallest number of sentences in a batch. Fewer sentences are predicted faster one by one."""

speaking = threading.RLock()
"""The lock of the thread that speaks.

The decoder sets torch's number of threads, and phonemizers are not thread-safe.
"""


@dataclass(frozen=True, repr=False)
class Speech:
    """Synthesised audio: samples `(S,)` in [-1, 1] at `rate` Hz, with the log-mel `(T, M)` of each sentence.

    The log-mels are on the CPU. timings: seconds of computation per stage. notice: a line for the user, see
    `notice_of`.
    """

    samples: Waveform
    rate: int
    mels: list[torch.Tensor]
    timings: dict[str, float] = field(default_factory=dict)
    notice: str | None = None

    def save(self, path: str | Path) -> None:
        """Write the audio in the format of the suffix: `.wav`, `.flac`, `.ogg`, `.mp3` or `.opus`.

        A failure leaves no partial file. Raises UsageError for another suffix. Raises TtsMetaError if the file
        cannot be written or a sample is not finite.
        """
        write_audio(path, self.samples, self.rate)

    def __repr__(self) -> str:
        return f"Speech({self.seconds:.2f} s at {self.rate} Hz, {len(self.mels)} sentences)"

    @property
    def seconds(self) -> float:
        """Duration of the audio in seconds."""
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
    """Speak a text of any length, which is split into sentences.

    Long sentences are spoken in parts, so that memory does not grow with their length. `<break time="500ms"/>` in
    the text is silence. phonemes: the text consists of phonemes. speaker: index of a training speaker of the base;
    -1 is the voice of `model`. report: called with the number of sentences done and the total. If several threads
    speak at the same time, they take turns. Raises TtsMetaError if the text contains nothing to speak, the vocoder
    takes other mels than the base produces, or the prediction is not audio, for example with damaged weights.
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
    start = time.perf_counter()
    spoken = list(_utterances(base, text, phonemes))
    tokens = [_encode(base, utterance) for utterance in spoken if utterance.text]
    timings["text"] = time.perf_counter() - start

    start = time.perf_counter()
    mels = _predict(model, tokens, speaker, options)
    timings["acoustic"] = time.perf_counter() - start

    parts: list[Waveform] = []
    remaining_mels = iter(mels)
    done = 0
    for utterance in spoken:
        if utterance.text:
            start = time.perf_counter()
            parts.append(_checked_samples(vocoder(next(remaining_mels)[None])[0]))
            timings["vocoder"] += time.perf_counter() - start
            done += 1
            report(done, len(mels))
        parts.append(_silence(utterance.pause, vocoder.sample_rate))
    mels = [mel.cpu() for mel in mels]
    return Speech(_concatenate(parts), vocoder.sample_rate, mels, timings, notice_of(base, vocoder, text, phonemes))


def notice_of(base: Base, vocoder: Vocoder, text: str, phonemes: bool = False) -> str | None:
    """Return one line for the user, or None.

    It says that a fallback vocoder is used, that characters are not spoken, or that the text seems to be in a language
    that the base does not read.
    """
    of_text = () if phonemes else (omitted_emoji(text), language_notice(text, base.language))
    notices = [vocoder.notice, *of_text]
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
    """Yield the samples of `speak_text` in parts `(S,)` as soon as they are computed.

    With the light vocoder, a part is a chunk of frames. The first chunk of a sentence is shorter than a second and
    is ready before the rest of a long sentence is predicted. With other vocoders, a part is a sentence. Arguments
    and errors are those of `speak_text`. A sentence that cannot be read raises its error when this sentence is
    reached. The caller's torch settings are restored between two parts.
    """
    _check_arguments(base, vocoder, text, speaker, options)
    return _one_thread_at_a_time(
        default_torch_state_per_item(_stream_text)(base, model, vocoder, text, phonemes, speaker, options)
    )


def _one_thread_at_a_time(parts: Iterator[Waveform]) -> Iterator[Waveform]:
    """Yield the same parts. No other thread speaks while a part is computed."""
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
            mels = model.stream(tokens, speaker, _options_of_sentence(options, number), _CHUNK)
            parts = (
                vocoder.stream(_chunks(mels))
                if isinstance(vocoder, SourceFilterVocoder)
                else vocoder(torch.cat(list(mels))[None])
            )
            for samples in parts:
                yield _checked_samples(samples)
            number += 1
        if utterance.pause:
            yield _silence(utterance.pause, vocoder.sample_rate)


def _predict(
    model: AcousticModel, sentences: Sequence[torch.Tensor], speaker: int, options: SynthesisOptions
) -> list[torch.Tensor]:
    """Return the log-mels `(T, M)` of sentences `(N,)`. Sentences of similar length form a batch if this is faster."""
    if len(sentences) < _MIN_BATCH_SIZE or options.prenet_dropout:
        return [
            model.generate(tokens, speaker, options=_options_of_sentence(options, number))
            for number, tokens in enumerate(sentences)
        ]
    by_length = sorted(range(len(sentences)), key=lambda number: len(sentences[number]))
    mels: dict[int, torch.Tensor] = {}
    for first in range(0, len(by_length), _BATCH_SIZE):
        numbers = by_length[first : first + _BATCH_SIZE]
        batch = model.generate_batch([sentences[number] for number in numbers], speaker, options)
        mels |= dict(zip(numbers, batch, strict=True))
    return [mels[number] for number in range(len(sentences))]


def _chunks(mels: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield the same frames in chunks `(T, M)`. The first chunk is small."""
    size = _FIRST_CHUNK
    for mel in mels:
        while len(mel):
            yield mel[:size]
            mel, size = mel[size:], _CHUNK


def _check_arguments(base: Base, vocoder: Vocoder, text: object, speaker: int, options: object) -> None:
    """Raise UsageError for a text or options of the wrong type, or an unknown training speaker.

    Raises TtsMetaError for a vocoder that takes other mels than the base produces.
    """
    check_mels(vocoder, base.config.audio.mel)
    if not isinstance(text, str):
        raise UsageError(f"the text must be a string, not {type(text).__name__}")
    if not isinstance(options, SynthesisOptions):
        raise UsageError(
            f"options must be SynthesisOptions, such as SynthesisOptions(speed=1.2), not {type(options).__name__}"
        )
    if not isinstance(speaker, int) or not -1 <= speaker < len(base.speakers):
        raise UsageError(
            f"the base has {len(base.speakers)} training speakers, numbered from 0; {speaker} is not one of them"
        )


def _checked_samples(samples: torch.Tensor) -> Waveform:
    """Return the samples `(S,)` of a vocoder. Raises TtsMetaError if they are not finite or saturated."""
    waveform = samples.float().cpu().numpy()
    if not np.isfinite(waveform).all() or is_saturated(waveform):
        raise TtsMetaError(
            "the vocoder output is not audio: the vocoder or the voice is damaged or diverged; clone or copy it again"
        )
    return waveform


def _options_of_sentence(options: SynthesisOptions, number: int) -> SynthesisOptions:
    """Return options with another seed for each sentence, so that the dropout differs."""
    return dataclasses.replace(options, seed=options.seed + number)


def _utterances(base: Base, text: str, phonemes: bool) -> Iterator[Utterance]:
    return phoneme_utterances(text) if phonemes else utterances(base.phonemizer, text, base.lexicon)


def _encode(base: Base, utterance: Utterance) -> torch.Tensor:
    return base.symbols.encode(utterance.phonemes, utterance.text)


def _silence(seconds: float, rate: int) -> Waveform:
    return np.zeros(round(seconds * rate), np.float32)


def _concatenate(parts: list[Waveform]) -> Waveform:
    """Return the parts in one array, and empty the list `parts`.

    Each part is released after it is copied, so that memory holds the audio only once.
    """
    samples = np.empty(sum(map(len, parts)), np.float32)
    position = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        samples[position : position + len(part)] = part
        position += len(part)
    return samples
