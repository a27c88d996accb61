"""Losses of vocoder training: the distance of multi-resolution spectra, and the spectral energy distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_WINDOWS = (2048, 1024, 512, 256, 128)
_FLOOR = 1e-4
"""Smallest magnitude before the logarithm, -80 dB of full scale; smaller magnitudes count as silence."""
_MAGNITUDE_WEIGHT = 8.0
"""Weight of magnitudes relative to logarithms. At the usual level, loud parts then have equal weight in both terms."""

Spectra = list[tuple[Tensor, Tensor]]
"""For each window: magnitudes and their logarithms, each `(B, F, T)`."""


def spectra(samples: Tensor) -> Spectra:
    """Return the magnitudes of samples `(B, S)` and their logarithms, for windows of 2,048 to 128 samples."""
    result = []
    for size in _WINDOWS:
        window = torch.hann_window(size, device=samples.device)
        spectrum = torch.stft(samples, size, size // 2, window=window, center=False, return_complex=True)
        magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-7) / math.sqrt(size)
        result.append((magnitude, magnitude.clamp(min=_FLOOR).log()))
    return result


def spectral_distance(first: Spectra, second: Spectra) -> Tensor:
    """Return the mean absolute difference of logarithms plus `_MAGNITUDE_WEIGHT` times that of magnitudes, a scalar.

    This distance is a metric, so `spectral_energy_distance` is a proper score.
    """
    parts = [
        (log - second_log).abs().mean() + _MAGNITUDE_WEIGHT * (magnitude - second_magnitude).abs().mean()
        for (magnitude, log), (second_magnitude, second_log) in zip(first, second, strict=True)
    ]
    return torch.stack(parts).mean()


def spectral_energy_distance(real: Spectra, first: Spectra, second: Spectra, repulsion: float = 1.0) -> Tensor:
    """Return the spectral energy distance of two independent renditions to real speech, a scalar.

    The result is d(real, first) + d(real, second) - repulsion * d(first, second), where d is `spectral_distance`
    (Gritsenko et al. 2020, arXiv 2008.01160). With a repulsion of 1, the minimum is at renditions that vary as real
    speech does. With a repulsion of 0, the result is twice the mean distance. The minimum is then at the median of all
    possible noises, and this median is not noise.
    """
    attraction = spectral_distance(real, first) + spectral_distance(real, second)
    return attraction - repulsion * spectral_distance(first, second)
