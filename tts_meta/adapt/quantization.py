"""Quantizes matrices to a few bits per number, with one scale per row, for the voice file.

Codes are the midpoints of equal intervals around zero. With three bits they are (k + 1/2) s for k from -4 to 3. For
each row the scale s with the least squared error is chosen from a few candidates. Quantizing dequantized numbers again
gives the same bits, because the candidates include every scale at which the row's largest number is a code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MIN_ELEMENTS = 2048
"""Smaller parameters are not quantized, because little would be saved."""
MATRIX_BITS, FACTOR_BITS = 3, 6
"""Bits for full-rank changes, and for low-rank factors, whose product has the errors of both."""
_RANGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Candidate ends of the outermost intervals, as fractions of a row's largest number."""


def should_quantize(matrix: Tensor) -> bool:
    """Whether the tensor has at least two dimensions and `MIN_ELEMENTS` numbers."""
    return matrix.ndim > 1 and matrix.numel() >= MIN_ELEMENTS


def quantize(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Quantize numbers `(N, ...)`, K per row.

    Returns packed codes, uint8 `(ceil(N K bits / 8),)`, and scales in half precision `(N,)`.
    """
    half = 2 ** (bits - 1)
    rows = matrix.reshape(len(matrix), -1).float()
    largest = rows.abs().amax(1)
    least_error, scales = torch.full_like(largest, torch.inf), torch.zeros_like(largest)
    for fraction in (*(1 / (code + 0.5) for code in reversed(range(half))), *(end / half for end in _RANGES)):
        # In half precision as in the file, and never so small that it would be zero there.
        scale = (largest * fraction).half().float().clamp(min=2.0**-24)
        error = (_midpoints(_codes(rows, scale, half), scale) - rows).square().sum(1)
        scales, least_error = torch.where(error < least_error, scale, scales), torch.minimum(error, least_error)
    scales = torch.where(largest > 0, scales, 0.0)
    codes = (_codes(rows, scales, half) + half).to(torch.uint8).numpy().reshape(-1, 1)
    code_bits = np.unpackbits(codes, axis=1, count=bits, bitorder="little")
    return torch.from_numpy(np.packbits(code_bits.reshape(-1), bitorder="little")), scales.half()


def dequantize(codes: Tensor, scales: Tensor, shape: Sequence[int], bits: int) -> Tensor:
    """The numbers of `shape`. Raises ValueError if codes or scales do not fit the shape."""
    count = math.prod(shape)
    if not shape or min(shape) < 1:
        raise ValueError("a shape without elements")
    if (
        codes.dtype != torch.uint8
        or not scales.is_floating_point()
        or codes.shape != (-(-count * bits // 8),)
        or scales.shape != (shape[0],)
    ):
        raise ValueError("codes or scales that do not fit the shape")
    code_bits = np.unpackbits(codes.numpy(), count=count * bits, bitorder="little").reshape(-1, bits)
    rows = torch.from_numpy(np.packbits(code_bits, axis=1, bitorder="little")).reshape(shape[0], -1)
    return _midpoints(rows.float() - 2 ** (bits - 1), scales.float()).reshape(tuple(shape))


def _codes(rows: Tensor, scale: Tensor, half: int) -> Tensor:
    return (rows / scale.clamp(min=2.0**-24)[:, None]).floor().clamp(-half, half - 1)


def _midpoints(codes: Tensor, scale: Tensor) -> Tensor:
    return (codes + 0.5) * scale[:, None]
