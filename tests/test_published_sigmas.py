"""The published page and the statement about the convergence of σ equal the published data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documentation import prose

from recipes.discovery.convergence import PAGE, Convergence
from recipes.discovery.effects import hash_of_sigmas
from recipes.discovery.episodes import SPEAKERS
from recipes.discovery.objective import read_profiles, table
from tts_meta.evaluate.score_files import read_scores
from tts_meta.evaluate.summary import summarise

FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "discovery"


EXPERIMENTS = {FOLDER: ([0.003, 0.03, 0.3], 150), FOLDER / "mixing": ([0.003, 0.3], 140)}
"""Folders of data, with the starts of their runs and the number of meta-steps."""


@pytest.fixture(scope="module", params=EXPERIMENTS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def published(folder: Path) -> Convergence:
    return Convergence.read(folder)


def readme(folder: Path = FOLDER) -> str:
    """The text of the page, each paragraph on one line."""
    return " ".join((folder / "README.md").read_text("utf-8").split())


def test_the_data_are_of_all_starts_and_the_speakers_for_the_choice_of_settings(
    published: Convergence, folder: Path
) -> None:
    starts, steps = EXPERIMENTS[folder]
    assert [run.start for run in published.runs] == starts
    for run, effects in zip(published.runs, published.effects, strict=True):
        assert run.done == run.planned_steps == steps and run.steps == list(range(0, steps + 1, 5))
        assert effects.sigmas == hash_of_sigmas(run)
        assert effects.speakers == list(SPEAKERS)
        assert len(effects.before) == len(effects.after) == len(effects.kept) == len(SPEAKERS)
        assert all(len(values) == len(SPEAKERS) for values in effects.undone.values())


def test_the_page_of_all_modules_is_that_of_the_data(published: Convergence, folder: Path) -> None:
    assert (folder / PAGE).read_text("utf-8") == published.page()


def test_the_readme_has_the_statement_and_the_table_of_the_runs(published: Convergence, folder: Path) -> None:
    assert " ".join(published.statement().split()) in readme(folder)
    assert " ".join(published.run_table().split()) in readme(folder)
    assert " ".join(published.pair_table().split()) in readme(folder)
    verdicts = set(re.findall(r"σ has (not )?converged\.", prose(folder / "README.md")))
    assert verdicts == {"" if published.converged else "not "}


def test_the_readme_has_the_table_of_the_objective() -> None:
    profiles = read_profiles(FOLDER / "objective.jsonl")
    assert all(profile.speakers == list(SPEAKERS) for profile in profiles)
    assert " ".join(table(profiles).split()) in readme()


def test_the_readme_has_the_table_of_the_voices_of_fewer_modules() -> None:
    means = {row.group[0]: row.intervals for row in summarise(read_scores(FOLDER / "prune_scores.jsonl"))}
    section = (FOLDER / "README.md").read_text("utf-8").split("## Which modules make a voice?")[1]
    checked = 0
    for line in section.split("| System |")[1].split("\n\n")[0].splitlines()[2:]:
        name, _, _, *shown = (cell.strip() for cell in line.strip("|").split("|"))
        [system] = [system for system in means if system.rpartition(", 10 sentences, ")[0] == name]
        digits = {"similarity": 3, "cer": 3, "distillmos": 2, "nll": 1}
        assert shown == [means[system][score].shown(count) for score, count in digits.items()], name
        checked += 1
    assert checked == 15 == len(means) - 2  # and the recordings and their copy-synthesis


def test_the_readme_of_history_mixing_has_the_table_of_its_voices() -> None:
    folder = FOLDER / "mixing"
    means = {row.group[0]: row.intervals for row in summarise(read_scores(folder / "voices_scores.jsonl"))}
    section = (folder / "README.md").read_text("utf-8").split("## Voices")[1]
    digits = {"similarity": 3, "similarity_ecapa": 3, "cer": 3, "distillmos": 2, "nll": 1}
    checked = 0
    for line in section.split("| System |")[1].split("\n\n")[0].splitlines()[2:]:
        name, _, *shown = (cell.strip() for cell in line.strip("|").split("|"))
        [system] = [system for system in means if (system.rpartition(", 10 sentences, ")[0] or system) == name]
        scores = means[system]
        assert shown == [scores[score].shown(count) if score in scores else "" for score, count in digits.items()], name
        checked += 1
    assert checked == 8 == len(means) - 1  # and copy-synthesis
