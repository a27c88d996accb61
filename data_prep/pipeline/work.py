"""`finish_jobs`: do the jobs that the journal does not have, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from data_prep.pipeline.audio_job import AudioJob, feature_cache, run_job
from data_prep.pipeline.journal import Journal
from tts_meta.executors import Workers, worker_pool

MAX_IN_PROCESS = 64
"""Largest number of recordings that are read in this process: a worker process takes about 2 s to start."""

Report = Callable[[int, int], None]
"""Receives the number of recordings that are done, and the total number."""


def finish_jobs(
    jobs: Callable[[], Iterator[AudioJob | None]],
    journal: Journal,
    workers: Workers,
    report: Report,
    max_in_process: int | None = None,
) -> None:
    """Do all jobs once, and add each result to the journal when it arrives.

    jobs: yields the jobs, or None where there is nothing to do; it is called twice. Equal jobs are done once.
    max_in_process: largest number of jobs that are done in this process; None is `MAX_IN_PROCESS`.
    """
    max_in_process = MAX_IN_PROCESS if max_in_process is None else max_in_process
    total = missing = 0
    for job in jobs():
        total, missing = total + 1, missing + (job is not None and job.key not in journal)
    if not missing:
        report(total, total)
        return
    done, started = total - missing, set[bytes]()

    def new_jobs() -> Iterator[AudioJob]:
        nonlocal done
        for job in jobs():
            if job is None or (job.key in journal and job.key not in started):
                continue
            if job.key in started:
                done += 1  # the same recording is listed again
            else:
                started.add(job.key)
                yield job

    feature_cache.cache_clear()  # the folder of an earlier corpus may be deleted
    report(done, total)
    with worker_pool(workers.jobs, workers.dask, in_process=missing <= max_in_process) as pool:
        for job, result in pool.run(run_job, new_jobs()):
            journal.add(job.key, result)
            done += 1
            report(done, total)
    report(total, total)
