"""Seeding of random draws inside adaptation, so that they depend on a seed and not on the caller's generators.

The generators of torch, NumPy and Python have their previous state when a call returns.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def combine_seeds(*numbers: int) -> int:
    """Return one seed of 32 bits from several numbers; torch's CPU generator reads no more bits."""
    return zlib.crc32("/".join(map(str, numbers)).encode())


@contextmanager
def seeded_torch(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's generators of the CPU and of `device` inside the block; restore their state afterwards.

    device: None means the current GPU, if torch uses one.
    """
    generators = [torch.default_generator]
    if device is None and torch.cuda.is_initialized():
        device = torch.device("cuda", torch.cuda.current_device())
    if device is not None and device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    if device is not None and device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the generators of NumPy and Python as well as those of `seeded_torch`."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with seeded_torch(seed, device):
        try:
            np.random.seed(seed)
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
