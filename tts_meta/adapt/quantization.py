"""Quantizes matrices to a few bits per number, with one scale per row, for the voice file.

Quantized numbers are the midpoints of equal intervals around zero. With three bits the midpoints are (k + 1/2) s for k
from -4 to 3. The scale s of a row is the candidate with the least squared error. Quantizing dequantized numbers again
gives the same bits, because the candidates include every scale at which the row's largest number is a midpoint.
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
"""Bits per number of full-rank changes, and of low-rank factors. The product of two factors has the errors of both."""
_RANGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Candidate ends of the outermost intervals, as fractions of a row's largest number."""


def should_quantize(matrix: Tensor) -> bool:
    """Return whether the tensor has at least two dimensions and `MIN_ELEMENTS` numbers."""
    return matrix.ndim > 1 and matrix.numel() >= MIN_ELEMENTS


def quantize(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Quantize a matrix `(N, ...)` with K numbers per row.

    bits: bits per number. Returns packed codes, uint8 `(ceil(N K bits / 8),)`, and scales in half precision `(N,)`.
    """
    half = 2 ** (bits - 1)
    rows = matrix.reshape(len(matrix), -1).float()
    largest = rows.abs().amax(1)
    least_error, scales = torch.full_like(largest, torch.inf), torch.zeros_like(largest)
    for fraction in (*(1 / (code + 0.5) for code in reversed(range(half))), *(end / half for end in _RANGES)):
        # The scale has half precision, as in the file. The minimum prevents a scale of zero.
        scale = (largest * fraction).half().float().clamp(min=2.0**-24)
        error = (_midpoints(_codes(rows, scale, half), scale) - rows).square().sum(1)
        scales, least_error = torch.where(error < least_error, scale, scales), torch.minimum(error, least_error)
    scales = torch.where(largest > 0, scales, 0.0)
    codes = (_codes(rows, scales, half) + half).to(torch.uint8).numpy().reshape(-1, 1)
    code_bits = np.unpackbits(codes, axis=1, count=bits, bitorder="little")
    return torch.from_numpy(np.packbits(code_bits.reshape(-1), bitorder="little")), scales.half()


def dequantize(codes: Tensor, scales: Tensor, shape: Sequence[int], bits: int) -> Tensor:
    """Return the numbers of `shape` from the codes and scales of `quantize`.

    Raises ValueError if codes or scales do not fit the shape.
    """
    count = math.prod(shape)
    if not shape or min(shape) < 1:
        raise ValueError("the shape has no elements")
    if (
        codes.dtype != torch.uint8
        or not scales.is_floating_point()
        or codes.shape != (-(-count * bits // 8),)
        or scales.shape != (shape[0],)
    ):
        raise ValueError("codes or scales do not fit the shape")
    code_bits = np.unpackbits(codes.numpy(), count=count * bits, bitorder="little").reshape(-1, bits)
    rows = torch.from_numpy(np.packbits(code_bits, axis=1, bitorder="little")).reshape(shape[0], -1)
    return _midpoints(rows.float() - 2 ** (bits - 1), scales.float()).reshape(tuple(shape))


def _codes(rows: Tensor, scale: Tensor, half: int) -> Tensor:
    return (rows / scale.clamp(min=2.0**-24)[:, None]).floor().clamp(-half, half - 1)


def _midpoints(codes: Tensor, scale: Tensor) -> Tensor:
    return (codes + 0.5) * scale[:, None]
