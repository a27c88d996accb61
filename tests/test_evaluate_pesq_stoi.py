from __future__ import annotations

import numpy as np
import pytest
from faults import error_line

from tts_meta.audio.waveform import Samples
from tts_meta.evaluate import Scorer

RATE = 16_000


def voice(seconds: float = 2.0) -> Samples:
    """A harmonic tone with changing pitch and loudness."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(5 * time)) / RATE
    tone = np.stack([np.sin(k * phase) / k for k in range(1, 30)]).sum(0)
    return np.asarray(0.2 * tone * np.sin(9 * time) ** 2, np.float32)


def noisy(samples: Samples, size: float) -> Samples:
    return samples + np.asarray(size * np.random.default_rng(0).standard_normal(len(samples)), np.float32)


@pytest.mark.parametrize(("name", "best"), [("pesq", 4.64), ("stoi", 1.0)])
def test_an_exact_copy_has_the_best_score_and_noise_lowers_it(name: str, best: float) -> None:
    pytest.importorskip("pesq" if name == "pesq" else "pystoi", reason="its extra is not installed")
    scorer, real = Scorer([name]), voice()
    found = [scorer.score(noisy(real, size), RATE, id="x", reference=real)[name] for size in (0.0, 0.02, 0.1)]
    assert found[0] == pytest.approx(best, abs=0.01)
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("name", ["pesq", "stoi"])
def test_speech_with_another_timing_gets_no_score(name: str) -> None:
    pytest.importorskip("pesq" if name == "pesq" else "pystoi", reason="its extra is not installed")
    scorer, real = Scorer([name]), voice()
    assert scorer.score(voice(2.5), RATE, id="x", reference=real).get(name) is None
    nearly = scorer.score(real[:-200], RATE, id="x", reference=real)
    assert nearly.get(name) is not None


def test_the_error_without_pesq_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pesq" else find(name))
    assert "pip install '.[pesq]'" in error_line(lambda: Scorer(["pesq"]))
