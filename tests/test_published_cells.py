"""What the few-shot benchmark's README says is what the cells beside it hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tts_meta.config import load_config
from tts_meta.evaluate.cells import Cell
from tts_meta.evaluate.few_shot import FewShotBenchmark
from tts_meta.evaluate.measured import read_cells
from tts_meta.evaluate.scores import columns
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
        wanted = {"similarity", "cer", "wer", "distillmos", "dnsmos", "mcd", "voicing_error", "nats"}
        assert all(wanted <= set(row.measures) for row in cell.scores)
        assert cell.steps in (cell.done, None) and cell.seconds > 0


@pytest.mark.parametrize(
    ("title", "recipe", "fewest"),
    [
        ("Learners and steps", "benchmark.yaml", 11),
        ("Ten thousand steps", "long.yaml", 7),
        ("Ten thousand steps under wider priors, and under none", "long_rivals.yaml", 8),
        ("Where voices begin, meta-learned", "presets.yaml", 11),
    ],
)
def test_the_tables_are_those_of_the_cells(cells: list[Cell], title: str, recipe: str, fewest: int) -> None:
    config = load_config(FOLDER / recipe, FewShotBenchmark)
    its = [cell for cell in cells if not config.speakers or cell.speaker in config.speakers]
    its.sort(key=lambda cell: cell.speaker)  # as the benchmark has them; intervals are drawn in this order
    means = {one.group[0]: one.intervals for one in summarise(row for cell in its for row in cell.scores)}
    learners = {cell.learner for cell in cells}
    section = (FOLDER / "README.md").read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    parts = section.split("\n### From ")[1:]
    for part in parts:
        count, table = (text.strip() for text in part.split("\n\n")[:2])
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        shown = {column.title: column for column in columns().values()}
        for name, *found in rows[2:]:  # below recordings and copies, which are no cells
            learner, _, steps = name.partition(", ")
            own = means[f"{learner}, {count}, {steps or '0 steps'}"]
            assert learner in learners and len(own) == 9
            for heading, text in zip(head[1:], found, strict=True):
                if column := shown.get(heading):
                    one = own[column.name]
                    expected = (f"{value:.{column.digits}f}" for value in (one.mean, one.low, one.high))
                    assert text == "{} [{}, {}]".format(*expected), (name, heading)
        assert len(rows) >= fewest and len(shown.keys() & set(head)) == 9
    assert parts
