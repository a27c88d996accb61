"""A run's utterances on disk: what is asked for is read, so that memory does not grow with the corpus.

A folder holds `mel.float16`, the frames of all utterances one after the other `(F, M)`, `tokens.npy` `(S,)` and
`ends.npy` `(U + 1, 2)`, where each utterance begins in both, and `names.json`. All processes read the same files.
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
from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_file, atomic_folder, sha256_file
from tts_meta.headers import Digest, Header, Name, read_header
from tts_meta.tensors import read_tensors
from tts_meta.train.distributed import is_first

_ADVICE = "delete the folder to make it again"
_ARRAYS = ("mel.float16", "tokens.npy", "ends.npy")


class StoreNames(Header):
    """`names.json`. bands: mel bands of the frames. sha256: of the other files, by name."""

    ids: list[Name] = Field(min_length=1)
    speakers: list[Name]
    bands: int = Field(gt=0, le=1024)
    sha256: dict[str, Digest]


Ints = NDArray[np.integer[Any]]


def write_store(folder: Path, examples: Iterable[Example]) -> None:
    """Write examples, one in memory at a time, whole or not at all; their durations are not kept."""
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


class OnDisk(Sequence[Example], ABC):
    """Examples that are read when they are asked for, by place or as slices."""

    @abstractmethod
    def read(self, place: int) -> Example:
        """The example at a place from 0 on."""

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...
    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        places = range(len(self))[place]
        return self.read(places) if isinstance(places, int) else [self.read(one) for one in places]


class Store(OnDisk):
    """The utterances of a folder that `write_store` wrote, as examples without durations.

    frames, symbols: how long each is, `(U,)`. tokens: the symbols of all, `(S,)`, those of utterance n from
    `starts[n]` to `starts[n + 1]`; its frames begin at `frame_starts[n]` of those of all. Raises TtsMetaError where a
    file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        names = read_header(folder / "names.json", StoreNames, _ADVICE, max_bytes=10**9)
        self.ids, self.speakers, self._bands, self._digests = names.ids, names.speakers, names.bands, names.sha256
        ends = load_array(folder / "ends.npy", np.int64, (len(names.ids) + 1, 2))
        if len(names.speakers) != len(names.ids) or ends[0].any() or (np.diff(ends, axis=0) <= 0).any():
            raise TtsMetaError(f"{folder}: damaged utterances, their ends or speakers do not fit; {_ADVICE}")
        self.tokens: Ints = load_array(folder / "tokens.npy", np.int16, (int(ends[-1, 1]),))
        self._mel = folder / "mel.float16"
        if not self._mel.is_file() or self._mel.stat().st_size != ends[-1, 0] * self._bands * 2:
            raise TtsMetaError(f"{self._mel}: damaged, not as long as its utterances; {_ADVICE}")
        self.frame_starts, self.starts = ends.T
        self.frames, self.symbols = np.diff(ends, axis=0).T

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, symbols: int, bands: int) -> None:
        """Raise TtsMetaError where a file is not as it was written, or symbols or mels are not those of a model.

        symbols: numbers of symbols are from 1 to below it. Reads all frames, as training does.
        """
        for name in _ARRAYS if is_first() else ():
            if sha256_file(self._mel.parent / name) != self._digests.get(name):
                raise TtsMetaError(f"{self._mel.parent / name}: damaged, not as it was written (SHA-256); {_ADVICE}")
        if self._bands != bands or int(self.tokens.min()) < 1 or int(self.tokens.max()) >= symbols:
            raise TtsMetaError(f"{self._mel.parent}: utterances of other symbols or mels; {_ADVICE}")

    def read(self, place: int) -> Example:
        tokens = torch.from_numpy(self.tokens[self.starts[place] : self.starts[place + 1]].astype(np.int64))
        mel = self.mel(place, 0, int(self.frames[place]))
        return Example(self.ids[place], self.speakers[place], tokens, torch.zeros_like(tokens), mel)

    def mel(self, n: int, begin: int, end: int) -> Tensor:
        """Frames `begin` to `end` of utterance n, read now, float32 `(end - begin, M)`."""
        frames = np.empty((end - begin, self._bands), np.float16)
        # Read, not mapped: a page fault reads megabytes ahead, of which pieces drawn at random use nothing.
        with open(self._mel, "rb", buffering=0) as file:
            file.seek((int(self.frame_starts[n]) + begin) * self._bands * 2)
            if file.readinto(frames.data) != frames.nbytes:
                raise TtsMetaError(f"{self._mel}: cut short while it is read; delete its folder to make it anew")
        # NaN and infinity survive in a sum, which needs no memory.
        if not np.isfinite(frames.sum(dtype=np.float64)):
            raise TtsMetaError(f"{self._mel}: damaged, values that are not finite; {_ADVICE}")
        return torch.from_numpy(frames).float()


def load_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of a `.npy` file, mapped. Raises TtsMetaError where it is of another type or shape, or not finite."""
    try:
        found = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy raises a dozen kinds for a broken file
        raise TtsMetaError(f"{path}: damaged ({excerpt(str(error))}); delete it to make it again") from error
    if found.dtype != dtype or found.shape != shape:
        raise TtsMetaError(f"{path}: damaged, not {dtype.__name__} of shape {shape}; delete it to make it again")
    if np.issubdtype(dtype, np.floating) and not np.isfinite(found).all():
        raise TtsMetaError(f"{path}: damaged, values that are not finite; delete it to make it again")
    return found


@dataclass(frozen=True)
class Durations:
    """Frames of each symbol of a store, int32 `(S,)`, of those utterances that have them: known `(U,)` bool."""

    frames: NDArray[np.int32]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, store: Store, found: Iterable[tuple[int, Tensor | None]]) -> Durations:
        """From durations `(N,)`, or None, of utterances by number."""
        frames, known = np.zeros(len(store.tokens), np.int32), np.zeros(len(store), bool)
        for n, durations in found:
            if durations is not None:
                frames[store.starts[n] : store.starts[n + 1]] = durations.numpy()
                known[n] = True
        return cls(frames, known)

    @classmethod
    def load(cls, path: Path, store: Store) -> Durations:
        """Read what `save` wrote for this store. Raises TtsMetaError where it is damaged or not of the store."""
        like = {"frames": torch.empty(len(store.tokens), dtype=torch.int32), "known": torch.empty(len(store)).bool()}
        tensors = read_tensors(path, "delete it to make it again", like, "not of these utterances")
        frames, known = tensors["frames"].numpy(), tensors["known"].numpy()
        if frames.dtype != np.int32 or known.dtype != np.bool_ or (frames < 0).any():
            raise TtsMetaError(f"{path}: damaged, no durations; delete it to make it again")
        sums = np.add.reduceat(frames, store.starts[:-1]) if len(store) else frames
        if (sums != np.where(known, store.frames, 0)).any():
            raise TtsMetaError(f"{path}: damaged, not as long as these utterances; delete it to make it again")
        return cls(frames, known)

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(safetensors.numpy.save({"frames": self.frames, "known": self.known}))
