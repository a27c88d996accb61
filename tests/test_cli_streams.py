"""Closed and broken standard streams: results and errors never go to the wrong stream or into a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
START = """import os, sys
from tts_meta.cli import main, run_command
from tts_meta.cli.console import print_json, print_message, print_text
"""


def run_in_shell(code: str, redirections: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python code after the imports of `START`, in a shell with these redirections."""
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, START + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)


def test_an_error_is_not_written_to_stdout_if_stderr_is_closed() -> None:
    process = run_in_shell("sys.exit(main(['no-such-verb']))", "2>&-")
    assert (process.returncode, process.stdout, process.stderr) == (2, b"", b"")


def test_a_warning_is_not_written_into_json_if_stderr_is_closed() -> None:
    process = run_in_shell(
        "sys.exit(run_command(lambda: (print_message('a warning'), print_json({'a': 1}), None)[-1]))", "2>&-"
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, b'{\n  "a": 1\n}\n', b"")


@pytest.mark.parametrize("number", [1, 2])
def test_output_of_libraries_is_not_written_into_an_open_file(tmp_path: Path, number: int) -> None:
    code = f"""
def work():
    with open({str(tmp_path / "a")!r}, "w") as file:
        os.write({number}, b"a line of a library")
        file.write("ours")
sys.exit(run_command(work))
"""
    assert run_in_shell(code, f"{number}>&-").returncode == 0
    assert (tmp_path / "a").read_text() == "ours"


def test_a_closed_stdout_is_accepted_for_messages_and_refused_for_results() -> None:
    assert run_in_shell("sys.exit(run_command(lambda: print_text('done')))", ">&-").returncode == 0
    for arguments in (
        ["inspect", "base", "--json"],
        ["speak", "base", "a", "-o", "-"],
        ["speak", "base", "a", "--stream"],
    ):
        code = f"status = main({arguments!r}); assert 'torch' not in sys.modules; sys.exit(status)"
        process = run_in_shell(code, ">&-")
        assert process.returncode == 2, process.stderr
        assert process.stderr.startswith(b"tts-meta: standard output is closed") and process.stderr.count(b"\n") == 1


def test_a_closed_stdin_is_one_line() -> None:
    process = run_in_shell("sys.exit(main(['speak', 'base', '-', '--stream']))", "<&-")
    assert process.returncode == 2 and process.stdout == b""
    assert process.stderr.startswith(b"tts-meta: standard input is closed") and process.stderr.count(b"\n") == 1


def test_with_all_streams_closed_the_status_is_still_correct() -> None:
    assert run_in_shell("sys.exit(main(['no-such-verb']))", "<&- >&- 2>&-").returncode == 2
    assert run_in_shell("sys.exit(main(['--version']))", "<&- >&- 2>&-").returncode == 0


def test_a_full_disk_at_stdout_gives_one_line() -> None:
    process = run_in_shell("sys.exit(run_command(lambda: print_text('done')))", ">/dev/full")
    assert process.returncode == 1
    assert process.stderr == b"tts-meta: No space left on device; free some space\n"


def test_a_full_disk_or_closed_pipe_at_stderr_does_not_stop_the_work() -> None:
    code = "sys.exit(run_command(lambda: (print_message('a warning'), print_json({'a': 1}), None)[-1]))"
    process = run_in_shell(code, "2>/dev/full")
    assert (process.returncode, process.stdout) == (0, b'{\n  "a": 1\n}\n')
    with subprocess.Popen([sys.executable, "-c", START + code], cwd=ROOT, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.close()
        assert (process.stdout.read(), process.wait()) == (b'{\n  "a": 1\n}\n', 0)


def test_terminal_control_sequences_are_printed_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    from tts_meta.cli.console import print_message, print_text, print_warning, table

    title = "\x1b]0;title\x07"
    print_text(f"σ {title}\nnext")
    print_message(title)
    print_warning(f"a\n{title}")
    out, err = capsys.readouterr()
    assert out == "σ \\x1b]0;title\\x07\nnext\n"
    assert err == "tts-meta: \\x1b]0;title\\x07\ntts-meta: warning: a \\x1b]0;title\\x07\n"
    assert table(("a",), [(title,)]).splitlines()[2] == "\\x1b]0;title\\x07"


def test_verbs_print_only_through_the_functions_that_escape() -> None:
    printing = {path.name for path in (ROOT / "tts_meta" / "cli").glob("*.py") if " print(" in path.read_text("utf-8")}
    assert printing == {"console.py", "streams.py"}


def test_characters_outside_the_terminal_encoding_are_escaped() -> None:
    process = run_in_shell("sys.exit(run_command(lambda: print_text('σ = 1')))", "")
    assert process.stdout.decode() == "σ = 1\n"
    command = [sys.executable, "-X", "utf8=0", "-c", START + "sys.exit(run_command(lambda: print_text('σ = 1')))"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": "/bin"})
    assert (process.returncode, process.stdout) == (0, b"\\u03c3 = 1\n")
