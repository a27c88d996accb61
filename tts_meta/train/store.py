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
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, atomic_folder

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
        names = {"ids": ids, "speakers": speakers, "bands": bands}
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
        try:
            names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
            self.ids: list[str] = names["ids"]
            self.speakers: list[str] = names["speakers"]
            ends = np.load(folder / "ends.npy")
            self.tokens: Ints = np.asarray(np.load(folder / "tokens.npy", mmap_mode="r"))
            self._mel, self._bands = folder / "mel.float16", int(names["bands"])
            if self._mel.stat().st_size != ends[-1, 0] * self._bands * 2:
                raise ValueError(f"{self._mel.name} was cut short")
        except (OSError, ValueError, KeyError) as error:
            raise TtsMetaError(f"{folder}: damaged utterances ({error}); delete the folder to make it anew") from error
        self.frame_starts, self.starts = ends.T
        self.frames, self.symbols = np.diff(ends, axis=0).T

    def __len__(self) -> int:
        return len(self.ids)

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
        return torch.from_numpy(frames).float()


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
    def load(cls, path: Path) -> Durations:
        """Read what `save` wrote."""
        return cls(**safetensors.numpy.load_file(path))

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(safetensors.numpy.save({"frames": self.frames, "known": self.known}))
