"""Losses of the vocoder: distance of multi-resolution spectra, and the spectral energy distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_WINDOWS = (2048, 1024, 512, 256, 128)
_FLOOR = 1e-4
"""Smallest magnitude before the logarithm, -80 dB of full scale; smaller magnitudes count as silence."""
_MAGNITUDE_WEIGHT = 8.0
"""Weight of magnitudes relative to logarithms. At the usual level, loud parts then count as much in both."""

Spectra = list[tuple[Tensor, Tensor]]
"""For each window: magnitudes and their logarithms, each `(B, F, T)`."""


def spectra(samples: Tensor) -> Spectra:
    """Magnitudes and their logarithms of samples `(B, S)`, for windows of 2,048 to 128 samples."""
    result = []
    for size in _WINDOWS:
        window = torch.hann_window(size, device=samples.device)
        spectrum = torch.stft(samples, size, size // 2, window=window, center=False, return_complex=True)
        magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-7) / math.sqrt(size)
        result.append((magnitude, magnitude.clamp(min=_FLOOR).log()))
    return result


def spectral_distance(first: Spectra, second: Spectra) -> Tensor:
    """Mean absolute difference of logarithms plus that of magnitudes, a scalar.

    It is a metric, so `spectral_energy_distance` is a proper score.
    """
    parts = [
        (log - second_log).abs().mean() + _MAGNITUDE_WEIGHT * (magnitude - second_magnitude).abs().mean()
        for (magnitude, log), (second_magnitude, second_log) in zip(first, second, strict=True)
    ]
    return torch.stack(parts).mean()


def spectral_energy_distance(real: Spectra, first: Spectra, second: Spectra, repulsion: float = 1.0) -> Tensor:
    """Spectral energy distance of two independent renditions to real speech (Gritsenko et al. 2020, arXiv 2008.01160).

    d(real, first) + d(real, second) - repulsion * d(first, second), a scalar. With a repulsion of 1 it is smallest
    where renditions vary as real speech does. With a repulsion of 0 it is twice the mean distance, which is smallest at
    the median of all possible noises, and this median is not noise.
    """
    attraction = spectral_distance(real, first) + spectral_distance(real, second)
    return attraction - repulsion * spectral_distance(first, second)
