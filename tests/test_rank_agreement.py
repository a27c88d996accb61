"""Comparison of meta-training runs: rank correlation, modules in common, and the output of `inspect`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from commands import run
from helpers import tiny_base
from scipy.stats import spearmanr

from tts_meta.adapt import adaptable_modules
from tts_meta.errors import UsageError
from tts_meta.evaluate.rank_agreement import agreement
from tts_meta.models.pretrained import save_base
from tts_meta.models.shrinkage_prior import ModulePrior


def sigmas(values: np.ndarray) -> dict[str, float]:
    return {f"module {k}": float(value) for k, value in enumerate(values)}


def test_a_run_agrees_with_a_scaled_copy_of_itself() -> None:
    one = sigmas(np.geomspace(0.01, 0.1, 12))
    found = agreement(one, {name: 2 * value for name, value in one.items()}, largest=4)
    assert found.correlation.mean == pytest.approx(1) and found.common == 4
    assert found.factor == pytest.approx(2) and found.expected == pytest.approx(16 / 12)


def test_the_correlation_is_spearmans_and_the_coverage_of_its_interval_is_95_percent() -> None:
    draws, held = np.random.default_rng(0), []
    for _ in range(200):
        x, y = draws.standard_normal((2, 48))
        one, other = np.exp(x), np.exp(0.6 * x + 0.8 * y)
        found = agreement(sigmas(one), sigmas(other), 32)
        assert found.correlation.mean == pytest.approx(spearmanr(one, other)[0])
        truth = 6 / math.pi * math.asin(0.6 / 2)  # of normals whose correlation is .6
        held.append(found.correlation.low < truth < found.correlation.high)
    assert 0.9 <= np.mean(held) <= 0.99


def test_unrelated_runs_have_the_overlap_expected_by_chance() -> None:
    draws = np.random.default_rng(1)
    pairs = np.exp(draws.standard_normal((200, 2, 48)))
    found = [agreement(sigmas(one), sigmas(other), 32) for one, other in pairs]
    assert np.mean([one.common for one in found]) == pytest.approx(found[0].expected, abs=0.5)
    assert abs(np.mean([one.correlation.mean for one in found])) < 0.04


@pytest.mark.parametrize(
    ("one", "other", "largest", "message"),
    [
        ([1, 2, 3], [1, 2, 3, 4], 2, "only one run has 'module 3'"),
        ([1, 2], [1, 2], 1, "fewer than three"),
        ([1, 2, 3], [1, 2, 3], 4, "largest is 4; give a number from 1 to 3"),
        ([1, 2, 3], [1, 2, 3], 0, "largest is 0; give a number from 1 to 3"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    one: list[float], other: list[float], largest: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        agreement(sigmas(np.array(one)), sigmas(np.array(other)), largest)


def test_inspect_prints_the_agreement_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, last_resort = tiny_base(), ("--vocoder", "griffin-lim")
    names = adaptable_modules(base).names
    rising = np.geomspace(1e-3, 1e-2, len(names))
    for folder, values in {"plain": None, "up": rising, "also up": 2 * rising, "down": rising[::-1]}.items():
        variances = None if values is None else dict(zip(names, map(float, values), strict=True))
        save_base(base.with_prior(None if variances is None else ModulePrior(variances)), tmp_path / folder)
    plain, up, also, down = (tmp_path / name for name in ("plain", "up", "also up", "down"))

    found = run(capsys, "inspect", up, *last_resort, "--compare", also, "--compare", down, "--json").json["agreement"]
    assert [one["bases"] for one in found] == [[str(a), str(b)] for a, b in ((up, also), (up, down), (also, down))]
    assert [one["correlation"] for one in found] == pytest.approx([1, -1, -1])
    assert found[0]["median_ratio"] == pytest.approx(2**0.5) and found[0]["in_common"] == found[0]["largest"]
    page = tmp_path / "page.html"
    told = run(capsys, "inspect", up, *last_resort, "--compare", also, "--compare", down, "--html", page)
    assert "rank correlation" in told.out and told.out.count("-1.00 [-1.00, -1.00]") == 2
    assert "Agreement of independent runs" in page.read_text() and page.read_text().count(str(down)) == 3

    assert run(capsys, "inspect", up, *last_resort, "--compare", plain).failed(1, f"{plain} has no prior to compare")
    assert run(capsys, "inspect", plain, *last_resort, "--compare", up).failed(1, f"{plain} has no prior to compare")
    assert run(capsys, "inspect", up, *last_resort, "--compare", up).failed(2, "other bases, each once")
