"""Runs of `prepare` in processes of their own, which count how often each recording is decoded and can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from corpora import write_audio

ROOT = Path(__file__).resolve().parents[1]

# A spawned worker imports the program again, so the count includes the recordings that workers decode.
_PROGRAM = """
import os, sys, time
import data_prep.pipeline.work as work
import tts_meta.audio.speech as speech

decode, log, seconds = speech.decode_audio, sys.argv[1], float(sys.argv[2])
work.MAX_IN_PROCESS = int(sys.argv[3])

def counted(path, *arguments):
    with open(log, "ab", buffering=0) as file:
        file.write(os.fsencode(path) + b"\\n")
    time.sleep(seconds)
    return decode(path, *arguments)

speech.decode_audio = counted

if __name__ == "__main__":
    from tts_meta.cli import main
    sys.exit(main(sys.argv[4:]))
"""


def write_corpus(folder: Path, count: int, speakers: int = 2) -> Path:
    """Write tones of several speakers, each with its text, and two recordings that cannot be used."""
    for number in range(count):
        path = write_audio(folder / f"s{number % speakers}" / f"{number:03d}.wav", 0.2 + 0.01 * number, 150 + number)
        path.with_suffix(".txt").write_text(f"Text {number}.")
    write_audio(folder / "s0" / "without_text.wav")
    (folder / "s1" / "broken.wav").write_bytes(b"RIFF")
    (folder / "s1" / "broken.txt").write_text("Broken.")
    return folder


class PrepareRun:
    """`tts-meta prepare folder CORPUS OUT OPTIONS` in another process."""

    def __init__(self, corpus: Path, out: Path, *options: object, seconds: float = 0.0, in_process: int = 0) -> None:
        """seconds: time that each decoding takes in addition. in_process: `MAX_IN_PROCESS`."""
        self.out, self.log = out, out.parent / f"{out.name}.decoded"
        program = out.parent / "program.py"
        program.write_text(_PROGRAM)
        arguments = [self.log, seconds, in_process, "prepare", "folder", corpus, out, *options]
        self.process = subprocess.Popen(
            [sys.executable, str(program), *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> PrepareRun:
        """Wait for the end, which must be a success."""
        _, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, err
        assert err == ""
        return self

    def kill_after(self, decodings: int) -> None:
        """Send SIGKILL when this number of further recordings is decoded, or wait for an earlier end."""
        wanted = sum(self.decoded().values()) + decodings
        while self.process.poll() is None and sum(self.decoded().values()) < wanted:
            time.sleep(0.002)
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)

    def decoded(self) -> Counter[str]:
        """Return how often each recording was decoded, by file name, in this run and those before it."""
        names = self.log.read_text().split("\n") if self.log.exists() else []
        return Counter(Path(name).name for name in names if name)

    def journaled(self) -> int:
        """Return the number of results in the journal."""
        path = self.out / ".manifest.journal"
        return sum(1 for line in path.read_bytes().split(b"\n") if line) if path.exists() else 0
