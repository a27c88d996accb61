"""The recordings of a store of utterances, sample for sample, and what is known of each frame's pitch.

A folder beside the store holds `samples.int16`, the utterances one after the other, `hop` samples a frame `(F * hop,)`,
and `f0.npy`, Praat's F0 of each frame `(F,)` float32, 0 where unvoiced.
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
from tts_meta.train.feature_store import Store, load_array
from tts_meta.train.prefetch import ahead

FULL_SCALE = 32767
"""What samples in [-1, 1] are multiplied by."""


def write_audio(folder: Path, manifest: Manifest, base: Base, workers: int) -> Generator[Example, None, None]:
    """Yield an example for each utterance, as `load_examples`, and write the folder when all were taken."""
    mel_config = base.config.audio.mel
    mel_spec = MelSpec(mel_config)

    def load(number: int) -> tuple[Example, Waveform, Waveform]:
        utterance = manifest.utterances[number]
        samples, mel = load_waveform_and_mel(utterance.audio, base.config.audio, mel_spec)
        tokens = base.encode(utterance.text, utterance.phonemes)
        f0 = fundamental_frequency_praat(samples, mel_config)
        example = Example(utterance.id, utterance.speaker, tokens, torch.zeros_like(tokens), mel)
        return example, samples[: len(mel) * mel_config.hop], f0[: len(mel)]

    with atomic_folder(folder) as temporary:
        frequencies = []
        with open(temporary / "samples.int16", "wb") as file:
            for example, samples, f0 in ahead(range(len(manifest)), load, workers, waiting=2 * workers):
                np.round(samples * FULL_SCALE).astype(np.int16).tofile(file)
                frequencies.append(f0)
                yield example
        np.save(temporary / "f0.npy", np.concatenate(frequencies))


class VocoderData:
    """The sound of a store's utterances. f0: `(F,)`, of all frames. Raises TtsMetaError where it is not theirs."""

    def __init__(self, folder: Path, store: Store, hop: int) -> None:
        try:
            self._samples: NDArray[np.int16] = np.memmap(folder / "samples.int16", np.int16, "r")
            self.f0: NDArray[np.float32] = load_array(folder / "f0.npy", np.float32, (int(store.frames.sum()),))
            if len(self.f0) != store.frames.sum() or len(self._samples) != len(self.f0) * hop:
                raise ValueError("of another length than its utterances")
        except (OSError, ValueError) as error:
            raise TtsMetaError(f"{folder}: damaged sound ({error}); delete the folder to make it anew") from error
        self._hop = hop

    def samples(self, begin: int, end: int) -> NDArray[np.int16]:
        """Of the frames `begin` to `end` of all those of the store, `((end - begin) * hop,)`."""
        return self._samples[begin * self._hop : end * self._hop]


@dataclass(frozen=True, eq=False)
class VocoderBatch:
    """Crops of T frames: mel `(B, T, M)`, log_f0 and voiced `(B, T)`, samples `(B, T * hop)` in [-1, 1].

    all_frames: `()` int64, of the whole batch where this is one process's part of it.
    """

    mel: Tensor
    log_f0: Tensor
    voiced: Tensor
    samples: Tensor
    all_frames: Tensor

    @property
    def share(self) -> Tensor:
        """How much of the whole batch this part is."""
        return self.voiced.numel() / self.all_frames

    def to(self, device: torch.device | str) -> VocoderBatch:
        """Return them with every tensor on `device`, samples and mels in single precision."""
        moved = {field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        moved["samples"] = moved["samples"].float() / FULL_SCALE
        return VocoderBatch(**moved | {"mel": moved["mel"].float()})


class CropStream:
    """Endless batches of crops at random places of some utterances, the same for the same seed, from any place.

    mels: `(F, M)` and pitch: `(F, 2)`, log F0 and voicing of all frames; `other` gives mels in place of `mels` for a
    part of the crops, wherever it has them: bool `(U,)`, and mels `(F, M)`.
    """

    def __init__(
        self,
        store: Store,
        sound: VocoderData,
        mels: NDArray[np.float16],
        pitch: NDArray[np.float32],
        numbers: NDArray[np.intp],
        frames: int,
        frames_per_batch: int,
        seed: int,
        threads: int = 1,
        other: tuple[NDArray[np.bool_], NDArray[np.float16], float] | None = None,
    ) -> None:
        self.seed = seed
        self._sound, self._mels, self._pitch, self._other, self._frames = sound, mels, pitch, other, frames
        long = numbers[store.frames[numbers] >= frames]
        if not len(long):
            raise TtsMetaError(f"no utterance has {frames} frames; give longer recordings or a smaller crop_frames")
        self._numbers = long
        self._starts = store.frame_starts[long]
        self._last_places = np.cumsum(store.frames[long] - frames + 1)
        self._crops = max(1, frames_per_batch // frames)
        self._an_epoch = max(1, int(store.frames[long].sum()) // (self._crops * frames))
        self._threads, self._place = threads, rank_and_world()

    def batches(self, epoch: int, position: int) -> Generator[tuple[int, int, VocoderBatch | None], None, None]:
        """Yield (epoch, position of the next batch, crops) for ever, from batch `position` of `epoch` on."""
        return ahead(self._chosen(epoch, position), self._batch, self._threads, waiting=2 * self._threads)

    def _chosen(self, epoch: int, position: int) -> Iterator[tuple[int, int]]:
        while True:
            for number in range(position, self._an_epoch):
                yield epoch, number
            epoch, position = epoch + 1, 0

    def _batch(self, chosen: tuple[int, int]) -> tuple[int, int, VocoderBatch | None]:
        epoch, position = chosen
        draw = np.random.default_rng([self.seed, epoch, position])
        places = draw.integers(0, self._last_places[-1], self._crops)
        which = np.searchsorted(self._last_places, places, side="right")
        begins = self._starts[which] + places - np.concatenate([[0], self._last_places])[which]
        takes_other = draw.random(self._crops) < (self._other[2] if self._other else 0.0)
        rank, processes = self._place
        own = range(rank, self._crops, processes)
        if not own:
            return epoch, position + 1, None
        spans = [slice(int(begins[n]), int(begins[n]) + self._frames) for n in own]
        mels = []
        for n, span in zip(own, spans, strict=True):
            use_other = self._other is not None and takes_other[n] and self._other[0][self._numbers[which[n]]]
            source = self._other[1] if self._other is not None and use_other else self._mels
            mels.append(source[span])
        pitch = np.stack([self._pitch[span] for span in spans])
        crops = VocoderBatch(
            mel=torch.from_numpy(np.stack(mels)),
            log_f0=torch.from_numpy(np.ascontiguousarray(pitch[..., 0])),
            voiced=torch.from_numpy(np.ascontiguousarray(pitch[..., 1])),
            samples=torch.from_numpy(np.stack([self._sound.samples(s.start, s.stop) for s in spans])),
            all_frames=torch.tensor(self._crops * self._frames),
        )
        return epoch, position + 1, crops
