"""The script that measures the cost of meta-learning: every part runs on a tiny network and prints complete tables."""

from __future__ import annotations

import importlib
import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "meta_cost"
# TorchOpt 0.7.3 calls functions of torch by their old names.
pytestmark = pytest.mark.filterwarnings("ignore:We've integrated functorch into PyTorch:FutureWarning")


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with small sizes."""
    monkeypatch.syspath_prepend(FOLDER)
    script = importlib.import_module("cost")
    for name, value in {
        "WIDTH": 8,
        "POINTS": 6,
        "ROUNDS": 3,
        "TASKS": 2,
        "SHAPES": ((8, 6),),
        "COUNTS": (1, 3),
    }.items():
        monkeypatch.setattr(script, name, value)
    return script


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table by row, without the head."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n") if block.startswith("|")]
    all_rows = [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in block] for block in blocks]
    for rows in all_rows:
        assert len({len(row) for row in rows if not row[0].startswith("---")}) == 1
        assert all(cell for row in rows[2:] for cell in row)
    return [rows[2:] for rows in all_rows]


def test_all_implementations_give_the_same_meta_gradient(cost: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    cost.times()
    unrolled, implicit = tables(capsys.readouterr().out)
    installed = [name for name in ("higher", "torchopt") if cost.implementations.installed(name)]
    assert len(unrolled) == 2 + ("higher" in installed) + 2 * ("torchopt" in installed)
    assert len(implicit) == 2 + ("torchopt" in installed)
    assert all(float(row[-1]) < 1e-3 and float(row[1]) > 0 for row in unrolled + implicit)


def test_parallel_tasks_have_the_results_of_single_tasks(cost: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    cost.parallel_tasks()
    (rows,) = tables(capsys.readouterr().out)
    assert [row[0] for row in rows] == ["1", "3"] and all(float(row[-1]) < 1e-5 for row in rows)


def test_processes_report_their_speed_and_their_differences(
    cost: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With one process, whose differences are zero; test_meta_distributed.py compares two processes with one."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    cost.worker(tmp_path / "report")
    (rows,) = tables((tmp_path / "report").read_text())
    assert [row[0] for row in rows] == ["sigma-imaml", "sigma-reptile", "maml"]
    assert all(float(row[4].split()[0]) > 0 for row in rows)
    assert all(float(row[5]) == float(row[6]) == 0 < float(row[7]) for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_is_measured_in_separate_processes_and_cells_over_the_limits_are_left_out(
    cost: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "MEMORY", {"sigma-imaml": cost.MEMORY["sigma-imaml"]})
    monkeypatch.setattr(cost, "MEMORY_STEPS", (10, 100))
    monkeypatch.setattr(cost, "LIMIT_GIB", 1e-3)
    cost.memory()
    (rows,) = tables(capsys.readouterr().out)
    assert float(rows[0][1]) > 0 and rows[0][2].startswith("left out: about")
    monkeypatch.setattr(cost, "LIMIT_SECONDS", 1e-3)
    cost.memory()
    (rows,) = tables(capsys.readouterr().out)
    assert rows[0][1:] == ["left out: over 0.001 s"] * 2


def test_an_unknown_part_is_named(
    cost: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cost.py", "memroy"])
    with pytest.raises(SystemExit, match="2"):
        cost.main()
    assert "no part 'memroy'; parts: memory, time, processes, tasks" in capsys.readouterr().err
