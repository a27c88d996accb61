"""Helpers for tests of manifests: utterances and lines."""

from __future__ import annotations

import json
from pathlib import Path

from tts_meta.corpus import Utterance


def make_utterance(folder: Path, name: str = "a", speaker: str = "anna", split: str | None = None) -> Utterance:
    audio = folder / f"{name}.ogg"
    audio.touch()
    return Utterance(name, speaker, audio, 1.5, f"Text of {name}.", split=split)


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def record(**changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "id": "a",
        "speaker": "anna",
        "audio": "a.ogg",
        "seconds": 1.5,
        "text": "Text.",
    }
    return {key: value for key, value in {**plain, **changes}.items() if value != "absent"}
