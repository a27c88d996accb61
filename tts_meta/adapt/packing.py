"""Matrices in four bits a number, with a scale a row: what a voice changes is small beside what it changes.

Codes are the middles of sixteen even steps around zero, (k + 1/2) s for k from -8 to 7. Of some scales s of each row
the one is taken that comes nearest to it by squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SMALLEST = 2048
"""Parameters of fewer numbers are not worth packing."""
_LEVELS = 16
_REACHES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""Where the outermost steps end, as parts of a row's largest number."""


def worth_packing(matrix: Tensor) -> bool:
    """Whether it has rows, and enough numbers."""
    return matrix.ndim > 1 and matrix.numel() >= SMALLEST


def pack(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers `(N, ...)` to codes, two a byte, uint8 `(N, ceil(K / 2))`, and scales, half `(N,)`."""
    rows = matrix.reshape(len(matrix), -1).float()
    largest = rows.abs().amax(1)
    best, scales = torch.full_like(largest, torch.inf), torch.zeros_like(largest)
    for reach in _REACHES:
        # As the file holds it, and never so small that it is nothing there.
        scale = (largest * reach * 2 / _LEVELS).half().float().clamp(min=torch.finfo(torch.float16).tiny)
        error = (_middles(_codes(rows, scale), scale) - rows).square().sum(1)
        scales, best = torch.where(error < best, scale, scales), torch.minimum(error, best)
    codes = (_codes(rows, scales) + _LEVELS // 2).to(torch.uint8)
    if codes.shape[1] % 2:
        codes = torch.nn.functional.pad(codes, (0, 1))
    return codes[:, ::2] | codes[:, 1::2] << 4, scales.half()


def unpack(codes: Tensor, scales: Tensor, shape: Sequence[int]) -> Tensor:
    """Back to numbers of `shape`. Raises ValueError where they are not so many."""
    count = math.prod(shape[1:])
    if codes.shape != (shape[0], -(-count // 2)) or scales.shape != (shape[0],) or codes.dtype != torch.uint8:
        raise ValueError("codes that are not as many as the shape says")
    both = torch.stack([codes & 15, codes >> 4], -1).reshape(shape[0], -1)[:, :count]
    return _middles(both.float() - _LEVELS // 2, scales.float()).reshape(tuple(shape))


def _codes(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows / scale[:, None]).floor().clamp(-_LEVELS // 2, _LEVELS // 2 - 1)


def _middles(codes: Tensor, scale: Tensor) -> Tensor:
    return (codes + 0.5) * scale[:, None]
