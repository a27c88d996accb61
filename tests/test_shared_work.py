"""Shared work of a run: each job is done once, by one of the processes, also after a stop, and results are in order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faults import error_line
from processes import in_two_processes
from rich.console import Console

from tts_meta.train.distributed import barrier, rank_and_world
from tts_meta.train.shared_work import SharedWork, job_keys

JOBS = 23


def shared_work(folder: Path, jobs: int = JOBS) -> SharedWork:
    return SharedWork(folder / "work.parts", job_keys("test", range(jobs)))


def run(work: SharedWork, stop_at: int | None = None) -> list[int]:
    """Do the jobs and return those that this process did; raise KeyboardInterrupt at a job."""
    done: list[int] = []

    def square(number: int) -> bytes:
        if number == stop_at:
            raise KeyboardInterrupt
        done.append(number)
        return str(number**2).encode()

    try:
        work.run(square, "squares", Console(quiet=True))
    except KeyboardInterrupt:
        assert stop_at is not None
    return done


def test_results_are_in_the_order_of_the_jobs_and_a_stopped_run_continues(tmp_path: Path) -> None:
    first = run(shared_work(tmp_path), stop_at=9)
    work = shared_work(tmp_path)
    second = run(work)
    assert sorted(first + second) == list(range(JOBS)) and 9 <= len(first) < 13
    assert [int(result) for result in work.results()] == [number**2 for number in range(JOBS)]
    assert run(shared_work(tmp_path)) == []
    work.remove()
    assert not list(tmp_path.iterdir())


def test_another_job_has_another_key_and_is_done(tmp_path: Path) -> None:
    run(shared_work(tmp_path))
    changed = SharedWork(tmp_path / "work.parts", job_keys("other", range(3)))
    assert run(changed) == [0, 1, 2]
    keys = [job_keys("a", ["x"]), job_keys("a", ["y"]), job_keys("b", ["x"])]
    assert len({key.tobytes() for key in keys}) == 3 and job_keys("a", []).shape == (0, 32)


def test_a_damaged_result_is_refused_in_one_line(tmp_path: Path) -> None:
    run(shared_work(tmp_path))
    (shard,) = (tmp_path / "work.parts").glob("*.data")
    shard.write_bytes(bytes(shard.stat().st_size))
    line = error_line(lambda: list(shared_work(tmp_path).results()))
    assert "a result is damaged; delete the folder and run the same command again" in line


def work_of_two() -> dict[str, Any]:
    folder = Path(os.environ["WORK_FOLDER"])
    barrier()
    work = shared_work(folder)
    done = run(work)
    results = list(work.results())
    work.remove()
    return {"rank": rank_and_world()[0], "done": done, "results": results}


def test_two_processes_do_each_job_once_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "processes").mkdir()
    monkeypatch.setenv("WORK_FOLDER", str(tmp_path / "work"))
    before = run(shared_work(tmp_path / "work"), stop_at=6)
    first, second = in_two_processes(work_of_two, tmp_path / "processes")
    assert first["results"] == second["results"] == [str(number**2).encode() for number in range(JOBS)]
    assert sorted(before + first["done"] + second["done"]) == list(range(JOBS))
    assert len(first["done"]) - len(second["done"]) in (0, 1)
    assert not list((tmp_path / "work").iterdir())
