"""Training data of the vocoder: samples and F0 of the utterances of a feature store, and batches of crops.

A folder holds `samples.int16`, the samples of all utterances in order, `hop` per frame `(F * hop,)`, and `f0.npy`,
Praat's F0 of each frame `(F,)` float32, 0 if unvoiced.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.audio.io import Waveform
from tts_meta.audio.pitch import fundamental_frequency_praat
from tts_meta.corpus import Example, Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_folder
from tts_meta.models.pretrained import Base
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.feature_store import FeatureStore, load_array
from tts_meta.train.optimiser import BatchSize
from tts_meta.train.prefetch import prefetch

FULL_SCALE = 32767
"""Factor from samples in [-1, 1] to int16."""


def write_vocoder_data(folder: Path, manifest: Manifest, base: Base, workers: int) -> Generator[Example, None, None]:
    """Yield one example per utterance, as `load_examples` does, and write the folder after the last one."""
    mel_config = base.config.audio.mel
    mel_spec = MelSpec(mel_config)

    def load(number: int) -> tuple[Example, Waveform, Waveform]:
        utterance = manifest.utterances[number]
        samples, mel = load_waveform_and_mel(utterance.source, base.config.audio, mel_spec)
        tokens = base.encode(utterance.text, utterance.phonemes)
        f0 = fundamental_frequency_praat(samples, mel_config)
        example = Example(utterance.id, utterance.speaker, tokens, torch.zeros_like(tokens), mel)
        return example, samples[: len(mel) * mel_config.hop], f0[: len(mel)]

    with atomic_folder(folder) as temporary:
        frequencies = []
        with open(temporary / "samples.int16", "wb") as file:
            for example, samples, f0 in prefetch(range(len(manifest)), load, workers, max_pending=2 * workers):
                np.round(samples * FULL_SCALE).astype(np.int16).tofile(file)
                frequencies.append(f0)
                yield example
        np.save(temporary / "f0.npy", np.concatenate(frequencies))


class VocoderData:
    """Samples and F0 `(F,)` of a store's utterances. Raises TtsMetaError if the folder belongs to another store."""

    def __init__(self, folder: Path, store: FeatureStore, hop: int) -> None:
        try:
            self._samples: NDArray[np.int16] = np.memmap(folder / "samples.int16", np.int16, "r")
            self.f0: NDArray[np.float32] = load_array(folder / "f0.npy", np.float32, (int(store.frames.sum()),))
            if len(self.f0) != store.frames.sum() or len(self._samples) != len(self.f0) * hop:
                raise ValueError("its length is not that of the utterances")
        except (OSError, ValueError) as error:
            raise TtsMetaError(f"{folder}: damaged audio ({error}); delete the folder to compute it again") from error
        self._hop = hop

    def samples(self, begin: int, end: int) -> NDArray[np.int16]:
        """The samples of frames `begin` to `end` among all frames of the store, `((end - begin) * hop,)`."""
        return self._samples[begin * self._hop : end * self._hop]


@dataclass(frozen=True, eq=False)
class VocoderBatch:
    """Crops of T frames: mel `(B, T, M)`, log_f0 and voiced `(B, T)`, samples `(B, T * hop)` in [-1, 1].

    all_frames: frames of the whole step, `()` int64, of which the crops may be a part; all_voiced: sum of `voiced` over
    the whole step, `()`.
    """

    mel: Tensor
    log_f0: Tensor
    voiced: Tensor
    samples: Tensor
    all_frames: Tensor
    all_voiced: Tensor

    @property
    def share(self) -> Tensor:
        """The size of this part as a fraction of the whole step."""
        return self.voiced.numel() / self.all_frames

    def to(self, device: torch.device | str) -> VocoderBatch:
        """Return the batch on `device`, with samples and mels in single precision."""
        to_gpu = torch.device(device).type == "cuda"
        moved = {field.name: getattr(self, field.name).to(device, non_blocking=to_gpu) for field in fields(self)}
        moved["samples"] = moved["samples"].float() / FULL_SCALE
        return VocoderBatch(**moved | {"mel": moved["mel"].float()})


