"""Helpers for tests of failures: a full disk, an interrupted training run, and one-line errors."""

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
    """Limit the files of this process to `size` bytes: larger writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def interrupted(updates: int) -> Iterator[None]:
    """Interrupt the training inside the block after this number of updates."""
    update, steps = MovingAverage.update, []

    def interrupting_update(average: MovingAverage, model: nn.Module, step: int) -> None:
        if len(steps) == updates:
            raise KeyboardInterrupt
        steps.append(step)
        update(average, model, step)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MovingAverage, "update", interrupting_update)
        yield


def error_line(call: Callable[[], object], kind: type[TtsMetaError] = TtsMetaError) -> str:
    """Return the message of the error that `call` must raise; assert that it is one line."""
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text
