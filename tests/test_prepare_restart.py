"""`prepare` that is killed, or runs in several processes, on a cluster or in shards: the same bytes, nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from commands import listing
from prepare_runs import PrepareRun, write_corpus

RECORDINGS = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus", RECORDINGS)


@pytest.fixture(scope="module")
def expected(corpus: Path) -> dict[str, bytes]:
    """The files of one undisturbed run in one process."""
    run = PrepareRun(corpus, corpus.parent / "expected", in_process=10**6).finish()
    assert set(run.decoded().values()) == {1} and len(run.decoded()) == RECORDINGS + 1
    files = listing(run.out)
    assert sorted(files) == ["dropped.jsonl", "manifest.jsonl"]
    assert files["manifest.jsonl"].count(b"\n") == RECORDINGS and files["dropped.jsonl"].count(b"\n") == 2
    return files


@pytest.mark.parametrize(("jobs", "kills"), [(1, 3), (2, 2)])
def test_a_run_that_is_killed_again_and_again_ends_the_same_and_reads_nothing_twice(
    corpus: Path, expected: dict[str, bytes], jobs: int, kills: int
) -> None:
    out, draw = corpus.parent / f"killed{jobs}", random.Random(jobs)
    before = finished = 0
    for _ in range(kills):
        run = PrepareRun(corpus, out, "--jobs", jobs, seconds=0.05, in_process=0 if jobs > 1 else 10**6)
        run.kill_after(draw.randrange(1, 8))
        before, finished = sum(run.decoded().values()), run.journaled()
        assert before - jobs * 4 * kills <= finished <= before
        assert not (out / "manifest.jsonl").exists()
    last = PrepareRun(corpus, out, "--jobs", jobs, in_process=0 if jobs > 1 else 10**6).finish()
    assert listing(out) == expected
    assert sum(last.decoded().values()) - before == RECORDINGS + 1 - finished
