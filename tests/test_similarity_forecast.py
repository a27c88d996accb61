"""What `clone` says of a voice beforehand: lines that are known, ranges that hold what they say, files and words."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run, write_base, write_recordings

from recipes.few_shot import expected as recipe
from tts_meta.adapt import CloneSettings, SimilarityForecast
from tts_meta.adapt.similarity_forecast import FILE, VERSIONS, Line, coverage, covered
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.evaluate.voice import REAL
from tts_meta.files import sha256_file
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.shrinkage_prior import FILE as PRIOR_FILE
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.griffin_lim import GriffinLim

ROOT = Path(__file__).resolve().parents[1]
SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0)


def voices(
    generator: np.random.Generator, speakers: int, between: float, within: float
) -> tuple[list[float], list[float], list[str]]:
    """Voices of .7 + .05 ln(seconds), each speaker off by `between`, each voice by `within`."""
    seconds, scores, names = [], [], []
    for number in range(speakers):
        off = between * generator.standard_normal()
        for length in SECONDS:
            seconds.append(length)
            scores.append(0.7 + 0.05 * np.log(length) + off + within * generator.standard_normal())
            names.append(f"speaker {number}")
    return seconds, scores, names


def test_a_line_is_that_of_the_voices_and_its_deviation_that_of_speakers_left_out() -> None:
    exact = Line.fit(*voices(np.random.default_rng(0), 4, 0.0, 0.0), recordings=0.9)
    assert (exact.at_one_second, exact.slope) == pytest.approx((0.7, 0.05)) and exact.deviation < 1e-9
    assert exact.of(20).mean == pytest.approx(0.7 + 0.05 * np.log(20)) and exact.recordings == 0.9

    # Three speakers whose lines lie at 0, 0 and 3: left out, these are 1.5, 1.5 and 3 away from the others' mean.
    seconds, names = [*SECONDS] * 3, [name for name in "abc" for _ in SECONDS]
    scores = [0.0] * 10 + [3.0] * 5
    assert Line.fit(seconds, scores, names).deviation == pytest.approx(np.sqrt((1.5**2 + 1.5**2 + 3.0**2) / 3))
    with pytest.raises(UsageError, match="three speakers or more, not 2"):
        Line.fit(seconds[:10], scores[:10], names[:10])


def test_ranges_hold_as_many_voices_of_new_speakers_as_they_say() -> None:
    generator, levels, found, own = np.random.default_rng(0), (0.5, 0.8, 0.9), [], []
    for _ in range(200):
        known = voices(generator, 8, 0.03, 0.01)
        new_seconds, new_scores, _ = voices(generator, 5, 0.03, 0.01)
        found.append(covered(Line.fit(*known), new_seconds, new_scores, levels))
        own.append(coverage(*known, levels))
    np.testing.assert_allclose(np.mean(found, 0), levels, atol=0.05)
    np.testing.assert_allclose(np.mean(own, 0), levels, atol=0.05)
    assert covered(Line(0.0, 0.0, 1.0, 5, 1.0), [1.0, 1.0], [0.1, 5.0], [0.5, 0.999999]) == [0.5, 1.0]


@pytest.fixture
def learned(tmp_path: Path) -> Base:
    """A tiny base with a prior, and beside it what is expected of its voices."""
    base = load_base(write_base(tmp_path / "base"))
    save_base(replace(base, prior=ModulePrior({"speaker.mean": 1e-2}, base.hash)), tmp_path / "base")
    base = load_base(tmp_path / "base")
    lines = {"similarity": Line(0.7, 0.05, 0.02, 10, 0.9), "distillmos": Line(4.0, 0.0, 0.1, 10, 4.2)}
    prior = sha256_file(tmp_path / "base" / PRIOR_FILE)
    SimilarityForecast(base.hash, prior, 4.0, 100.0, lines, VERSIONS).save(tmp_path / "base" / FILE)
    return base


def test_more_than_was_tried_is_not_claimed_to_be_better(learned: Base) -> None:
    expected = SimilarityForecast.beside(learned, CloneSettings(seed=3))
    assert expected is not None
    assert expected.of(1000) == expected.of(100) and expected.of(1) == expected.of(4)
    # t of nine degrees of freedom at 90 %: 1.383
    assert expected.of(20)["similarity"].low == pytest.approx(0.7 + 0.05 * np.log(20) - 0.02 * 1.383, abs=1e-5)
    assert expected.told(20) == (
        "expected of 20 s: similarity 0.85 [0.82, 0.88], distillmos 4.00 [3.86, 4.14] (8 of 10 speakers; recordings: "
        "0.90, 4.20); of twice as much 0.88, 4.00"
    )
    assert expected.told(120).endswith("; more was not tried")


def test_nothing_is_expected_of_other_settings_another_prior_or_no_file(learned: Base) -> None:
    folder = learned.folder
    assert folder is not None
    settings = (
        CloneSettings(steps=3),
        CloneSettings(("*",)),
        CloneSettings(prior_scale=1.0),
        CloneSettings(variance=1.0),
    )
    assert all(SimilarityForecast.beside(learned, changed) is None for changed in settings)
    (folder / PRIOR_FILE).write_bytes((folder / PRIOR_FILE).read_bytes() + b" ")
    assert SimilarityForecast.beside(learned, CloneSettings()) is None
    (folder / PRIOR_FILE).unlink()
    assert SimilarityForecast.beside(load_base(folder), CloneSettings()) is None
    (folder / PRIOR_FILE).write_bytes(b"")
    (folder / FILE).write_text('{"base": 1}')
    with pytest.raises(TtsMetaError, match=r"expected\.json: base: Input should be a valid string"):
        SimilarityForecast.beside(learned, CloneSettings())
    (folder / FILE).unlink()
    assert SimilarityForecast.beside(learned, CloneSettings()) is None


@pytest.mark.parametrize("older", ["protocol", "clone", "stopping", "recordings"])
def test_nothing_is_expected_by_an_older_protocol_or_way_of_cloning(learned: Base, older: str) -> None:
    assert learned.folder is not None
    path = learned.folder / FILE
    known = json.loads(path.read_text())
    assert SimilarityForecast.beside(learned, CloneSettings(hold_out=1)) is not None
    was = re.sub(rf"{older} \d+", f"{older} 0", known["versions"])
    assert was != known["versions"]
    path.write_text(json.dumps(known | {"versions": was}))
    assert SimilarityForecast.beside(learned, CloneSettings()) is None
    del known["versions"]  # as in files of before the field was there
    path.write_text(json.dumps(known))
    assert SimilarityForecast.beside(learned, CloneSettings()) is None


def test_the_shipped_forecast_is_of_the_shipped_base_and_of_this_code() -> None:
    """Where a version is increased, the file is to be made again or removed; it would only lie there."""
    base = load_base()
    assert base.folder is not None and (base.folder / FILE).is_file()
    found = SimilarityForecast.beside(base, CloneSettings())
    assert found is not None and found.lines["similarity"].speakers == 10
    assert f"{found.of(20)['similarity'].mean:.3f}" in (ROOT / "recipes" / "few_shot" / "README.md").read_text()


def test_clone_says_what_to_expect(learned: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio, out = write_recordings(tmp_path, 2), tmp_path / "a.voice.safetensors"
    printed = run(capsys, "clone", *audio, "-o", out, "--base", tmp_path / "base").out
    assert "\nexpected of " in printed and "of twice as much" in printed
    told = run(capsys, "clone", *audio, "-o", out, "--force", "--base", tmp_path / "base", "--json").json
    assert told["expected"]["similarity"]["low"] < told["expected"]["similarity"]["mean"] < 0.95
    assert set(told["expected_of_twice"]) == {"similarity", "distillmos"}
    silent = run(capsys, "clone", *audio, "-o", out, "--force", "--base", tmp_path / "base", "--steps", 1).out
    assert "expected" not in silent


def test_the_recipe_writes_what_its_voices_say(learned: Base, long_corpus: Path, tmp_path: Path) -> None:
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
    found, results = recipe.run(config, learned, GriffinLim(MelConfig(), iterations=2))
    assert len(found.seconds) == len(results.trials) and min(found.seconds) > 0
    assert found.scores["similarity"] == [trial.scores[0]["similarity"] for trial in results.trials]
    with pytest.raises(UsageError, match="three speakers or more"):
        recipe.fit(found, results, learned)
    more = {"similarity": [*found.scores["similarity"], 0.5, 0.6, 0.4, 0.5]}
    four = recipe.Voices([*found.seconds, 3.0, 6.0, 3.0, 6.0], [*found.speakers, "x", "x", "y", "y"], more)
    expected = recipe.fit(four, results, learned)
    assert expected.lines["similarity"].speakers == 4 and expected.least == min(four.seconds)
    real = [one.scores["similarity"] for one in results.spoken if one.system == REAL]
    assert expected.lines["similarity"].recordings == pytest.approx(np.mean(real))
    shares = recipe.reliability(four, expected, found)["similarity"]
    assert list(shares) == ["speakers left out", "speakers of the check"]
    assert all(sorted(its) == its and len(its) == len(recipe.LEVELS) for its in shares.values())
