"""Spectral variance and detail relative to the real recording. Over-smooth spectra lower both ratios below 1.

The log-mels are those of the acoustic model (80 bands, 22.05 kHz), in the frames at most 40 dB below the loudest one.
Let x be the log-mel minus its mean over these frames:

    variance  = sum of x² over bands and frames, divided by the number of frames
    detail    = the same for x without its mel-cepstra c_0 to c_12, that is without formants and tilt

Each score is the figure of the spoken sentence divided by the figure of the real recording.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct

from tts_meta.audio import MelSpec
from tts_meta.audio.mel import MelConfig
from tts_meta.audio.waveform import at_rate
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings

Floats = npt.NDArray[np.floating]

CEPSTRA = 13
FLOOR_DB = 40.0


def log_mel_variance(log_mel: Floats) -> tuple[float, float]:
    """Return variance and detail of a log-mel (T, M), nats² summed over bands."""
    level = np.logaddexp.reduce(log_mel, axis=1)
    audible = log_mel[level > level.max() - FLOOR_DB * np.log(10) / 20]
    # The DCT is orthonormal, so the variances of the cepstra add up to those of the bands.
    variances = np.asarray(dct(audible, axis=1, norm="ortho")).var(0)
    return float(variances.sum()), float(variances[CEPSTRA:].sum())


def _load(settings: Settings) -> MetricFunction:
    mel_spec = MelSpec(MelConfig())

    def figures(waveform: object, rate: int) -> tuple[float, float]:
        samples = at_rate(waveform, rate, mel_spec.config.sample_rate)
        samples = np.pad(samples, (0, max(0, mel_spec.config.n_fft - samples.size)))
        with torch.inference_mode():
            return log_mel_variance(mel_spec(torch.from_numpy(samples)[None])[0].numpy())

    def score(sample: Sample) -> dict[str, Measure]:
        assert sample.reference is not None
        spoken = figures(sample.waveform, sample.rate)
        real = figures(sample.reference, sample.reference_rate or sample.rate)
        variance, detail = (Measure(a / max(b, 1e-9)) for a, b in zip(spoken, real, strict=True))
        return {"variance": variance, "detail": detail}

    return score


METRIC = Metric(
    (Column("variance", "Mel variance / real", 2, "higher"), Column("detail", "Mel detail / real", 2, "higher")),
    _load,
    needs=("reference",),
)
