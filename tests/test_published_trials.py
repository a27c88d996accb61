"""The recipes of the few-shot benchmark are valid, and its published tables equal the published trials."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from recipes.few_shot import tables
from tts_meta.config import load_config, top_level_keys
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.evaluate.few_shot.results_io import read_trials
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.score_files import read_scores
from tts_meta.evaluate.scores import columns
from tts_meta.evaluate.summary import summarise
from tts_meta.meta import LEARNERS, GradientLearner
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "recipes" / "few_shot"
RECIPES = sorted(path.name for path in FOLDER.glob("*.yaml") if "learners" in top_level_keys(path))
NAMES = {
    "fully fine-tuned": "fully fine-tuned, 10 sentences, 200 steps",
    "clone": "clone, 10 sentences, stopped automatically",
    "clone, no mixing": "clone, no mixing, 10 sentences, stopped automatically",
    "fully fine-tuned, mixing": "fully fine-tuned, mixing, 10 sentences, 200 steps",
    "mean voice": "mean voice, 10 sentences, 0 steps",
    "decoder side, prior": "decoder side, prior × 4, 10 sentences, stopped automatically",
    "decoder side, fine-tuned": "decoder side, fine-tuned, 10 sentences, 150 steps",
}
"""Systems by the names that the published tables give them."""
README_NAMES = {"base, mean voice": "mean voice", "clone (default)": "clone"}
"""Names of the README's table, and those of the other tables."""
COMMAND = "tts-meta benchmark recipes/few_shot/ten.yaml\n"
TABLES = {"README.md": 5 * 6, "docs/results.md": 7 * 9, "recipes/few_shot/tables.md": 8 * 9}
"""Files that publish the table of `ten.yaml`, and the minimum number of its values."""


def test_there_are_recipes() -> None:
    assert {"ten.yaml", "benchmark.yaml", "presets.yaml"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_method_of_a_recipe_uses_all_its_settings(name: str) -> None:
    config = load_config(FOLDER / name, FewShotBenchmark)
    base, vocoder = load_base(), load_vocoder(config.vocoder)
    for learner, settings in config.learners.items():
        # A script makes the meta-learned bases; whether the settings fit together does not depend on them.
        named = settings.learner if settings.learner in LEARNERS else None
        method = settings.model_copy(update={"base": None, "prior": None, "learner": named})
        method.check(learner, method.with_prior(base), vocoder)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return sorted(read_trials(FOLDER / "ten_trials.jsonl").values(), key=lambda trial: trial.speaker)


def test_the_published_trials_are_complete_and_unique(trials: list[Trial]) -> None:
    config = load_config(FOLDER / "ten.yaml", FewShotBenchmark)
    assert set(Counter((trial.system, trial.speaker) for trial in trials).values()) == {1}
    assert {trial.learner for trial in trials} == set(config.learners) and len(trials) == 6 * len(config.learners)
    for trial in trials:
        assert len(trial.scores) == len(trial.embeddings) == config.score_on == 10
        measured = [set(row.measures) for row in trial.scores]
        assert all({"similarity", "similarity_ecapa", "wer", "cer", "distillmos", "nll"} == names for names in measured)
        assert trial.steps in (trial.steps_done, None) and trial.cpu_seconds > 0


@pytest.mark.parametrize("file", TABLES)
def test_a_published_table_equals_the_trials(trials: list[Trial], file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8").split(COMMAND)[1]
    table = ("| System |" + text.split("| System |")[1]).split("\n\n")[0]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    means = {
        summary.group[0]: summary.intervals for summary in summarise(row for trial in trials for row in trial.scores)
    }
    shown, checked = {column.title: column for column in columns().values()}, 0
    for name, *cells in rows:
        name = README_NAMES.get(name, name)
        learner, _, ended = name.removesuffix(" †").rpartition(", ")
        system = NAMES.get(name.removesuffix(" †")) or f"{learner}, 10 sentences, {ended}"
        if system not in means:
            assert name in ("real recording", "copy-synthesis")
            continue
        of_system = [trial for trial in trials if trial.system == system]
        costs = {
            "Parameters": f"{of_system[0].parameters:,}",
            "KiB": f"{of_system[0].bytes / 1024:,.0f}",
            "CPU seconds": f"{sum(trial.cpu_seconds for trial in of_system) / len(of_system):.1f}",
        }
        for heading, text in zip(head[1:], cells, strict=True):
            if column := shown.get(heading):
                interval = means[system][column.name]
                values = [f"{value:.{column.digits}f}" for value in (interval.mean, interval.low, interval.high)]
                costs[heading] = "{} [{}, {}]".format(*values)
            if heading not in ("EER ↓", "ECAPA EER ↓"):
                expected = costs[heading].split(" [")[0] if file == "README.md" else costs[heading]
                assert text == expected, (name, heading)
                checked += 1
    assert checked >= TABLES[file]


def test_the_generated_part_of_the_tables_is_that_of_the_result_files() -> None:
    text = (FOLDER / "tables.md").read_text(encoding="utf-8")
    assert text.split(tables.START)[1].split(tables.END)[0] == tables.generated_part()


def test_the_table_of_all_learners_equals_its_scores_and_adaptation_lowers_every_loss() -> None:
    scores = read_scores(FOLDER / "learners_scores.jsonl")
    means = {summary.group[0]: summary.intervals for summary in summarise(scores)}
    section = (
        (FOLDER / "README.md").read_text(encoding="utf-8").split("## All learners, from meta-training to a voice")[1]
    )
    table = section.split("| --- |")[1].split("\n\n")[0].splitlines()[1:]
    names = list[str]()
    for line in table:
        name, start, end, similarity, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        names.append(name)
        system = f"{name.removesuffix(' (shipped learner)')}, 5 sentences"
        before, after = means[f"{system}, 0 steps"], means[f"{system}, 30 steps"]
        assert after["nll"].mean < before["nll"].mean, name
        for text, value, digits in (
            (start, before["nll"], 1),
            (end, after["nll"], 1),
            (similarity, after["similarity"], 3),
        ):
            assert text == f"{value.mean:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]", name
    gradient = {name for name, learner in LEARNERS.items() if issubclass(learner, GradientLearner)}
    assert set(names) == gradient | {"clone (shipped learner)", "lora"} and len(gradient) == 14
