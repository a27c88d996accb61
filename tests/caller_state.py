"""Torch and numpy state that a caller may set, for tests that results do not depend on it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": default_dtype,
    "device meta": lambda: default_device("meta"),
    "device cpu": lambda: default_device("cpu"),
    "torch.device": lambda: torch.device("meta"),
    "numpy raises": lambda: np.errstate(all="raise"),
}


@contextmanager
def state_unchanged_in(name: str) -> Iterator[None]:
    """Enter the context `name`, and assert at its end that the state is the same as at its beginning."""
    with CONTEXTS[name]():
        before = settings_now()
        yield
        assert settings_now() == before


def settings_now() -> dict[str, object]:
    return {
        "torch generator": torch.get_rng_state().numpy().tobytes(),
        "numpy generator": repr(np.random.get_state()),
        "Python generator": random.getstate(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "numpy errors": np.geterr(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
