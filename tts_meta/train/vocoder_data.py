"""Training data of the vocoder: samples and F0 of the utterances of a feature store, and batches of crops."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.array_store import ArrayStore
from tts_meta.audio import FeatureCache
from tts_meta.audio.features import FEATURE_VERSION, load_waveform_and_mel
from tts_meta.audio.pitch import fundamental_frequency_praat
from tts_meta.audio.trimming import AudioConfig
from tts_meta.errors import TtsMetaError
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.feature_store import FeatureStore
from tts_meta.train.optimiser import BatchSize
from tts_meta.train.prefetch import prefetch

FULL_SCALE = 32767
"""Factor from samples in [-1, 1] to int16."""


class VocoderCache(FeatureCache):
    """A feature cache that also has the samples of each frame `(T, hop)` int16, and Praat's F0 `(T, 1)` in Hz."""

    def __init__(self, folder: str | Path, config: AudioConfig) -> None:
        super().__init__(folder, config)
        audio = {"version": FEATURE_VERSION, "audio": config.model_dump(mode="json")}
        self.samples = ArrayStore(self.folder / "samples", np.int16, config.mel.hop, {"features": "samples"} | audio)
        self.f0 = ArrayStore(self.folder / "f0", np.float32, 1, {"features": "F0 of Praat"} | audio)

    @property
    def stores(self) -> tuple[ArrayStore, ...]:
        return (self.store, self.samples, self.f0)

    def key_and_mel(self, audio: str | Path) -> tuple[bytes, Tensor]:
        """Return the key and the log-mel of a recording, after all of its features are in the cache."""
        key = self.key(audio)
        if any(store.get(key) is None for store in self.stores):
            waveform, mel = load_waveform_and_mel(audio, self.config, self.mel_spec)
            samples = waveform[: len(mel) * self.config.mel.hop]
            features = {
                self.store: mel.half().numpy(),
                self.samples: np.round(samples * FULL_SCALE).astype(np.int16),
                self.f0: fundamental_frequency_praat(waveform, self.config.mel)[: len(mel)],
            }
            for store, array in features.items():
                if store.get(key) is None:
                    store.put(key, array)
        return super().key_and_mel(audio)


class StoredFrames:
    """Rows of an array store for all frames of the utterances of a feature store, `(F, width)`, in order."""

    def __init__(self, store: FeatureStore, arrays: ArrayStore) -> None:
        self._store, self._arrays = store, arrays

    def __getitem__(self, span: slice) -> NDArray[Any]:
        """Read the rows of frames of one utterance."""
        number = self._store.utterance_of(span.start)
        first = int(self._store.frame_starts[number])
        return self._arrays.read(self._store.key(number), span.start - first, span.stop - first)


class PitchLabels:
    """Log F0 and voicing of the frames of all utterances, `(F, 2)`, from F0 in Hz."""

    def __init__(self, f0: StoredFrames, low: float) -> None:
        self._f0, self._low = f0, low

    def __getitem__(self, span: slice) -> NDArray[np.float32]:
        f0 = self._f0[span]
        return np.concatenate([np.log(np.maximum(f0, self._low)), f0 > 0], 1).astype(np.float32)


class VocoderData:
    """Log-mels, samples and F0 of the utterances of a feature store, which a vocoder cache has."""

    def __init__(self, store: FeatureStore, cache: VocoderCache) -> None:
        self.mels, self.f0 = StoredFrames(store, cache.store), StoredFrames(store, cache.f0)
        self._samples = StoredFrames(store, cache.samples)

    def samples(self, begin: int, end: int) -> NDArray[np.int16]:
        """The samples of frames `begin` to `end` of one utterance among all frames, `((end - begin) * hop,)`."""
        return self._samples[begin:end].reshape(-1)


class Frames(Protocol):
    """Rows of frames, which are read by a slice of frames of one utterance."""

    def __getitem__(self, span: slice, /) -> NDArray[Any]: ...


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
    mels: Frames
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
        mels: Frames,
        pitch: Frames,
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
            all_voiced=torch.tensor(sum(float(self._pitch[b : b + self._frames][:, 1].sum()) for b in begins.tolist())),
        )
        return epoch, position + 1, crops
