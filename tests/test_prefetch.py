"""Work done ahead of who asks for it."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tts_meta.train.prefetch import prefetch


def test_results_come_in_order_whichever_is_done_first() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.01 if number % 4 == 0 else 0.0)
        return -number

    assert list(prefetch(range(30), slow_at_first, threads=4, max_pending=8)) == [-number for number in range(30)]


def test_jobs_without_end_are_begun_only_so_far_ahead() -> None:
    begun: list[int] = []
    results = prefetch(itertools.count(), begun.append, threads=2, max_pending=5)
    for asked in range(1, 20):
        next(results)
        assert len(begun) <= asked + 5
    results.close()
    assert len(begun) <= 19 + 5


def test_a_job_runs_while_the_one_before_is_looked_at() -> None:
    second = threading.Event()
    results = prefetch(range(2), lambda number: second.set() if number else None, threads=1, max_pending=1)
    next(results)
    assert second.wait(timeout=10)
    results.close()


def test_an_error_is_raised_where_its_result_would_be_and_ends_the_threads() -> None:
    def fails(number: int) -> int:
        if number == 2:
            raise OSError("gone")
        return number

    threads = threading.active_count()
    results = prefetch(range(100), fails, threads=2, max_pending=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(results)
    assert threading.active_count() == threads
