"""Does a spectrum vary as speech does? Over-smooth prediction lowers both figures below 1 before it harms the words.

Log-mels (80 bands, 22.05 kHz, the acoustic model's own) of the spoken sentence and of the real recording, in the
frames at most 40 dB below each one's loudest; with x the log-mel about its mean over those frames, a ratio of sums

    variance  = sum of x² over bands and frames, over the frames
    detail    = the same of what is left of x without its mel-cepstra c_0 to c_12, that is without formants and tilt

of the spoken sentence over that of the real one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import dct

from tts_meta.audio import MelSpec
from tts_meta.audio.mel import MelConfig
from tts_meta.audio.waveform import at_rate
from tts_meta.evaluate.metric import Column, Judge, Measure, Metric, Sample, Settings

Floats = npt.NDArray[np.floating]

CEPSTRA = 13
FLOOR_DB = 40.0


def log_mel_variance(log_mel: Floats) -> tuple[float, float]:
    """Variance of a log-mel (T, M), nats² summed over bands, and that of its detail."""
    level = np.logaddexp.reduce(log_mel, axis=1)
    heard = log_mel[level > level.max() - FLOOR_DB * np.log(10) / 20]
    # Orthonormal, so that variances of cepstra add up to those of bands.
    variances = np.asarray(dct(heard, axis=1, norm="ortho")).var(0)
    return float(variances.sum()), float(variances[CEPSTRA:].sum())


def _load(settings: Settings) -> Judge:
    mel_spec = MelSpec(MelConfig())

    def of(waveform: object, rate: int) -> tuple[float, float]:
        samples = at_rate(waveform, rate, mel_spec.config.sample_rate)
        samples = np.pad(samples, (0, max(0, mel_spec.config.n_fft - samples.size)))
        with torch.inference_mode():
            return log_mel_variance(mel_spec(torch.from_numpy(samples)[None])[0].numpy())

    def judge(sample: Sample) -> dict[str, Measure]:
        assert sample.reference is not None
        said, real = of(sample.waveform, sample.rate), of(sample.reference, sample.reference_rate or sample.rate)
        variance, detail = (Measure(mine / max(its, 1e-9)) for mine, its in zip(said, real, strict=True))
        return {"variance": variance, "detail": detail}

    return judge


METRIC = Metric(
    (Column("variance", "Mel variance / real", 2, "higher"), Column("detail", "Mel detail / real", 2, "higher")),
    _load,
    needs=("reference",),
)
