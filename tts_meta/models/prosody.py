"""Prosody of a sentence, symbol by symbol, as its log-mel shows it: pitch, voicing, energy.

The acoustic model reads these three numbers of each symbol beside the symbol itself, predicts them when it speaks, and
may be told others. They are measured from nothing but the mel and the durations, so that whatever holds a mel holds its
prosody. Pitch is found as in harmonic matching (Goldstein 1973): harmonics of one fundamental leave a ripple in the
lowest bands; the ripple of each candidate is known from a tone, and over the frames of a symbol the candidate that fits
best is its pitch.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tts_meta.audio import MelSpec
from tts_meta.audio.mel import MelConfig

CHANNELS = 3
"""Pitch, voicing, energy."""
PITCH_SCALE = 4.0
"""The pitch channel is so many times ln(f / f of the sentence) where a symbol is voiced, 0 where it is not."""
_ENERGY_SCALE = 0.5
"""The energy channel is so many times the nats by which a symbol is louder than the sentence."""
_LOWEST, _HIGHEST, _STEP = 65.0, 420.0, 12 * 4
"""Candidates, Hz, and how many an octave has."""
_RIPPLE_BELOW = 1000.0
"""Bands up to here are looked at, Hz: above, they are wider than the distance of harmonics."""
_SMOOTH = 5
"""Bands on each side that the smooth spectrum, which the ripple stands on, is averaged over."""
_UNVOICED, _VOICED = 0.3, 0.7
"""Correlations with the best tone at which voicing is 0 and 1."""
_SPREAD, _PENALTY = 0.35, 0.05
"""Pitches this far from the sentence's, in nats, need this much more correlation: few voices jump by an octave."""


def measure_prosody(mel: Tensor, durations: Tensor, config: MelConfig) -> Tensor:
    """Prosody `(B, N, CHANNELS)` of log-mels `(B, T, M)` whose symbols last `durations (B, N)` frames.

    Pitch and energy are relative to the sentence. Symbols of no frames, and padding, have zeros.
    """
    with torch.autocast(mel.device.type, enabled=False):
        # Hashable, since frozen, which is more than pyright knows of it.
        log_frequencies, tones = (table.to(mel) for table in _tones(config))  # pyright: ignore[reportArgumentType]
        low = mel[..., : tones.shape[1]]
        weight = low.exp().sum(-1, keepdim=True).sqrt()  # Louder frames say more of the pitch.
        fit = (_ripple(low) @ tones.T).clamp(min=0)  # (B, T, candidates)
        loudness = mel.logsumexp(-1, keepdim=True)
        fit, weight, loudness = _sums(torch.cat([fit * weight, weight, loudness], -1), durations).split(
            [len(tones), 1, 1], -1
        )
        fit = fit / weight.clamp(min=1e-9)
        best, place = fit.max(-1)
        centre = _weighted_median(log_frequencies[place], best**4 * weight.squeeze(-1))
        far = (log_frequencies - centre[:, None, None]) / _SPREAD
        pitch = log_frequencies[(fit - _PENALTY * far.square()).argmax(-1)]
        voicing = ((best - _UNVOICED) / (_VOICED - _UNVOICED)).clamp(0, 1)
        frames = durations.to(mel)
        pitch = pitch - _mean(pitch, voicing * frames)
        loudness = loudness.squeeze(-1) / frames.clamp(min=1)
        energy = loudness - _mean(loudness, frames)
        prosody = torch.stack([PITCH_SCALE * pitch * voicing, voicing, _ENERGY_SCALE * energy], -1)
        return torch.where((durations > 0).unsqueeze(-1), prosody, 0.0)


def change_prosody(prosody: Tensor, semitones: float = 0.0, pitch_range: float = 1.0) -> Tensor:
    """The same prosody `(..., CHANNELS)` higher by `semitones`, its melody `pitch_range` times as wide."""
    pitch, voicing, energy = prosody.unbind(-1)
    pitch = pitch * pitch_range + PITCH_SCALE * semitones * math.log(2) / 12 * voicing
    return torch.stack([pitch, voicing, energy], -1)


@functools.cache
def _tones(config: MelConfig) -> tuple[Tensor, Tensor]:
    """ln f of each candidate `(C,)`, and the ripple that a tone of that pitch leaves in the low bands `(C, K)`."""
    spec = MelSpec(config)
    bands = int((spec.filters.argmax(0) * config.sample_rate / config.n_fft < _RIPPLE_BELOW).sum())
    octaves = math.log2(_HIGHEST / _LOWEST)
    frequencies = _LOWEST * 2 ** torch.linspace(0, octaves, round(octaves * _STEP) + 1)
    harmonics = torch.arange(1, int(2 * _RIPPLE_BELOW / _LOWEST) + 1)
    heard = (frequencies[:, None] * harmonics < 2 * _RIPPLE_BELOW).float()  # (C, H)
    time = torch.arange(4 * config.n_fft) / config.sample_rate
    # Phases that spread each period's energy over all of it (Schroeder 1970): the ripple is to be one of harmonics.
    phases = harmonics * (harmonics - 1) * math.pi / len(harmonics)
    angles = 2 * math.pi * frequencies[:, None, None] * harmonics[:, None] * time + phases[:, None]
    waves = torch.einsum("ch,cht->ct", heard, angles.cos())
    return frequencies.log(), _ripple(spec(0.05 * waves).mean(1)[:, :bands])


def _ripple(low: Tensor) -> Tensor:
    """What of spectra `(..., K)` is not smooth, of unit norm; zeros where all is smooth."""
    ripple = low @ _unsmooth(low.shape[-1]).to(low)
    return ripple / ripple.norm(dim=-1, keepdim=True).clamp(min=1e-3)


@functools.cache
def _unsmooth(bands: int) -> Tensor:
    """What takes the smooth part out of a spectrum: `(K,) @ (K, K)`."""
    window = torch.hann_window(2 * _SMOOTH + 3, periodic=False)[1:-1]
    padded = F.pad(torch.eye(bands).unsqueeze(1), (_SMOOTH, _SMOOTH), mode="replicate")
    rest = torch.eye(bands) - F.conv1d(padded, (window / window.sum())[None, None]).squeeze(1)
    return rest - rest.mean(1, keepdim=True)


def _sums(values: Tensor, durations: Tensor) -> Tensor:
    """Sums of `values (B, T, C)` over the frames of each symbol, `(B, N, C)`."""
    running = F.pad(values.cumsum(1), (0, 0, 1, 0))
    ends = durations.cumsum(1)

    def at(frames: Tensor) -> Tensor:
        return running.gather(1, frames.clamp(max=values.shape[1]).unsqueeze(-1).expand(-1, -1, values.shape[2]))

    return at(ends) - at(ends - durations)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of each row `(B, N)`, `(B, 1)`; 0 where nothing weighs."""
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1e-9)


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Of each row `(B, N)` the value `(B,)` that has half of the weight below it."""
    ordered, order = values.sort(1)
    running = weights.gather(1, order).cumsum(1)
    place = (running < running[:, -1:] / 2).sum(1, keepdim=True)
    return ordered.gather(1, place.clamp(max=values.shape[1] - 1)).squeeze(1)
