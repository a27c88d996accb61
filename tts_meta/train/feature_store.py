"""The features of a run's utterances on disk, read on demand, so that memory does not grow with the corpus.

A folder holds `mel.float16`, the frames of all utterances in order `(F, M)`; `tokens.npy`, their symbols `(S,)`;
`ends.npy`, the start of each utterance in both `(U + 1, 2)`; and `names.json`. All processes read the same files.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.corpus.segments import Ints
from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_file, atomic_folder, sha256_file
from tts_meta.headers import Digest, Header, Name, read_header
from tts_meta.tensors import read_tensors
from tts_meta.train.distributed import is_first

_ADVICE = "delete the folder to compute it again"
_ARRAYS = ("mel.float16", "tokens.npy", "ends.npy")


class FeatureStoreHeader(Header):
    """`names.json`: ids and speakers of the utterances, number of mel bands, and SHA-256 of the other files by name."""

    ids: list[Name] = Field(min_length=1)
    speakers: list[Name]
    bands: int = Field(gt=0, le=1024)
    sha256: dict[str, Digest]


def write_features(folder: Path, examples: Iterable[Example]) -> None:
    """Write examples, completely or not at all, with one in memory at a time; durations are not written."""
    ids, speakers, tokens, ends, bands = [], [], [], [(0, 0)], 0
    with atomic_folder(folder) as temporary:
        with open(temporary / "mel.float16", "wb") as mels:
            for example in examples:
                example.mel.half().numpy().tofile(mels)
                ids.append(example.id)
                speakers.append(example.speaker)
                tokens.append(example.tokens.numpy().astype(np.int16))
                ends.append((ends[-1][0] + len(example.mel), ends[-1][1] + len(example.tokens)))
                bands = example.mel.shape[1]
        if not ids:
            raise TtsMetaError("no utterance is left to train on; give a larger corpus")
        np.save(temporary / "tokens.npy", np.concatenate(tokens))
        np.save(temporary / "ends.npy", np.array(ends))
        digests = {name: sha256_file(temporary / name) for name in _ARRAYS}
        names = {"ids": ids, "speakers": speakers, "bands": bands, "sha256": digests}
        (temporary / "names.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


class DiskDataset(Sequence[Example], ABC):
    """A sequence of examples that are read on access, by index or slice."""

    @abstractmethod
    def read(self, index: int) -> Example:
        """Read the example of an index from 0."""

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        indices = range(len(self))[index]
        return self.read(indices) if isinstance(indices, int) else [self.read(item) for item in indices]


class FeatureStore(DiskDataset):
    """The utterances of a folder of `write_features`, as examples without durations.

    frames, symbols: the length of each utterance, `(U,)`. tokens: the symbols of all utterances, `(S,)`; those of
    utterance n are from `starts[n]` to `starts[n + 1]`. frame_starts: the first frame of each utterance among all
    frames. Raises TtsMetaError if a file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        names = read_header(folder / "names.json", FeatureStoreHeader, _ADVICE, max_bytes=10**9)
        self.ids, self.speakers, self._bands, self._digests = names.ids, names.speakers, names.bands, names.sha256
        ends = load_array(folder / "ends.npy", np.int64, (len(names.ids) + 1, 2))
        if len(names.speakers) != len(names.ids) or ends[0].any() or (np.diff(ends, axis=0) <= 0).any():
            raise TtsMetaError(
                f"{folder}: damaged features, the numbers of utterances, ends and speakers differ; {_ADVICE}"
            )
        self.tokens: Ints = load_array(folder / "tokens.npy", np.int16, (int(ends[-1, 1]),))
        self._mel = folder / "mel.float16"
        if not self._mel.is_file() or self._mel.stat().st_size != ends[-1, 0] * self._bands * 2:
            raise TtsMetaError(f"{self._mel}: damaged, its length is not that of its utterances; {_ADVICE}")
        self.frame_starts, self.starts = ends.T
        self.frames, self.symbols = np.diff(ends, axis=0).T

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, symbols: int, bands: int) -> None:
        """Raise TtsMetaError if a file was changed, or the symbols or mel bands do not fit a model.

        symbols: size of the symbol table; symbol numbers are from 1 to symbols - 1. Reads all frames, as training does.
        """
        for name in _ARRAYS if is_first() else ():
            if sha256_file(self._mel.parent / name) != self._digests.get(name):
                raise TtsMetaError(
                    f"{self._mel.parent / name}: damaged, it differs from what was written (SHA-256); {_ADVICE}"
                )
        if self._bands != bands or int(self.tokens.min()) < 1 or int(self.tokens.max()) >= symbols:
            raise TtsMetaError(f"{self._mel.parent}: features for other symbols or mels; {_ADVICE}")

    def read(self, index: int) -> Example:
        tokens = torch.from_numpy(self.tokens[self.starts[index] : self.starts[index + 1]].astype(np.int64))
        mel = self.mel(index, 0, int(self.frames[index]))
        return Example(self.ids[index], self.speakers[index], tokens, torch.zeros_like(tokens), mel)

    def mel(self, n: int, begin: int, end: int) -> Tensor:
        """Read frames `begin` to `end` of utterance n, float32 `(end - begin, M)`."""
        frames = np.empty((end - begin, self._bands), np.float16)
        # A memory map would read megabytes ahead, which segments in random order do not use.
        with open(self._mel, "rb", buffering=0) as file:
            file.seek((int(self.frame_starts[n]) + begin) * self._bands * 2)
            if file.readinto(frames.data) != frames.nbytes:
                raise TtsMetaError(f"{self._mel}: shortened while it is read; delete its folder to compute it again")
        # The sum is finite only if all values are, and it needs no memory.
        if not np.isfinite(frames.sum(dtype=np.float64)):
            raise TtsMetaError(f"{self._mel}: damaged, values that are not finite; {_ADVICE}")
        return torch.from_numpy(frames).float()


