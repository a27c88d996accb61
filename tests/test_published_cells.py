"""What the few-shot benchmark's README says is what the cells beside it hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tts_meta.evaluate.cells import Cell
from tts_meta.evaluate.measured import read_cells
from tts_meta.evaluate.table import summarise

FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "few_shot"


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return list(read_cells(FOLDER / "cells.jsonl").values())


def test_every_cell_is_whole_and_there_once(cells: list[Cell]) -> None:
    times = Counter((cell.system, cell.speaker) for cell in cells)
    assert set(times.values()) == {1} and len(times) > 100
    for cell in cells:
        assert len(cell.scores) == len(cell.embeddings) == 5
        assert all({"similarity", "cer", "wer", "distillmos", "nats"} <= set(row.measures) for row in cell.scores)
        assert cell.steps in (cell.done, None) and cell.seconds > 0


def test_the_table_is_that_of_the_cells(cells: list[Cell]) -> None:
    means = {one.group[0]: one.intervals for one in summarise(row for cell in cells for row in cell.scores)}
    table = (FOLDER / "README.md").read_text(encoding="utf-8").split("## Learners and steps")[1].split("\n\n")
    rows = [[part.strip() for part in line.strip("| ").split(" | ")] for line in table[3].splitlines()[2:]]
    named = {"mean voice": "clone, 0 steps"}
    checked = 0
    for name, *shown in rows:
        learner, _, steps = named.get(name, name).partition(", ")
        system = f"{learner}, 10 sentences, {steps or '0 steps'}"
        if system in means:
            its = [means[system][column] for column in ("similarity", "cer", "distillmos", "nats")]
            digits = (3, 3, 2, 1)
            assert shown[:4] == [
                f"{one.mean:.{d}f} [{one.low:.{d}f}, {one.high:.{d}f}]" for one, d in zip(its, digits, strict=True)
            ], name
            checked += 1
    assert checked == len(rows) - 2  # recordings and copies are no cells
