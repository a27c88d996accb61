"""The report that `tts-meta prepare --html` and `tts-meta merge --html` write after the manifest."""

from __future__ import annotations

from pathlib import Path

from tts_meta.cli.console import print_json, print_message
from tts_meta.cli.work_progress import work_progress


def report_corpus(manifest: Path, sample: int, jobs: int | None, dask: str | None) -> Path:
    """Write the report of a manifest, say where it is, and return the path of the page. jobs: None for all CPUs."""
    from tts_meta.executors import usable_cpus
    from tts_meta.report.corpus import write_corpus_report

    with work_progress("measured recordings") as progress:
        written = write_corpus_report(
            manifest, sample, jobs=usable_cpus() if jobs is None else jobs, dask=dask, report=progress
        )
    print_message(f"{written.page}: {written.suspicious} suspicious recordings; {written.measured} were measured")
    return written.page


def report_existing(manifest: Path, sample: int, jobs: int | None, dask: str | None, as_json: bool) -> None:
    """Write the report of a manifest that an earlier command has written."""
    page = report_corpus(manifest, sample, jobs, dask)
    if as_json:
        print_json({"manifest": str(manifest), "report": str(page)})
