"""Helpers for tests of `prepare`: recordings that it accepts, and the contents of its output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from data_prep import Recording, prepare
from data_prep.pipeline.audio_job import run_job
from data_prep.pipeline.listing import list_recording
from data_prep.recording import to_utterance
from tts_meta.corpus import Manifest, Utterance

RATE = 16000


def write_audio(path: Path, seconds: float = 0.5, hertz: float = 200.0) -> Path:
    """Write a tone in the format of the suffix, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE), RATE)
    return path


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write text files, and tones for names with an empty text."""
    for name, text in files.items():
        if text:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        else:
            write_audio(folder / name)


def checked_recording(recording: Recording) -> Utterance | str:
    """Return the utterance that `prepare` makes of a recording, or the reason why it drops the recording."""
    listed = list_recording(recording)
    if listed.job is None:
        return listed.fault or ""
    result = run_job(listed.job)
    return result.fault or to_utterance(recording, result.seconds or 0.0)


def kept(manifest: Manifest) -> dict[str, tuple[str, str, str]]:
    """Return speaker, file name and text by id."""
    return {utterance.id: (utterance.speaker, utterance.audio.name, utterance.text) for utterance in manifest}


def dropped(out: Path) -> dict[str, str]:
    """Return the reason of each dropped recording by id."""
    lines = [json.loads(line) for line in (out / "dropped.jsonl").read_text(encoding="utf-8").split("\n") if line]
    return {line["id"]: line["reason"] for line in lines}


def listed_faults(out: Path) -> dict[str, tuple[str | None, int | None, str]]:
    """Return the name of the list, the line and the reason of each dropped recording by id."""
    result = {}
    for text in (out / "dropped.jsonl").read_text(encoding="utf-8").split("\n"):
        if text:
            line = json.loads(text)
            assert line["id"] not in result
            result[line["id"]] = (line["file"] and Path(line["file"]).name, line["line"], line["reason"])
    return result


def prepared(corpus: str, folder: Path, **options: object) -> tuple[dict[str, tuple[str, str, str]], dict[str, str]]:
    """Run `prepare`, and return the results of `kept` and `dropped`."""
    out = folder.parent / "out"
    manifest = prepare(corpus, folder, out, **options)  # pyright: ignore[reportArgumentType]
    return kept(manifest), dropped(out)