def load_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """Map the array of a `.npy` file. Raises TtsMetaError if it has another type or shape, or values not finite."""
    try:
        array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy raises many types of errors for a broken file
        raise TtsMetaError(f"{path}: damaged ({excerpt(str(error))}); delete it to compute it again") from error
    if array.dtype != dtype or array.shape != shape:
        raise TtsMetaError(f"{path}: damaged, not {dtype.__name__} of shape {shape}; delete it to compute it again")
    if np.issubdtype(dtype, np.floating) and not np.isfinite(array).all():
        raise TtsMetaError(f"{path}: damaged, values that are not finite; delete it to compute it again")
    return array


@dataclass(frozen=True)
class Durations:
    """Frames of each symbol of a store, int32 `(S,)`; `known` `(U,)` marks the utterances that have durations."""

    frames: NDArray[np.int32]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, store: FeatureStore, durations_of: Iterable[tuple[int, Tensor | None]]) -> Durations:
        """From pairs of an utterance's number and its durations `(N,)`, or None."""
        frames, known = np.zeros(len(store.tokens), np.int32), np.zeros(len(store), bool)
        for n, durations in durations_of:
            if durations is not None:
                frames[store.starts[n] : store.starts[n + 1]] = durations.numpy()
                known[n] = True
        return cls(frames, known)

    @classmethod
    def load(cls, path: Path, store: FeatureStore) -> Durations:
        """Read what `save` wrote. Raises TtsMetaError if it is damaged or belongs to another store."""
        like = {"frames": torch.empty(len(store.tokens), dtype=torch.int32), "known": torch.empty(len(store)).bool()}
        tensors = read_tensors(path, "delete it to compute it again", like, "not of these utterances")
        frames, known = tensors["frames"].numpy(), tensors["known"].numpy()
        if frames.dtype != np.int32 or known.dtype != np.bool_ or (frames < 0).any():
            raise TtsMetaError(f"{path}: damaged, no durations; delete it to compute it again")
        sums = np.add.reduceat(frames, store.starts[:-1]) if len(store) else frames
        if (sums != np.where(known, store.frames, 0)).any():
            raise TtsMetaError(
                f"{path}: damaged, its durations are not those of these utterances; delete it to compute it again"
            )
        return cls(frames, known)

    def save(self, path: Path) -> None:
        """Write a safetensors file, completely or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(safetensors.numpy.save({"frames": self.frames, "known": self.known}))
