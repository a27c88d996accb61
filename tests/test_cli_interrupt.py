"""Ctrl-C, SIGTERM and SIGKILL during a clone: the output file is either the old one or the complete new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import listing, write_base, write_recordings

from tts_meta.adapt import Voice

TESTS = Path(__file__).parent

# Code that runs before the command. It kills the process at a moment of writing the voice, like a power failure.
MOMENTS = {
    "after the first byte": """
def write_bytes(path, data):
    with open(path, "wb") as handle:
        handle.write(data[:1])
    die()
pathlib.Path.write_bytes = write_bytes
""",
    "after half of the file": """
def write_bytes(path, data):
    with open(path, "wb") as handle:
        handle.write(data[: len(data) // 2])
    die()
pathlib.Path.write_bytes = write_bytes
""",
    "before the rename": "os.replace = lambda source, target: die()",
    "after the rename": "rename = os.replace\nos.replace = lambda *names: (rename(*names), die())",
}


def start(folder: Path, before: str, *options: str) -> subprocess.Popen[str]:
    """Start `tts-meta clone` in another process; the output file is an older voice."""
    code = f"import os, pathlib, signal, sys\nsys.path.insert(0, {str(TESTS)!r})\nimport helpers\n"
    # If the tests run in the background, SIGINT is ignored, and child processes inherit that.
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "def die(): os.kill(os.getpid(), signal.SIGKILL)\n" + before
    code += "\nfrom tts_meta.cli import main\nsys.exit(main())"
    audio = [str(path) for path in sorted(folder.glob("say*.wav"))]
    command = [sys.executable, "-c", code, "clone", *audio, "-o", str(folder / "ann.voice.safetensors"), "--force"]
    return subprocess.Popen(
        [*command, "--base", str(folder / "base"), *options],
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a base, recordings, and an older file at the path of the voice."""
    write_base(tmp_path / "base")
    write_recordings(tmp_path, 2)
    (tmp_path / "ann.voice.safetensors").write_text("an older voice")
    return tmp_path


def new_files(folder: Path, before: dict[str, bytes]) -> list[str]:
    return [name for name in listing(folder) if name not in before]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_clone_leaves_a_complete_voice(folder: Path, moment: str) -> None:
    before = listing(folder)
    process = start(folder, MOMENTS[moment], "--steps", "1")
    _, err = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, err
    for name in new_files(folder, before):
        assert name.startswith(".ann.voice.safetensors.") and name.endswith(".tmp"), (
            "a temporary file looks like a voice"
        )
    if moment == "after the rename":
        assert Voice.load(folder / "ann.voice.safetensors").steps == 1
    else:
        assert (folder / "ann.voice.safetensors").read_text() == "an older voice"


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(3000):
        if path.exists() and any(path.iterdir()):
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    pytest.fail("the clone did not start to adapt")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_or_sigterm_during_adaptation_gives_one_line_and_leaves_no_file(
    folder: Path, number: signal.Signals, status: int
) -> None:
    before = listing(folder)
    process = start(folder, "", "--steps", "1000000", "--log", str(folder / "log"))
    wait_for(folder / "log", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status and out == ""
    assert err == f"tts-meta: stopped; {folder / 'ann.voice.safetensors'} was not written\n"
    assert all(name.startswith("log/events.") for name in new_files(folder, before))
    assert (folder / "ann.voice.safetensors").read_text() == "an older voice"


def test_ctrl_c_during_imports_gives_one_line_and_leaves_no_file(folder: Path) -> None:
    before = listing(folder)
    # The signal arrives during an import, while Python code of libraries runs.
    interrupt = "import builtins\noriginal = builtins.__import__\n"
    interrupt += "def slow(name, *rest):\n    if name == 'tts_meta.adapt': os.kill(os.getpid(), signal.SIGINT)\n"
    interrupt += "    return original(name, *rest)\nbuiltins.__import__ = slow"
    process = start(folder, interrupt, "--steps", "1")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "") and err.count("\n") == 1 and "stopped" in err
    assert listing(folder) == before


def outcome(code: str) -> tuple[int, str]:
    """Return exit status and standard error of a program that sends signals to itself."""
    imports = "import os, signal, sys, time\nfrom tts_meta.cli import run_command\n"
    process = subprocess.run([sys.executable, "-c", imports + code], cwd=TESTS.parent, capture_output=True, text=True)
    assert process.stdout == ""
    return process.returncode, process.stderr


def test_sigterm_gives_one_line_and_status_143_and_a_second_one_ends_the_process() -> None:
    kill = "os.kill(os.getpid(), signal.SIGTERM)"
    assert outcome(f"sys.exit(run_command(lambda: {kill}))") == (143, "tts-meta: stopped; nothing was written\n")
    code = f"def work():\n    try:\n        {kill}\n    finally:\n        {kill}\nsys.exit(run_command(work))"
    assert outcome(code) == (-signal.SIGTERM, "")


def test_an_ignored_sigterm_stays_ignored_and_the_handler_is_restored() -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    assert outcome(f"{code}sys.exit(run_command(lambda: os.kill(os.getpid(), signal.SIGTERM)))") == (0, "")
    code = "run_command(lambda: None)\nassert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    assert outcome(code) == (0, "")


def test_sigterm_ends_a_forked_worker_without_a_message() -> None:
    code = """
def work():
    child = os.fork()
    if not child:
        time.sleep(60)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
sys.exit(run_command(work))
"""
    assert outcome(code) == (0, "")


def test_training_prints_how_to_resume_after_sigterm() -> None:
    code = "from tts_meta.cli.training import resumable\ndef work():\n    with resumable():\n"
    code += "        os.kill(os.getpid(), signal.SIGTERM)\nsys.exit(run_command(work))"
    line = "tts-meta: stopped; run the same command again to continue from the last checkpoint\n"
    assert outcome(code) == (143, line)
