"""`tts-meta inspect BASE`: the modules of the base and of its vocoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import write_base
from helpers import tiny_base

from tts_meta.adapt import CloneSettings, chosen_modules

GRIFFIN_LIM = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base."""
    return write_base(tmp_path_factory.mktemp("cli") / "base")


def test_inspect_lists_every_parameter_and_marks_those_that_clone_adapts(run_cli, base_folder: Path) -> None:
    base = tiny_base()
    data = run_cli("inspect", base_folder, *GRIFFIN_LIM, "--json").json
    assert sum(row["parameters"] for row in data["modules"]) == sum(p.numel() for p in base.acoustic.parameters())
    adapted = {row["module"] for row in data["modules"] if row["clone"] == "yes"}
    assert adapted == set(chosen_modules(base, CloneSettings()).names)
    lines = run_cli("inspect", base_folder, *GRIFFIN_LIM).out.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(data["modules"])]] == [
        row["module"] for row in data["modules"]
    ]


def test_inspect_lists_the_modules_of_the_vocoder(run_cli, base_folder: Path) -> None:
    data = run_cli("inspect", base_folder, "--vocoder", "hifigan", "--json").json
    assert data["vocoder"] == "hifigan" and data["totals"]["vocoder"] == 13_926_017
    assert any(row["module"] == "vocoder.ups.0.weight" and row["kind"] == "Upsample" for row in data["modules"])
    data = run_cli("inspect", base_folder, "--json").json
    assert data["vocoder"] == "light" and data["totals"]["vocoder"] == 7_043_595
    assert any(
        row["module"] == "vocoder.net.blocks.0.widen.weight" and row["kind"] == "Linear" for row in data["modules"]
    )
    adaptable = {row["module"] for row in data["modules"] if row["model"] == "vocoder" and row["clone"] == "can"}
    assert adaptable == {row["module"] for row in data["modules"] if row["module"].startswith("vocoder.net.")}
