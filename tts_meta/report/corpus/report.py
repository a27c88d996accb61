"""`write_corpus_report`: measure a prepared corpus, and write `report.json` and `report.html` next to its manifest."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tts_meta.executors import worker_pool
from tts_meta.files import atomic_file
from tts_meta.report.corpus.findings import Finding, find_suspicious
from tts_meta.report.corpus.lines import ATTRIBUTES, CorpusLines, choose_sample, read_lines, utterances_at
from tts_meta.report.corpus.measure import Measured, MeasureJob, measure_recording
from tts_meta.report.corpus.page import CorpusPage, SuspiciousRecording, write_page
from tts_meta.report.corpus.summary import attribute_rows, dropped_reasons, measures, speaker_rows

PAGE_FILE, REPORT_FILE = "report.html", "report.json"
_DROPPED_FILE = "dropped.jsonl"
_MAX_LISTED = 1000
"""Suspicious recordings in `report.json`."""
_MAX_IN_PROCESS = 40
"""Recordings that are measured in this process: a worker process takes seconds to start and to load the lexicon."""


@dataclass(frozen=True)
class CorpusReport:
    """What was written. page, numbers: paths. suspicious: number of suspicious recordings. measured: recordings."""

    page: Path
    numbers: Path
    suspicious: int
    measured: int


def write_corpus_report(
    manifest: Path,
    sample: int = 2000,
    seed: int = 0,
    jobs: int = 1,
    dask: str | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> CorpusReport:
    """Write the report of a manifest into its folder.

    sample: largest number of recordings whose sound is measured; they are spread evenly over the speakers. seed: of
    the draw. jobs, dask: processes of this machine, or the address of a Dask scheduler. report: receives the number of
    measured recordings and of all recordings to measure. The files do not depend on the number and kind of workers.
    Raises TtsMetaError as `Manifest.load`, and if a file cannot be written.
    """
    lines = read_lines(manifest, seed)
    chosen = choose_sample(lines, sample).tolist()
    measured = _measure(manifest, chosen, jobs, dask, report)
    found = find_suspicious(lines, measured)
    listed = dict(islice(found.items(), _MAX_LISTED))
    utterances = dict(utterances_at(manifest, listed))
    recordings = [
        SuspiciousRecording(utterances[line], findings, measured.get(line)) for line, findings in listed.items()
    ]
    page = CorpusPage(
        manifest=manifest,
        lines=lines,
        measures=measures(lines, measured),
        speakers=speaker_rows(lines, measured),
        attributes={name: attribute_rows(lines, name) for name in ATTRIBUTES},
        dropped=dropped_reasons(manifest.parent / _DROPPED_FILE),
        suspicious=recordings,
        kinds=Counter(findings[0].kind for findings in found.values()),
        measured=len(measured),
        seed=seed,
    )
    numbers = manifest.parent / REPORT_FILE
    with atomic_file(numbers) as temporary:
        text = json.dumps(_numbers(page), ensure_ascii=False, allow_nan=False, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    return CorpusReport(write_page(page, manifest.parent / PAGE_FILE), numbers, len(found), len(measured))


def _measure(
    manifest: Path, chosen: list[int], jobs: int, dask: str | None, report: Callable[[int, int], None]
) -> dict[int, Measured]:
    """Measure the chosen lines, and return the results by number of the line, in ascending order."""
    measured = dict[int, Measured]()
    report(0, len(chosen))
    with worker_pool(jobs, dask, in_process=len(chosen) <= _MAX_IN_PROCESS) as pool:
        jobs_of_lines = (MeasureJob(line, utterance) for line, utterance in utterances_at(manifest, chosen))
        for job, result in pool.run(measure_recording, jobs_of_lines):
            measured[job.line] = result
            report(len(measured), len(chosen))
    return dict(sorted(measured.items()))


def _numbers(page: CorpusPage) -> dict[str, Any]:
    """Return the content of `report.json`."""
    lines: CorpusLines = page.lines
    keys = ("value", "speakers", "utterances", "hours")
    return {
        "manifest": page.manifest.name,
        "utterances": len(lines),
        "hours": round(float(lines.seconds.sum()) / 3600, 5),
        "sample": {"recordings": page.measured, "seed": page.seed, "complete": page.measured == len(lines)},
        "attributes": {
            name: [dict(zip(keys, (*row[:3], round(row[3], 5)), strict=True)) for row in rows]
            for name, rows in page.attributes.items()
        },
        "measures": {measure.key: measure.statistics() for measure in page.measures},
        "speakers": page.speakers,
        "dropped": [{"reason": reason, "count": count, "id": name} for reason, count, name in page.dropped],
        "suspicious_recordings": page.kinds.total(),
        "suspicious_by_kind": dict(page.kinds.most_common()),
        "suspicious": [_suspicious(recording, page.manifest.parent) for recording in page.suspicious],
    }


def _suspicious(recording: SuspiciousRecording, folder: Path) -> dict[str, Any]:
    utterance, measured = recording.utterance, recording.measured
    return {
        "id": utterance.id,
        "speaker": utterance.speaker,
        "audio": Path(os.path.relpath(utterance.audio, folder.resolve())).as_posix(),
        "start": utterance.start,
        "end": utterance.end,
        "text": utterance.text,
        "reasons": [_reason(finding) for finding in recording.findings],
        "sound": None if measured is None or measured.sound is None else dataclasses.asdict(measured.sound),
    }


def _reason(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "severity": round(float(finding.severity), 3), "message": finding.message}
