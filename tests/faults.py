"""Failures for tests: a full disk, an interrupted run, and the one-line message of an error."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.errors import TtsMetaError


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit the files of this process to `size` bytes: the same system calls fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def interrupted(updates: int) -> Iterator[None]:
    """Interrupt the training inside the block after a given number of updates of the weights."""
    update, calls = AveragedModel.update_parameters, []

    def interrupt(average: AveragedModel, model: nn.Module) -> None:
        if len(calls) == updates:
            raise KeyboardInterrupt
        calls.append(model)
        update(average, model)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AveragedModel, "update_parameters", interrupt)
        yield


def error_line(call: Callable[[], object], kind: type[TtsMetaError] = TtsMetaError) -> str:
    """Return the message of the error that `call` must raise, which must be one line."""
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text
