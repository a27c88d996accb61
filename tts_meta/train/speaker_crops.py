"""Training data of the ECAPA speaker encoder: random crops of speech with other speeds, noise, filters and echoes.

Speech at another speed has another pitch and other formants. It counts as the speech of another speaker.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import fft
from torch import Tensor

from tts_meta.audio import read_audio
from tts_meta.audio.waveform import SPEECH_RATE, Samples
from tts_meta.config import Section, Share
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.models.ecapa_encoder import HOP, speech_at_level
from tts_meta.train.prefetch import prefetch

FULL_SCALE = 32767
"""Factor from samples in [-1, 1] to int16."""
_POINTS = 6
"""Number of frequencies between which the gain of the random filter is interpolated."""


class AugmentationConfig(Section):
    """Random changes of a crop; the seed of the run determines them."""

    noise: Share = 0.6
    """Fraction of the crops with noise."""
    noise_db: tuple[float, float] = (8.0, 35.0)
    """Range of the signal-to-noise ratio."""
    low_pass: Share = 0.5
    """Fraction of the crops without high frequencies."""
    low_pass_hz: tuple[float, float] = (3500.0, 7500.0)
    """Range of the cut-off frequency."""
    filter_db: float = Field(default=6.0, ge=0)
    """Standard deviation of the gain of a random smooth filter."""
    echo: Share = 0.4
    """Fraction of the crops with reverberation: noise that decays exponentially is the impulse response."""
    echo_seconds: tuple[float, float] = (0.1, 0.5)
    """Range of the time after which the reverberation is 60 dB weaker."""
    echo_db: tuple[float, float] = (0.0, 15.0)
    """Range of the level of the direct sound above the reverberation."""


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Crops of S samples: samples `(B, S)`, labels `(B,)`. Crops of one label are next to each other."""

    samples: Tensor
    labels: Tensor

    @property
    def all_frames(self) -> Tensor:
        """Number of mel frames `()`."""
        return torch.tensor(self.samples.numel() // HOP)

    def to(self, device: torch.device | str) -> CropBatch:
        """Return the batch on `device`."""
        return CropBatch(self.samples.to(device), self.labels.to(device))


def load_speech(manifest: Manifest, threads: int = 1) -> dict[str, list[NDArray[np.int16]]]:
    """Return the speech of each utterance `(S,)` by speaker, at 16 kHz and -26 dBFS, without long pauses.

    Raises TtsMetaError with the path of a recording that cannot be used.
    """

    def load(number: int) -> NDArray[np.int16]:
        path = manifest.utterances[number].audio
        try:
            samples = speech_at_level(read_audio(path, SPEECH_RATE))
        except TtsMetaError as error:
            raise error if str(path) in str(error) else TtsMetaError(f"{path}: {error}") from error
        return np.round(np.clip(samples, -1, 1) * FULL_SCALE).astype(np.int16)

    loaded = prefetch(range(len(manifest)), load, threads, max_pending=2 * threads)
    speech: dict[str, list[NDArray[np.int16]]] = {speaker: [] for speaker in manifest.speakers}
    for utterance, samples in zip(manifest, loaded, strict=True):
        speech[utterance.speaker].append(samples)
    return speech


class SpeakerCrops:
    """Endless batches of crops: some speakers, each with several crops, in an order that `seed` determines.

    speech: from `load_speech`. speeds: a speaker at each speed is a label. crops: number of crops of each label. The
    probability of a speaker grows with the square root of the duration of its speech. seconds: range of the length of
    the crops, which is the same in a batch. speakers: number of labels in a batch.
    """

    def __init__(
        self,
        speech: Mapping[str, Sequence[NDArray[np.int16]]],
        augmentation: AugmentationConfig,
        *,
        speeds: Sequence[float],
        speakers: int,
        crops: int,
        seconds: tuple[float, float],
        batches_per_epoch: int,
        seed: int,
        threads: int = 1,
    ) -> None:
        if len(speech) < 2:
            raise TtsMetaError(f"the encoder needs two speakers or more, not {len(speech)}; give more recordings")
        self.seed, self.accumulate = seed, 1
        self._speech = [list(utterances) for utterances in speech.values()]
        self._augmentation, self._speeds, self._crops, self._seconds = augmentation, tuple(speeds), crops, seconds
        self._speakers = min(speakers, len(self._speech))
        weights = np.sqrt([sum(map(len, utterances)) for utterances in self._speech])
        self._weights = weights / weights.sum()
        self._batches_per_epoch, self._threads = batches_per_epoch, threads

    @property
    def labels(self) -> int:
        """Number of labels: speakers times speeds."""
        return len(self._speech) * len(self._speeds)

    def batches(
        self, epoch: int, position: int, group: int = 1
    ) -> Generator[tuple[int, int, CropBatch | None], None, None]:
        """Yield (epoch, position of the next batch, crops) endlessly, from batch `position` of `epoch` on."""
        return prefetch(self._order(epoch, position), self._batch, self._threads, max_pending=2 * self._threads)

    def _order(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        while True:
            yield from ((epoch, number) for number in range(position, self._batches_per_epoch))
            epoch, position = epoch + 1, 0

    def _batch(self, item: tuple[int, int]) -> tuple[int, int, CropBatch | None]:
        draw = np.random.default_rng([self.seed, *item])
        # A multiple of 800 samples has fast Fourier transforms at every speed of two digits.
        length = round(draw.uniform(*self._seconds) * SPEECH_RATE / 800) * 800
        crops, labels = [], []
        for speaker in draw.choice(len(self._speech), self._speakers, replace=False, p=self._weights):
            speed = int(draw.integers(len(self._speeds)))
            utterances = self._speech[speaker]
            order = draw.permutation(len(utterances))
            for number in range(self._crops):
                utterance = utterances[order[number % len(order)]]
                crops.append(self._crop(utterance, length, self._speeds[speed], draw))
                labels.append(speaker * len(self._speeds) + speed)
        batch = CropBatch(torch.from_numpy(np.stack(crops)), torch.tensor(labels))
        return item[0], item[1] + 1, batch

    def _crop(self, utterance: NDArray[np.int16], length: int, speed: float, draw: np.random.Generator) -> Samples:
        needed = round(length * speed)
        if len(utterance) < needed:
            utterance = np.tile(utterance, -(-needed // len(utterance)))
        start = int(draw.integers(len(utterance) - needed + 1))
        crop = utterance[start : start + needed].astype(np.float32) / np.float32(FULL_SCALE)
        return augment(change_speed(crop, length), self._augmentation, draw)


def change_speed(samples: Samples, length: int) -> NDArray[np.complex64]:
    """Return the spectrum `(length // 2 + 1,)` of samples `(S,)` that are played in the time of `length` samples."""
    spectrum = np.zeros(length // 2 + 1, np.complex64)
    source = np.asarray(fft.rfft(samples), np.complex64)
    kept = min(len(spectrum), len(source))
    spectrum[:kept] = source[:kept] * (length / len(samples))
    return spectrum


def augment(spectrum: NDArray[np.complex64], config: AugmentationConfig, draw: np.random.Generator) -> Samples:
    """Return the samples `(2 (F - 1),)` of a spectrum `(F,)` after a random filter, reverberation and noise.

    The level is -26 dBFS. Reverberation continues at the start of the samples after their end.
    """
    length = 2 * (len(spectrum) - 1)
    hertz = np.linspace(0, SPEECH_RATE / 2, len(spectrum), dtype=np.float32)
    points = np.linspace(0, SPEECH_RATE / 2, _POINTS)
    decibels = np.interp(hertz, points, draw.normal(0, config.filter_db, _POINTS)).astype(np.float32)
    changed: NDArray[Any] = (spectrum * 10 ** (decibels / 20)).astype(np.complex64)
    if draw.random() < config.echo:
        changed = changed * _impulse_response(config, length, draw)
    if draw.random() < config.noise:
        slope = draw.uniform(0, 1)  # 0 is white noise, 1 is pink noise
        noise = draw.standard_normal((2, len(spectrum)), np.float32)
        noise = (noise[0] + 1j * noise[1]) / np.maximum(hertz, 50) ** (slope / 2)
        noise_level = 10 ** (-draw.uniform(*config.noise_db) / 20)
        changed = changed + noise * (noise_level * np.linalg.norm(changed) / np.linalg.norm(noise))
    if draw.random() < config.low_pass:
        cut_off = draw.uniform(*config.low_pass_hz)
        changed = changed / (1 + np.minimum(hertz / cut_off, 10.0) ** 24)
    samples = np.asarray(fft.irfft(changed.astype(np.complex64), length), np.float32)
    return samples * np.float32(0.05 / max(float(np.sqrt(np.mean(samples**2))), 1e-6))


def _impulse_response(config: AugmentationConfig, length: int, draw: np.random.Generator) -> NDArray[np.complex64]:
    """Return the spectrum of an impulse followed by noise that decays exponentially."""
    seconds, ratio_db = draw.uniform(*config.echo_seconds), draw.uniform(*config.echo_db)
    time = np.arange(min(length, int(seconds * SPEECH_RATE)), dtype=np.float32) / SPEECH_RATE
    echo = draw.standard_normal(len(time), np.float32) * 10 ** (-3 * time / np.float32(seconds))
    echo *= 10 ** (-ratio_db / 20) / np.linalg.norm(echo)
    echo[0] += 1
    return np.asarray(fft.rfft(echo, length), np.complex64)
