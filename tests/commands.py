"""What the tests of the command line share: running it in this process, and a tiny base with recordings to clone."""

from __future__ import annotations

import json
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
    """What a run of `tts-meta` left: its exit status and all it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)

    def failed(self, status: int, *said: str) -> bool:
        """Whether it ended with `status` and one line on stderr, without a trace, that says all of `said`."""
        one_line = self.err.startswith("tts-meta: ") and self.err.count("\n") == 1 and "Traceback" not in self.err
        return self.status == status and self.out == "" and one_line and all(part in self.err for part in said)


def run(capture: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run `tts-meta` with these arguments."""
    capture.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capture.readouterr()
    return Result(status, captured.out, captured.err)


def write_recordings(folder: Path, count: int) -> list[Path]:
    """Sentences of the language of tones, each with its transcript beside it."""
    written = []
    for number in range(count):
        text = tone_sentence(number)
        audio = folder / f"say{number}.wav"
        write_wav(audio, tone_speech(text, number)[0], RATE)
        audio.with_suffix(".txt").write_text(text + "\n")
        written.append(audio)
    return written


def write_base(folder: Path, seed: int = 0) -> Path:
    """A tiny random base, saved."""
    save_base(tiny_base(seed), folder)
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
