"""The account of hours, memory and disk of the recipes of published corpora."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
from documentation import ROOT
from faults import error_line
from manifests import make_utterance

from recipes import scale_account
from recipes.scale_account import MEASUREMENTS, PUBLISHED, Account, Size, Stage
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError

FIGURES = {name: value for name, value in json.loads(MEASUREMENTS.read_text()).items() if not isinstance(value, str)}
SIZE = Size(10.0, 6000, 6.0, 3600, 3)


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def stage(number: int, size: Size = SIZE, changes: tuple[str, ...] = (), **figures: float) -> Stage:
    """Return a stage of the recipe for VCTK, with changes of its settings and of the measured speeds."""
    return Account(Path("recipes/vctk"), size, FIGURES | figures, changes).stages()[number - 1]


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_the_page_of_a_recipe_has_the_table_that_the_program_prints(
    recipe: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scale_account", f"recipes/{recipe}"])
    scale_account.main()
    printed = capsys.readouterr().out
    assert printed.count("| 3 pretrain |") == 1
    page = (ROOT / "recipes" / recipe / "README.md").read_text("utf-8")
    assert "\n".join(line for line in printed.splitlines() if line.startswith("|")) in page


def test_hours_follow_the_speed_the_settings_and_the_size_of_the_corpus() -> None:
    speech = 12_000 * 20_000 * 256 / 22_050 / 3600  # hours that the acoustic model reads
    aligner = 2 * 1000 * 20_000 * 256 / 22_050 / 3600
    expected = speech / FIGURES["acoustic"] + aligner / FIGURES["aligner"]
    assert stage(3).network == pytest.approx(expected, rel=1e-9)
    assert stage(3).gpu == pytest.approx(expected * FIGURES["spectral"] / scale_account.GPU_SPECTRAL, rel=1e-9)
    longer = stage(3, changes=("pretrain.acoustic.steps=24000",))
    assert longer.network - stage(3).network == pytest.approx(speech / FIGURES["acoustic"], rel=1e-9)
    assert stage(5, task_seconds=36.0).network == pytest.approx(100 * 8 * 36 / 3600)
    double = dataclasses.replace(SIZE, hours=20.0, base_hours=12.0)
    assert stage(1, double).cpu == pytest.approx(2 * stage(1).cpu) == 20 / FIGURES["prepare"]
    assert stage(4, double).cpu == pytest.approx(2 * stage(4).cpu)
    assert stage(4, double).network == stage(4).network
    assert stage(6, dataclasses.replace(SIZE, scored_speakers=6)).cpu == pytest.approx(2 * stage(6).cpu)


def test_only_a_part_of_a_large_corpus_has_a_flat_start() -> None:
    size = dataclasses.replace(SIZE, base_utterances=200_000)
    searched = 6.0 / FIGURES["align"]
    assert stage(3, size).cpu == pytest.approx(0.6 / FIGURES["flat_start"] + 0.6 / FIGURES["align"] + searched)


def test_the_size_of_a_manifest_is_that_of_its_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = ["train", "train", "meta", "test", "test"]
    rows = [
        dataclasses.replace(make_utterance(tmp_path, f"{number}", f"s{number}", split), seconds=1800.0)
        for number, split in enumerate(splits)
    ]
    Manifest(tuple(rows)).save(tmp_path / "split.jsonl")
    found = scale_account.size_of(Manifest.load(tmp_path / "split.jsonl"), Path("recipes/vctk"))
    assert found == Size(2.5, 5, 1.0, 2, 2)
    command = [
        "scale_account",
        "recipes/vctk",
        "pretrain.acoustic.steps=0",
        "--manifest",
        str(tmp_path / "split.jsonl"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    scale_account.main()
    assert (
        Account(Path("recipes/vctk"), found, FIGURES, ("pretrain.acoustic.steps=0",)).table() in capsys.readouterr().out
    )


def test_an_unknown_recipe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scale_account", "recipes/sinusoid"])
    assert "recipes/sinusoid is not one of the recipes vctk, libritts" in error_line(scale_account.main, UsageError)
