"""What the tests of failures share: a full disk, a run that is interrupted, the one line that a user is told."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from torch import nn

from tts_meta.errors import TtsMetaError
from tts_meta.train.optimiser import MovingAverage


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: the same system calls fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def interrupted(updates: int) -> Iterator[None]:
    """Training inside the block is interrupted at the update after so many."""
    update, done = MovingAverage.update, []

    def dies(average: MovingAverage, model: nn.Module, step: int) -> None:
        if len(done) == updates:
            raise KeyboardInterrupt
        done.append(step)
        update(average, model, step)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MovingAverage, "update", dies)
        yield


def error_line(call: Callable[[], object], kind: type[TtsMetaError] = TtsMetaError) -> str:
    """The message of the error that `call` must raise, which is one line."""
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text