@dataclass(frozen=True, eq=False)
class PredictedMels:
    """Mels `(F, M)` that the acoustic model predicts for the utterances that `known` `(U,)` marks.

    fraction: fraction of the crops that use them.
    """

    known: NDArray[np.bool_]
    mels: NDArray[np.float16]
    fraction: float


class CropStream:
    """Endless micro-batches of random crops of the utterances `numbers`, in an order that the seed determines.

    mels `(F, M)` and pitch `(F, 2)`, log F0 and voicing, are of all frames. `predicted` replaces the mels of a fraction
    of the crops.
    """

    def __init__(
        self,
        store: FeatureStore,
        data: VocoderData,
        mels: NDArray[np.float16],
        pitch: NDArray[np.float32],
        numbers: NDArray[np.intp],
        frames: int,
        size: BatchSize,
        seed: int,
        threads: int = 1,
        predicted: PredictedMels | None = None,
    ) -> None:
        self.seed, self.accumulate, self._rank_and_world = seed, size.accumulate, rank_and_world()
        self._data, self._mels, self._pitch, self._predicted, self._frames = data, mels, pitch, predicted, frames
        long = numbers[store.frames[numbers] >= frames]
        if not len(long):
            raise TtsMetaError(f"no utterance has {frames} frames; give longer recordings or a smaller crop_frames")
        self._numbers = long
        self._starts = store.frame_starts[long]
        self._crop_ends = np.cumsum(store.frames[long] - frames + 1)
        parts = self._rank_and_world[1] * size.accumulate if size.per_device else 1
        self._crops = max(1, size.frames // frames) * parts
        self._batches_per_epoch = max(1, int(store.frames[long].sum()) // (self._crops * frames))
        self._threads = threads

    def batches(
        self, epoch: int, position: int, group: int = 1
    ) -> Generator[tuple[int, int, VocoderBatch | None], None, None]:
        """Yield (epoch, position of the next step, crops) endlessly, from step `position` of `epoch` on."""
        return prefetch(self._batch_order(epoch, position), self._batch, self._threads, max_pending=2 * self._threads)

    def _batch_order(self, epoch: int, position: int) -> Iterator[tuple[int, int, int]]:
        while True:
            for number in range(position, self._batches_per_epoch):
                yield from ((epoch, number, micro_batch) for micro_batch in range(self.accumulate))
            epoch, position = epoch + 1, 0

    def _batch(self, item: tuple[int, int, int]) -> tuple[int, int, VocoderBatch | None]:
        epoch, position, micro_batch = item
        draw = np.random.default_rng([self.seed, epoch, position])
        places = draw.integers(0, self._crop_ends[-1], self._crops)
        which = np.searchsorted(self._crop_ends, places, side="right")
        begins = self._starts[which] + places - np.concatenate([[0], self._crop_ends])[which]
        is_predicted = draw.random(self._crops) < (self._predicted.fraction if self._predicted else 0.0)
        rank, world = self._rank_and_world
        part = range(micro_batch * world + rank, self._crops, self.accumulate * world)
        if not part:
            return epoch, position + 1, None
        spans = [slice(int(begins[n]), int(begins[n]) + self._frames) for n in part]
        mels = []
        for n, span in zip(part, spans, strict=True):
            predicted = self._predicted if is_predicted[n] else None
            use_predicted = predicted is not None and predicted.known[self._numbers[which[n]]]
            mels.append(predicted.mels[span] if predicted is not None and use_predicted else self._mels[span])
        pitch = np.stack([self._pitch[span] for span in spans])
        crops = VocoderBatch(
            mel=torch.from_numpy(np.stack(mels)),
            log_f0=torch.from_numpy(np.ascontiguousarray(pitch[..., 0])),
            voiced=torch.from_numpy(np.ascontiguousarray(pitch[..., 1])),
            samples=torch.from_numpy(np.stack([self._data.samples(s.start, s.stop) for s in spans])),
            all_frames=torch.tensor(self._crops * self._frames),
            all_voiced=torch.tensor(sum(float(self._pitch[b : b + self._frames, 1].sum()) for b in begins.tolist())),
        )
        return epoch, position + 1, crops
