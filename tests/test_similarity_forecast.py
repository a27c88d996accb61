"""The similarity forecast: fits with known answers, intervals with the stated coverage, the file, and the message."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import run, write_base, write_recordings

from tts_meta.adapt import CloneSettings, SimilarityForecast
from tts_meta.adapt.similarity_forecast import FILE, VERSIONS, ScoreFit, cross_validated_coverage, interval_coverage
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.evaluate.few_shot.forecast import LEVELS, ForecastData, fit_forecast, reliability
from tts_meta.evaluate.voice import REAL
from tts_meta.files import sha256_file
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.saved_learner import FILE as LEARNER_FILE
from tts_meta.models.saved_learner import TENSOR_FILE
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.report.forecast import forecast_table, reliability_table, write_reliability_figure

ROOT = Path(__file__).resolve().parents[1]
SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0)


def voices(
    generator: np.random.Generator, speakers: int, between: float, within: float
) -> tuple[list[float], list[float], list[str]]:
    """Scores of 0.7 + 0.05 ln(seconds), with a deviation `between` speakers and `within` voices of a speaker."""
    seconds, scores, names = [], [], []
    for number in range(speakers):
        deviation = between * generator.standard_normal()
        for length in SECONDS:
            seconds.append(length)
            scores.append(0.7 + 0.05 * np.log(length) + deviation + within * generator.standard_normal())
            names.append(f"speaker {number}")
    return seconds, scores, names


def test_a_fit_recovers_the_line_and_the_error_of_left_out_speakers() -> None:
    exact = ScoreFit.fit(*voices(np.random.default_rng(0), 4, 0.0, 0.0), real_recordings=0.9)
    assert (exact.intercept, exact.slope) == pytest.approx((0.7, 0.05)) and exact.speaker_rmse < 1e-9
    assert exact.predict(20).mean == pytest.approx(0.7 + 0.05 * np.log(20)) and exact.real_recordings == 0.9

    # Three speakers with scores of 0, 0 and 3: each left out, they are 1.5, 1.5 and 3 away from the mean of the others.
    seconds, names = [*SECONDS] * 3, [name for name in "abc" for _ in SECONDS]
    scores = [0.0] * 10 + [3.0] * 5
    assert ScoreFit.fit(seconds, scores, names).speaker_rmse == pytest.approx(np.sqrt((1.5**2 + 1.5**2 + 3.0**2) / 3))
    with pytest.raises(UsageError, match="three or more speakers, not 2"):
        ScoreFit.fit(seconds[:10], scores[:10], names[:10])


def test_intervals_cover_voices_of_new_speakers_at_the_stated_level() -> None:
    generator, levels = np.random.default_rng(0), (0.5, 0.8, 0.9)
    of_new_speakers, cross_validated = [], []
    for _ in range(200):
        known = voices(generator, 8, 0.03, 0.01)
        new_seconds, new_scores, _ = voices(generator, 5, 0.03, 0.01)
        of_new_speakers.append(interval_coverage(ScoreFit.fit(*known), new_seconds, new_scores, levels))
        cross_validated.append(cross_validated_coverage(*known, levels))
    np.testing.assert_allclose(np.mean(of_new_speakers, 0), levels, atol=0.05)
    np.testing.assert_allclose(np.mean(cross_validated, 0), levels, atol=0.05)
    assert interval_coverage(ScoreFit(0.0, 0.0, 1.0, 5, 1.0), [1.0, 1.0], [0.1, 5.0], [0.5, 0.999999]) == [0.5, 1.0]


@pytest.fixture
def learned(tmp_path: Path) -> Base:
    """A tiny base with a prior and a forecast in its folder."""
    base = load_base(write_base(tmp_path / "base"))
    save_base(base.with_prior(ModulePrior({"speaker.mean": 1e-2})), tmp_path / "base")
    base = load_base(tmp_path / "base")
    fits = {"similarity": ScoreFit(0.7, 0.05, 0.02, 10, 0.9), "distillmos": ScoreFit(4.0, 0.0, 0.1, 10, 4.2)}
    learner = sha256_file(tmp_path / "base" / LEARNER_FILE)
    SimilarityForecast(base.hash, learner, 4.0, 100.0, fits, VERSIONS).save(tmp_path / "base" / FILE)
    return base


def test_no_gain_is_forecast_beyond_the_tested_range(learned: Base) -> None:
    forecast = SimilarityForecast.load_for(learned, CloneSettings(seed=3))
    assert forecast is not None
    assert forecast.predict(1000) == forecast.predict(100) and forecast.predict(1) == forecast.predict(4)
    # The 90 % quantile of t with nine degrees of freedom: 1.383
    assert forecast.predict(20)["similarity"].low == pytest.approx(0.7 + 0.05 * np.log(20) - 0.02 * 1.383, abs=1e-5)
    assert forecast.message(20) == (
        "expected from 20 s of audio: "
        "similarity 0.85 (0.82 to 0.88 for 8 of 10 speakers; 0.88 with 40 s; real recordings 0.90), "
        "distillmos 4.00 (3.86 to 4.14 for 8 of 10 speakers; 4.00 with 40 s; real recordings 4.20); "
        "estimated on 10 unseen speakers"
    )
    assert "; more audio was not tested; real recordings 0.90)" in forecast.message(120)


def test_other_settings_another_prior_or_no_file_give_no_forecast(learned: Base) -> None:
    folder = learned.folder
    assert folder is not None
    settings = (
        CloneSettings(steps=3),
        CloneSettings(("*",)),
        CloneSettings(prior_scale=1.0),
        CloneSettings(variance=1.0),
    )
    assert all(SimilarityForecast.load_for(learned, changed) is None for changed in settings)
    (folder / LEARNER_FILE).write_bytes((folder / LEARNER_FILE).read_bytes() + b" ")
    assert SimilarityForecast.load_for(learned, CloneSettings()) is None
    for name in (LEARNER_FILE, TENSOR_FILE):
        (folder / name).unlink()
    assert SimilarityForecast.load_for(load_base(folder), CloneSettings()) is None
    (folder / LEARNER_FILE).write_bytes(b"")
    (folder / FILE).write_text('{"base_hash": 1}')
    with pytest.raises(TtsMetaError, match=r"similarity_forecast\.json: base_hash: Input should be a valid string"):
        SimilarityForecast.load_for(learned, CloneSettings())
    (folder / FILE).unlink()
    assert SimilarityForecast.load_for(learned, CloneSettings()) is None


@pytest.mark.parametrize("older", ["protocol", "clone", "stopping", "recordings"])
def test_a_forecast_of_an_older_protocol_or_code_version_is_ignored(learned: Base, older: str) -> None:
    assert learned.folder is not None
    path = learned.folder / FILE
    data = json.loads(path.read_text())
    assert SimilarityForecast.load_for(learned, CloneSettings(hold_out=1)) is not None
    older_versions = re.sub(rf"{older} \d+", f"{older} 0", data["versions"])
    assert older_versions != data["versions"]
    path.write_text(json.dumps(data | {"versions": older_versions}))
    assert SimilarityForecast.load_for(learned, CloneSettings()) is None
    del data["versions"]  # as in files older than this key
    path.write_text(json.dumps(data))
    assert SimilarityForecast.load_for(learned, CloneSettings()) is None


def test_the_shipped_forecast_matches_the_shipped_base_and_this_code() -> None:
    """After a version is increased, the file must be made again or removed; otherwise it is never used."""
    base = load_base()
    assert base.folder is not None and (base.folder / FILE).is_file()
    forecast = SimilarityForecast.load_for(base, CloneSettings())
    assert forecast is not None and forecast.fits["similarity"].speakers == 10
    assert f"{forecast.predict(20)['similarity'].mean:.3f}" in (ROOT / "recipes" / "few_shot" / "tables.md").read_text()


def test_clone_prints_the_similarity_to_expect(
    learned: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio, out = write_recordings(tmp_path, 2), tmp_path / "a.voice.safetensors"
    printed = run(capsys, "clone", *audio, "-o", out, "--base", tmp_path / "base").out
    assert re.search(r"^expected from \d+ s of audio: similarity 0\.\d\d \(", printed, flags=re.MULTILINE)
    result = run(capsys, "clone", *audio, "-o", out, "--force", "--base", tmp_path / "base", "--json").json
    assert result["expected"]["similarity"]["low"] < result["expected"]["similarity"]["mean"] < 0.95
    assert set(result["expected_twice_audio"]) == {"similarity", "distillmos"}
    other_settings = run(capsys, "clone", *audio, "-o", out, "--force", "--base", tmp_path / "base", "--steps", 1).out
    assert "expected" not in other_settings


def test_the_forecast_is_fitted_to_the_trials_of_a_benchmark(learned: Base, long_corpus: Path, tmp_path: Path) -> None:
    settings = {
        "manifest": long_corpus / "manifest.jsonl",
        "split": ["train"],
        "output": tmp_path / "run",
        "metrics": ["similarity"],
        "score_on": 1,
        "sentences": [1, 2],
        "learners": {"clone": {"steps": [2]}},
    }
    config = parse_config(settings, FewShotBenchmark, "test")
    results = run_few_shot(config, learned, GriffinLim(MelConfig(), iterations=2), lambda line: None)
    data = ForecastData.from_trials(results.trials)
    assert len(data.seconds) == len(results.trials) and min(data.seconds) > 0
    assert data.scores["similarity"] == [trial.scores[0]["similarity"] for trial in results.trials]
    with pytest.raises(UsageError, match="three or more speakers"):
        fit_forecast(data, results, learned)
    more = {"similarity": [*data.scores["similarity"], 0.5, 0.6, 0.4, 0.5]}
    four = ForecastData([*data.seconds, 3.0, 6.0, 3.0, 6.0], [*data.speakers, "x", "x", "y", "y"], more)
    forecast = fit_forecast(four, results, learned)
    assert forecast.fits["similarity"].speakers == 4 and forecast.min_seconds == min(four.seconds)
    real = [clip.scores["similarity"] for clip in results.spoken if clip.system == REAL]
    assert forecast.fits["similarity"].real_recordings == pytest.approx(np.mean(real))
    fractions = reliability(four, forecast, data)["similarity"]
    assert list(fractions) == ["speakers left out", "speakers of the check"]
    assert all(sorted(row) == row and len(row) == len(LEVELS) for row in fractions.values())

    table = reliability_table({"similarity": fractions})
    assert table.startswith(
        "| Level of the range | Similarity, speakers left out | Similarity, speakers of the check |"
    )
    assert (
        forecast_table(forecast).count("\n| ") == len([n for n in range(8) if 5.0 * 2**n <= forecast.max_seconds]) + 3
    )
    write_reliability_figure(tmp_path / "reliability.png", {"similarity": fractions})
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
