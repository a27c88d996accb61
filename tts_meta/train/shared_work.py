"""`SharedWork`: jobs of a run that all processes do in equal shares, with results in files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from tts_meta.array_store import ArrayStore
from tts_meta.errors import TtsMetaError
from tts_meta.train.distributed import barrier, is_first, rank_and_world
from tts_meta.train.prefetch import prefetch

Keys = NDArray[np.uint8]


class SharedWork:
    """Results of jobs, at least one byte each, in a folder that exists until `remove`.

    keys: the key of each job, `(J, 32)`. A result is written when its job is done, so a run that is stopped at any time
    continues with the jobs that are not done, with any number of processes. All processes call each method.
    """

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._keys = keys
        self._store = ArrayStore(folder.parent, np.uint8, 1, {"features": "results of jobs"}, folder.name)

    def run(self, work: Callable[[int], bytes], label: str, console: Console, threads: int = 1) -> None:
        """Do the jobs that have no result yet; the first process shows the progress of its share."""

        def do(number: int) -> None:
            self._store.put(self._keys[number].tobytes(), np.frombuffer(work(number), np.uint8))

        share_out(np.flatnonzero(self._store.rows(self._keys) == 0), do, label, console, threads)
        self._store.refresh()

    def results(self) -> Iterator[bytes]:
        """Yield the result of every job in order. Raises TtsMetaError if one is damaged."""
        for key in self._keys:
            result = self._store.get(key.tobytes())
            if result is None:
                raise TtsMetaError(
                    f"{self._store.folder}: a result is damaged; delete the folder and run the same command again"
                )
            yield result.tobytes()

    def remove(self) -> None:
        """Remove the folder."""
        barrier()
        if is_first():
            shutil.rmtree(self._store.folder, ignore_errors=True)
        barrier()


def share_out(
    missing: NDArray[np.intp], work: Callable[[int], None], label: str, console: Console, threads: int = 1
) -> None:
    """Do the missing jobs, each in one process, and return when all are done.

    missing: numbers of the jobs, the same in every process. The first process shows the progress of its share.
    """
    barrier()  # every process has seen the same missing jobs before the first result is written
    rank, world = rank_and_world()
    share = missing[rank::world].tolist()
    done = prefetch(share, work, threads, max_pending=2 * threads)
    for _ in track(done, label, len(share), console=console, disable=not share):
        pass
    barrier()


def job_keys(prefix: str, jobs: Sequence[object]) -> Keys:
    """Return a key for each job, which depends on the prefix and on the text of the job, `(J, 32)`."""
    digests = b"".join(hashlib.sha256(f"{prefix} {job}".encode("utf-8", "surrogateescape")).digest() for job in jobs)
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)
