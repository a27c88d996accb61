"""Helpers for tests of the command line: run it in this process, and write a tiny base and recordings to clone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import RATE, tiny_base, tone_sentence, tone_speech

from tts_meta.audio import write_wav
from tts_meta.cli import main
from tts_meta.models.pretrained import save_base


@dataclass(frozen=True)
class Result:
    """Exit status and output of a run of `tts-meta`."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output of a successful run with `--json`."""
        assert self.status == 0, self.err
        return json.loads(self.out)

    def failed(self, status: int, *parts: str) -> bool:
        """Return whether the run ended with `status` and one line on stderr that contains all `parts`."""
        is_one_line = self.err.startswith("tts-meta: ") and self.err.count("\n") == 1 and "Traceback" not in self.err
        return self.status == status and self.out == "" and is_one_line and all(part in self.err for part in parts)


def run(capture: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run `tts-meta` with these arguments."""
    capture.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capture.readouterr()
    return Result(status, captured.out, captured.err)


def write_recordings(folder: Path, count: int) -> list[Path]:
    """Write recordings in the language of tones, each with a transcript file, and return their paths."""
    recordings = []
    for number in range(count):
        text = tone_sentence(number)
        audio = folder / f"say{number}.wav"
        write_wav(audio, tone_speech(text, number)[0], RATE)
        audio.with_suffix(".txt").write_text(text + "\n")
        recordings.append(audio)
    return recordings


def write_base(folder: Path, seed: int = 0) -> Path:
    """Save a tiny random base and return its folder."""
    save_base(tiny_base(seed), folder)
    return folder


def clone_in(run_cli: Callable[..., Result], folder: Path, base: Path, *options: object) -> Result:
    """Clone from all recordings of a folder with two steps, into `new.voice.safetensors` in this folder."""
    audio = sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    return run_cli("clone", *audio, "-o", folder / "new.voice.safetensors", "--base", base, "--steps", 2, *options)


def listing(folder: Path) -> dict[str, bytes]:
    """Return the content of every file under a folder, including hidden ones, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
