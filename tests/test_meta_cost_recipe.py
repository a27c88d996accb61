"""The script that measures what meta-learning costs, on a tiny network: every part runs and prints whole tables."""

from __future__ import annotations

import importlib
import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "recipes" / "meta_cost"
# TorchOpt 0.7.3 calls functions of torch by their former names.
pytestmark = pytest.mark.filterwarnings("ignore:We've integrated functorch into PyTorch:FutureWarning")


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with little to do."""
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
    """Rows of cells of each table, without its head."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n") if block.startswith("|")]
    found = [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in block] for block in blocks]
    for rows in found:
        assert len({len(row) for row in rows if not row[0].startswith("---")}) == 1
        assert all(cell for row in rows[2:] for cell in row)
    return [rows[2:] for rows in found]


def test_every_contestant_finds_the_same_meta_gradient(cost: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    cost.times()
    unrolled, implicit = tables(capsys.readouterr().out)
    peers = [name for name in ("higher", "torchopt") if cost.peers.installed(name)]
    assert len(unrolled) == 2 + ("higher" in peers) + 2 * ("torchopt" in peers)
    assert len(implicit) == 2 + ("torchopt" in peers)
    assert all(float(row[-1]) < 1e-3 and float(row[1]) > 0 for row in unrolled + implicit)


def test_tasks_side_by_side_end_where_single_ones_do(cost: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    cost.side_by_side()
    (rows,) = tables(capsys.readouterr().out)
    assert [row[0] for row in rows] == ["1", "3"] and all(float(row[-1]) < 1e-5 for row in rows)


def test_processes_report_their_speed_and_what_they_differ_by(
    cost: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In one process, which differs from itself by nothing; two are the matter of test_meta_distributed.py."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    cost.worker(tmp_path / "report")
    (rows,) = tables((tmp_path / "report").read_text())
    assert [row[0] for row in rows] == ["sigma-imaml", "sigma-reptile", "maml"]
    assert all(float(row[4].split()[0]) > 0 for row in rows)
    assert all(float(row[5]) == float(row[6]) == 0 < float(row[7]) for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_is_measured_in_processes_of_their_own_and_what_takes_too_long_or_too_much_is_left_out(
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


def test_a_part_that_there_is_not_is_named(
    cost: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cost.py", "memroy"])
    with pytest.raises(SystemExit, match="2"):
        cost.main()
    assert "no part 'memroy'; parts: memory, time, processes, tasks" in capsys.readouterr().err
