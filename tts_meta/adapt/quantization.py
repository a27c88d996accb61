"""Matrices in few bits a number, with a scale a row: what a voice changes is small beside what it changes.

Codes are the middles of even steps around zero: of three bits (k + 1/2) s for k from -4 to 3. Of some scales s of each
row the one is taken that comes nearest to it by squares. Numbers that were packed before are found again to the bit,
since the scales by which the row's largest number is a code are among those tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SMALLEST = 2048
"""Parameters of fewer numbers are not worth packing."""
WHOLE_BITS, FACTOR_BITS = 3, 6
"""Of what changes in a matrix, and of its factors: what is multiplied out has the errors of both."""
_REACHES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Where the outermost steps end, as parts of a row's largest number."""


def worth_packing(matrix: Tensor) -> bool:
    """Whether it has rows, and enough numbers."""
    return matrix.ndim > 1 and matrix.numel() >= SMALLEST


def pack(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Numbers `(N, ...)`, K a row, to codes side by side, uint8 `(ceil(N K bits / 8),)`, and scales, half `(N,)`."""
    half = 2 ** (bits - 1)
    rows = matrix.reshape(len(matrix), -1).float()
    largest = rows.abs().amax(1)
    best, scales = torch.full_like(largest, torch.inf), torch.zeros_like(largest)
    for part in (*(1 / (code + 0.5) for code in reversed(range(half))), *(reach / half for reach in _REACHES)):
        # As the file holds it, and never so small that it is nothing there.
        scale = (largest * part).half().float().clamp(min=2.0**-24)
        error = (_middles(_codes(rows, scale, half), scale) - rows).square().sum(1)
        scales, best = torch.where(error < best, scale, scales), torch.minimum(error, best)
    scales = torch.where(largest > 0, scales, 0.0)
    codes = (_codes(rows, scales, half) + half).to(torch.uint8).numpy().reshape(-1, 1)
    single = np.unpackbits(codes, axis=1, count=bits, bitorder="little")
    return torch.from_numpy(np.packbits(single.reshape(-1), bitorder="little")), scales.half()


def unpack(codes: Tensor, scales: Tensor, shape: Sequence[int], bits: int) -> Tensor:
    """Back to numbers of `shape`. Raises ValueError where they are not so many."""
    count = math.prod(shape)
    if not shape or min(shape) < 1:
        raise ValueError("a shape that holds no number")
    if (
        codes.dtype != torch.uint8
        or not scales.is_floating_point()
        or codes.shape != (-(-count * bits // 8),)
        or scales.shape != (shape[0],)
    ):
        raise ValueError("codes that are not as many as the shape says")
    single = np.unpackbits(codes.numpy(), count=count * bits, bitorder="little").reshape(-1, bits)
    own = torch.from_numpy(np.packbits(single, axis=1, bitorder="little")).reshape(shape[0], -1)
    return _middles(own.float() - 2 ** (bits - 1), scales.float()).reshape(tuple(shape))


def _codes(rows: Tensor, scale: Tensor, half: int) -> Tensor:
    return (rows / scale.clamp(min=2.0**-24)[:, None]).floor().clamp(-half, half - 1)


def _middles(codes: Tensor, scale: Tensor) -> Tensor:
    return (codes + 0.5) * scale[:, None]
