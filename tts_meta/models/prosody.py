"""Measurement of the prosody of each symbol from the log-mel of a sentence: pitch, voicing and energy.

These three numbers are an input of the acoustic model for each symbol. In synthesis, they are predicted or given by the
caller. Prosody is measured from the mel and the durations alone, so every example with a mel has prosody. Pitch is
measured by harmonic matching (Goldstein 1973). The harmonics of a fundamental cause a ripple in the lowest mel bands.
The ripple of each candidate F0 is computed from a synthetic tone. The pitch of a symbol is the candidate whose ripple
fits best over the frames of the symbol.
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
"""Number of values: pitch, voicing, energy."""
PITCH_SCALE = 4.0
"""The pitch channel is voicing times this factor times ln(F0 / F0 of the sentence)."""
_ENERGY_SCALE = 0.5
"""The energy channel is this factor times the loudness of a symbol relative to the sentence, in nats."""
_LOWEST_F0, _HIGHEST_F0, _CANDIDATES_PER_OCTAVE = 65.0, 420.0, 12 * 4
"""Candidates: lowest and highest F0 in Hz, and candidates per octave."""
_RIPPLE_BELOW = 1000.0
"""Highest frequency in Hz of the bands that are used. Higher bands are wider than the distance between harmonics."""
_SMOOTH = 5
"""Number of bands on each side in the moving average. The average is the smooth spectrum; the ripple is the rest."""
_TEMPERATURE = 0.05
"""Temperature of the weights of the candidates in `soft_pitch`, as a correlation."""
_UNVOICED, _VOICED = 0.3, 0.7
"""Correlations with the best candidate at which voicing is 0 and 1."""
_PENALTY_DISTANCE, _PENALTY = 0.35, 0.05
"""The correlation of a candidate is reduced by `_PENALTY` times the square of (distance in ln F0 from the pitch of the
sentence / `_PENALTY_DISTANCE`), because octave jumps are rare in speech."""


def measure_prosody(mel: Tensor, durations: Tensor, config: MelConfig) -> Tensor:
    """Return the prosody `(B, N, CHANNELS)` of log-mels `(B, T, M)` whose symbols last `durations (B, N)` frames.

    Pitch and energy are relative to the sentence. Symbols without frames and padding have zeros.
    """
    with torch.autocast(mel.device.type, enabled=False):
        # Pydantic makes a frozen model hashable; pyright does not know that.
        log_frequencies, tones = (table.to(mel) for table in _tones(config))  # pyright: ignore[reportArgumentType]
        low = mel[..., : tones.shape[1]]
        weight = low.exp().sum(-1, keepdim=True).sqrt()  # Louder frames weigh more in the pitch.
        fit = (_ripple(low) @ tones.T).clamp(min=0)  # (B, T, candidates)
        loudness = mel.logsumexp(-1, keepdim=True)
        fit, weight, loudness = _sum_by_symbol(torch.cat([fit * weight, weight, loudness], -1), durations).split(
            [len(tones), 1, 1], -1
        )
        fit = fit / weight.clamp(min=1e-9)
        best, index = fit.max(-1)
        sentence_pitch = _weighted_median(log_frequencies[index], best**4 * weight.squeeze(-1))
        distance = (log_frequencies - sentence_pitch[:, None, None]) / _PENALTY_DISTANCE
        pitch = log_frequencies[(fit - _PENALTY * distance.square()).argmax(-1)]
        voicing = ((best - _UNVOICED) / (_VOICED - _UNVOICED)).clamp(0, 1)
        frames = durations.to(mel)
        pitch = pitch - _weighted_mean(pitch, voicing * frames)
        loudness = loudness.squeeze(-1) / frames.clamp(min=1)
        energy = loudness - _weighted_mean(loudness, frames)
        prosody = torch.stack([PITCH_SCALE * pitch * voicing, voicing, _ENERGY_SCALE * energy], -1)
        return torch.where((durations > 0).unsqueeze(-1), prosody, 0.0)


def soft_pitch(mel: Tensor, config: MelConfig) -> tuple[Tensor, Tensor]:
    """Return ln F0 and voicing of each frame of a log-mel `(T, M)`, `(T,)` each, differentiable in the log-mel.

    ln F0 is the mean of the candidates, with weights that decrease exponentially with the distance from the best fit.
    Voicing is between 0 and 1. Unlike `measure_prosody`, this function uses no other frames of the sentence.
    """
    # Pydantic makes a frozen model hashable; pyright does not know that.
    log_frequencies, tones = (table.to(mel) for table in _tones(config))  # pyright: ignore[reportArgumentType]
    fit = _ripple(mel[..., : tones.shape[1]]) @ tones.T  # (T, candidates)
    weights = (fit / _TEMPERATURE).softmax(-1)
    voicing = ((fit * weights).sum(-1) - _UNVOICED) / (_VOICED - _UNVOICED)
    return (weights * log_frequencies).sum(-1), voicing.clamp(0, 1)


def change_prosody(prosody: Tensor, semitones: float = 0.0, pitch_range: float = 1.0) -> Tensor:
    """Shift the pitch of prosody `(..., CHANNELS)` by `semitones` and scale its movement by `pitch_range`."""
    pitch, voicing, energy = prosody.unbind(-1)
    pitch = pitch * pitch_range + PITCH_SCALE * semitones * math.log(2) / 12 * voicing
    return torch.stack([pitch, voicing, energy], -1)


@functools.cache
def _tones(config: MelConfig) -> tuple[Tensor, Tensor]:
    """Return ln F0 of each candidate `(C,)`, and the ripple of a tone with that F0 in the K low bands, `(C, K)`."""
    spec = MelSpec(config)
    bands = int((spec.filters.argmax(0) * config.sample_rate / config.n_fft < _RIPPLE_BELOW).sum())
    octaves = math.log2(_HIGHEST_F0 / _LOWEST_F0)
    frequencies = _LOWEST_F0 * 2 ** torch.linspace(0, octaves, round(octaves * _CANDIDATES_PER_OCTAVE) + 1)
    harmonics = torch.arange(1, int(2 * _RIPPLE_BELOW / _LOWEST_F0) + 1)
    audible = (frequencies[:, None] * harmonics < 2 * _RIPPLE_BELOW).float()  # (C, H)
    time = torch.arange(4 * config.n_fft) / config.sample_rate
    # These phases spread the energy evenly over each period (Schroeder 1970), so that the ripple is due to the
    # harmonics and not to single pulses.
    phases = harmonics * (harmonics - 1) * math.pi / len(harmonics)
    angles = 2 * math.pi * frequencies[:, None, None] * harmonics[:, None] * time + phases[:, None]
    waves = torch.einsum("ch,cht->ct", audible, angles.cos())
    return frequencies.log(), _ripple(spec(0.05 * waves).mean(1)[:, :bands])


def _ripple(low: Tensor) -> Tensor:
    """Return the part of log spectra `(..., K)` that is not smooth, with unit norm; near zero for a smooth spectrum."""
    ripple = low @ _high_pass(low.shape[-1]).to(low)
    return ripple / ripple.norm(dim=-1, keepdim=True).clamp(min=1e-3)


@functools.cache
def _high_pass(bands: int) -> Tensor:
    """Return the matrix `(K, K)` that removes the smooth part and the mean of a log spectrum: `(K,) @ (K, K)`."""
    window = torch.hann_window(2 * _SMOOTH + 3, periodic=False)[1:-1]
    padded = F.pad(torch.eye(bands).unsqueeze(1), (_SMOOTH, _SMOOTH), mode="replicate")
    rest = torch.eye(bands) - F.conv1d(padded, (window / window.sum())[None, None]).squeeze(1)
    return rest - rest.mean(1, keepdim=True)


def _sum_by_symbol(values: Tensor, durations: Tensor) -> Tensor:
    """Return the sums of `values (B, T, C)` over the frames of each symbol, `(B, N, C)`."""
    running = F.pad(values.cumsum(1), (0, 0, 1, 0))
    ends = durations.cumsum(1)

    def at(frames: Tensor) -> Tensor:
        return running.gather(1, frames.clamp(max=values.shape[1]).unsqueeze(-1).expand(-1, -1, values.shape[2]))

    return at(ends) - at(ends - durations)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of each row of `(B, N)`, `(B, 1)`; 0 for a row whose weights are all 0."""
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1e-9)


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted median `(B,)` of each row of `(B, N)`: half of the weight is below the median."""
    ordered, order = values.sort(1)
    running = weights.gather(1, order).cumsum(1)
    index = (running < running[:, -1:] / 2).sum(1, keepdim=True)
    return ordered.gather(1, index.clamp(max=values.shape[1] - 1)).squeeze(1)
