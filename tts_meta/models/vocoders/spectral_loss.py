"""How far made sound is from spoken sound: spectra at many resolutions, and the energy distance over them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SIZES = (2048, 1024, 512, 256, 128)
_FLOOR = 1e-4
"""Magnitudes below are as good as silence: -80 dB of full scale."""
_LINEAR = 8.0
"""Weight of magnitudes beside logarithms: what makes loud parts, at the usual loudness, count as much."""

Spectra = list[tuple[Tensor, Tensor]]


def spectra(samples: Tensor) -> Spectra:
    """Magnitudes and their logarithms `(B, F, T)` of samples `(B, S)`, for windows of 2,048 to 128 samples."""
    found = []
    for size in _SIZES:
        window = torch.hann_window(size, device=samples.device)
        spectrum = torch.stft(samples, size, size // 2, window=window, center=False, return_complex=True)
        magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-7) / math.sqrt(size)
        found.append((magnitude, magnitude.clamp(min=_FLOOR).log()))
    return found


def spectral_distance(one: Spectra, other: Spectra) -> Tensor:
    """Mean absolute difference, of logarithms and of magnitudes: a metric, so `energy_distance` is proper."""
    parts = [
        (log - other_log).abs().mean() + _LINEAR * (magnitude - other_magnitude).abs().mean()
        for (magnitude, log), (other_magnitude, other_log) in zip(one, other, strict=True)
    ]
    return torch.stack(parts).mean()


def spectral_energy_distance(real: Spectra, one: Spectra, other: Spectra, repulsion: float = 1.0) -> Tensor:
    """Spectral energy distance of two independent makings to the real one (Gritsenko et al. 2020, arXiv 2008.01160).

    d(real, one) + d(real, other) - repulsion * d(one, other). With a repulsion of 1 it is least where what is made
    spreads as what is real does. A plain distance, half of a repulsion of 0, would be least at the median of all noises
    that fit, which is not noise.
    """
    return spectral_distance(real, one) + spectral_distance(real, other) - repulsion * spectral_distance(one, other)
