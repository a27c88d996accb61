"""The variance of a log-mel agrees with closed forms, and is lower for smoothed speech."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from tts_meta.evaluate import Scorer
from tts_meta.evaluate.variance import CEPSTRA, log_mel_variance

RATE = 22_050


def wave(index: int, bands: int = 80) -> np.ndarray:
    """The cosine `(M,)` of unit norm that belongs to cepstrum `index`."""
    found = np.cos(np.pi * index * (np.arange(bands) + 0.5) / bands)
    return found / np.linalg.norm(found)


@pytest.mark.parametrize("index", [0, 1, CEPSTRA - 1, CEPSTRA, 40, 79])
def test_the_variance_is_that_of_the_frames_and_detail_excludes_formants(index: int) -> None:
    heights = np.random.default_rng(index).normal(0, 0.7, 500)
    whole, detail = log_mel_variance(-4 + heights[:, None] * wave(index))
    assert whole == pytest.approx(heights.var())
    assert detail == pytest.approx(heights.var() if index >= CEPSTRA else 0.0, abs=1e-12)


def test_quiet_frames_are_not_counted() -> None:
    frames = -4 + np.random.default_rng(0).normal(0, 0.3, (300, 80))
    quiet = np.full((200, 80), -11.5)
    assert log_mel_variance(np.concatenate([frames, quiet])) == log_mel_variance(frames)


def vowels(seed: int, sharp: float) -> np.ndarray:
    """Two seconds of pulses through a resonance that moves; the nearer `sharp` to 1 the narrower it is."""
    pieces, generator = [], np.random.default_rng(seed)
    for _ in range(20):
        pulses = np.zeros(RATE // 10)
        pulses[:: RATE // 140] = 1.0
        angle = 2 * np.pi * generator.uniform(400, 2500) / RATE
        pieces.append(lfilter([1.0], [1.0, -2 * sharp * np.cos(angle), sharp**2], pulses))
    return (np.concatenate(pieces) + 1e-4 * generator.normal(size=20 * (RATE // 10))).astype(np.float32) / 20


def test_a_recording_has_ratio_one_and_wider_resonances_have_lower_variance() -> None:
    scorer, real = Scorer(["variance"]), vowels(0, 0.98)
    same = scorer.score(real * np.float32(0.5), RATE, id="same", reference=real)
    assert same["variance"] == pytest.approx(1.0, abs=0.05) and same["detail"] == pytest.approx(1.0, abs=0.05)
    smooth = scorer.score(vowels(0, 0.9), RATE, id="smooth", reference=real)
    assert smooth["variance"] < 0.8 and smooth["detail"] < 0.95
    assert "variance" not in scorer.score(real, RATE, id="alone").measures
