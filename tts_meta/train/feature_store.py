"""The features of a run's utterances on disk, read on demand, so that memory does not grow with the corpus.

The log-mels are in an array store, which all runs on a corpus share. The folder of the run holds `tokens.npy`, the
symbols of all utterances in order `(S,)`; `ends.npy`, the start of each utterance among all frames and among all
symbols `(U + 1, 2)`; `keys.npy`, the key of its log-mel `(U, 32)`; and `names.json`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tts_meta.array_store import ArrayStore
from tts_meta.corpus import Example
from tts_meta.corpus.segments import Ints
from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_file, atomic_folder, sha256_file
from tts_meta.headers import Digest, Header, Name, read_header
from tts_meta.tensors import read_tensors
from tts_meta.train.distributed import is_first

_ADVICE = "delete the folder to compute it again"
_ARRAYS = ("tokens.npy", "ends.npy", "keys.npy")
_OLD_FILE = "mel.float16"


class FeatureStoreHeader(Header):
    """`names.json`: ids and speakers of the utterances, number of mel bands, and SHA-256 of the other files by name."""

    ids: list[Name] = Field(min_length=1)
    speakers: list[Name]
    bands: int = Field(gt=0, le=1024)
    sha256: dict[str, Digest]


class StoredUtterance(NamedTuple):
    """An utterance whose log-mel is in an array store: key there, number of frames, and symbols `(N,)`."""

    id: str
    speaker: str
    key: bytes
    frames: int
    tokens: NDArray[np.int16]


def write_table(folder: Path, utterances: Iterable[StoredUtterance], bands: int) -> None:
    """Write the utterances of a run, completely or not at all."""
    ids, speakers, keys, tokens, ends = [], [], bytearray(), [], [(0, 0)]
    with atomic_folder(folder) as temporary:
        for utterance in utterances:
            ids.append(utterance.id)
            speakers.append(utterance.speaker)
            keys += utterance.key
            tokens.append(utterance.tokens)
            ends.append((ends[-1][0] + utterance.frames, ends[-1][1] + len(utterance.tokens)))
        if not ids:
            raise TtsMetaError("no utterance is left to train on; give a larger corpus")
        np.save(temporary / "tokens.npy", np.concatenate(tokens))
        np.save(temporary / "ends.npy", np.array(ends))
        np.save(temporary / "keys.npy", np.frombuffer(bytes(keys), np.uint8).reshape(len(ids), -1))
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
    """The utterances of a folder of `write_table`, as examples without durations, with log-mels from an array store.

    frames, symbols: the length of each utterance, `(U,)`. tokens: the symbols of all utterances, `(S,)`; those of
    utterance n are from `starts[n]` to `starts[n + 1]`. frame_starts: the first frame of each utterance among all
    frames. digest: SHA-256 of the symbols and of the keys. Raises TtsMetaError if a file is missing or damaged.
    """

    def __init__(self, folder: Path, mels: ArrayStore) -> None:
        if (folder / _OLD_FILE).exists():
            raise TtsMetaError(
                f"{folder}: features of an older version; delete the folder, and run the same command again to compute "
                "them again and to continue"
            )
        names = read_header(folder / "names.json", FeatureStoreHeader, _ADVICE, max_bytes=10**9)
        self._folder, self._mels = folder, mels
        self.ids, self.speakers, self._bands, self._digests = names.ids, names.speakers, names.bands, names.sha256
        ends = load_array(folder / "ends.npy", np.int64, (len(names.ids) + 1, 2))
        if len(names.speakers) != len(names.ids) or ends[0].any() or (np.diff(ends, axis=0) <= 0).any():
            raise TtsMetaError(
                f"{folder}: damaged features, the numbers of utterances, ends and speakers differ; {_ADVICE}"
            )
        self.tokens: Ints = load_array(folder / "tokens.npy", np.int16, (int(ends[-1, 1]),))
        self._keys = load_array(folder / "keys.npy", np.uint8, (len(names.ids), 32))
        self.frame_starts, self.starts = ends.T
        self.frames, self.symbols = np.diff(ends, axis=0).T

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def digest(self) -> str:
        """SHA-256 of the symbols and of the keys of the log-mels."""
        return hashlib.sha256(json.dumps(self._digests, sort_keys=True).encode()).hexdigest()

    def check(self, symbols: int, bands: int) -> None:
        """Raise TtsMetaError if a file was changed, or the symbols or mel bands do not fit a model.

        symbols: size of the symbol table; symbol numbers are from 1 to symbols - 1. Log-mels are checked when they are
        read.
        """
        for name in _ARRAYS if is_first() else ():
            if sha256_file(self._folder / name) != self._digests.get(name):
                raise TtsMetaError(
                    f"{self._folder / name}: damaged, it differs from what was written (SHA-256); {_ADVICE}"
                )
        if self._bands != bands or int(self.tokens.min()) < 1 or int(self.tokens.max()) >= symbols:
            raise TtsMetaError(f"{self._folder}: features for other symbols or mels; {_ADVICE}")

    def missing(self, *stores: ArrayStore) -> NDArray[np.intp]:
        """Return the numbers of the utterances that have no array with a row for each frame in one of the stores."""
        found = [store.rows(self._keys) == self.frames for store in stores]
        return np.flatnonzero(~np.all(found, axis=0))

    def utterance_of(self, frame: int) -> int:
        """Return the number of the utterance that has a frame, numbered among all frames."""
        return int(self.frame_starts.searchsorted(frame, side="right")) - 1

    def key(self, n: int) -> bytes:
        """Return the key of the log-mel of utterance n."""
        return self._keys[n].tobytes()

    def read(self, index: int) -> Example:
        tokens = torch.from_numpy(self.tokens[self.starts[index] : self.starts[index + 1]].astype(np.int64))
        mel = self.mel(index, 0, int(self.frames[index]))
        return Example(self.ids[index], self.speakers[index], tokens, torch.zeros_like(tokens), mel)

    def mel(self, n: int, begin: int, end: int) -> Tensor:
        """Read frames `begin` to `end` of utterance n, float32 `(end - begin, M)`."""
        return torch.from_numpy(self.half_mel(n, begin, end)).float()

    def half_mel(self, n: int, begin: int, end: int) -> NDArray[np.float16]:
        """Read frames `begin` to `end` of utterance n, as they are stored."""
        return self._mels.read(self.key(n), begin, end)


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
