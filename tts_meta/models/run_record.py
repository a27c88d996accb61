"""`RunRecord`: the data, code, commands and times of a training run in `state.json`, checked and as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from tts_meta.headers import Count, Digest, Header, Name

MAX_COMMAND = 5000
"""Most characters of a command line."""
MAX_CALLS = 20
"""Most calls of a run that are recorded: the first one and the last ones."""
_Text = Annotated[str, Field(max_length=MAX_COMMAND)]


class TrainingData(Header):
    """The utterances of a training run: the manifest, its SHA-256, and their numbers. hours: of speech."""

    manifest: _Text
    sha256: Digest
    utterances: Count
    hours: Annotated[float, Field(ge=0)]
    speakers: Count


class TrainingCall(Header):
    """One call of a training verb: command line, code, machine, and times in UTC (ISO 8601).

    commit: git commit of the code, None for an installed package; dirty: whether its files had changes. processes:
    number of processes. ended: None for a call that was stopped.
    """

    command: _Text
    version: Name
    commit: Name | None = None
    dirty: bool | None = None
    torch: Name
    python: Name
    machine: _Text
    processes: Count = 1
    started: Name
    ended: Name | None = None


class RunRecord(Header):
    """The data and the calls of one training verb."""

    data: TrainingData
    calls: Annotated[list[TrainingCall], Field(min_length=1, max_length=MAX_CALLS)]


Runs = Annotated[dict[Name, RunRecord], Field(max_length=20)]
"""The records by the name of the verb."""


def run_lines(state: Mapping[str, Any]) -> list[str]:
    """Return the records under `runs` in a checked `state.json`, as lines of text."""
    lines = []
    for verb, data in state.get("runs", {}).items():
        record = RunRecord.model_validate(data)
        used, first, last = record.data, record.calls[0], record.calls[-1]
        lines.append(
            f"{verb}: {used.utterances:,} utterances of {used.speakers:,} speakers, {used.hours:.2f} hours, from "
            f"{used.manifest} (SHA-256 {used.sha256[:12]})"
        )
        changes = " with local changes" if last.dirty else ""
        commit = f"commit {last.commit[:12]}{changes}" if last.commit else "no git commit"
        lines.append(f"  code: tts_meta {last.version}, {commit}, torch {last.torch}, Python {last.python}")
        lines.append(f"  command: {last.command or 'called from Python'}")
        calls = "1 call" if len(record.calls) == 1 else f"{len(record.calls)} calls"
        processes = "1 process" if last.processes == 1 else f"{last.processes} processes"
        lines.append(f"  time: {first.started} to {last.ended or 'unknown'} in {calls}; {last.machine}, {processes}")
    return lines
