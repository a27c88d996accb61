"""Quantization of matrices: nearest codes, precision, and exact round trips."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_meta.adapt.quantization import dequantize, quantize


def test_quantized_numbers_are_the_nearest_codes_of_their_row() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 3, 7, generator=generator) * torch.tensor([1e-4, 1.0, 30.0, 0.0, 1e-7])[:, None, None]
    codes, scales = quantize(matrix, 3)
    assert codes.shape == (40,) and codes.dtype == torch.uint8 and scales.shape == (5,)
    restored = dequantize(codes, scales, matrix.shape, 3)
    for row, result, scale in zip(matrix.reshape(5, -1), restored.reshape(5, -1), scales.float(), strict=True):
        levels = (torch.arange(-4, 4) + 0.5) * scale
        nearest = levels[(row[:, None] - levels).abs().argmin(1)]
        torch.testing.assert_close((result - row).abs(), (nearest - row).abs())
    assert float(restored[3].abs().max()) < 1e-4
    with pytest.raises(ValueError, match="do not fit the shape"):
        dequantize(codes, scales, (5, 30), 3)
    six_bit_codes, scales = quantize(matrix, 6)
    assert six_bit_codes.shape == (79,)
    squared_error = (dequantize(six_bit_codes, scales, matrix.shape, 6) - matrix)[:3].flatten(1).square().sum(1)
    assert torch.all(squared_error < 0.002 * matrix[:3].flatten(1).square().sum(1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([3, 6]), st.integers(1, 6), st.integers(1, 50))
def test_quantizing_twice_changes_nothing(seed: int, bits: int, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** (torch.rand(rows, 1, generator=generator) * 14 - 9)  # from half's smallest numbers to its largest
    matrix = (torch.randn(rows, columns, generator=generator) * sizes).clamp(-65504, 65504)
    matrix *= torch.rand(rows, columns, generator=generator) < torch.rand(1, generator=generator)
    once = dequantize(*quantize(matrix, bits), matrix.shape, bits)
    assert torch.equal(dequantize(*quantize(once, bits), matrix.shape, bits), once)
    zero_rows = matrix.abs().amax(1) == 0
    assert torch.equal(once[zero_rows], matrix[zero_rows]), "rows of zeros stay zero"
