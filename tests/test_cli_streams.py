"""Closed and broken standard streams: results and errors never land in each other's place, nor in a file."""

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


def shell(code: str, redirections: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python code after imports of the program, under a shell with these redirections."""
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, START + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)


def test_an_error_does_not_land_on_stdout_where_stderr_is_closed() -> None:
    done = shell("sys.exit(main(['no-such-verb']))", "2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_a_warning_does_not_land_in_json_where_stderr_is_closed() -> None:
    done = shell("sys.exit(run_command(lambda: (print_message('a warning'), print_json({'a': 1}), None)[-1]))", "2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{\n  "a": 1\n}\n', b"")


@pytest.mark.parametrize("number", [1, 2])
def test_what_libraries_write_does_not_land_in_a_file_of_ours(tmp_path: Path, number: int) -> None:
    code = f"""
def work():
    with open({str(tmp_path / "a")!r}, "w") as file:
        os.write({number}, b"a line of a library")
        file.write("ours")
sys.exit(run_command(work))
"""
    assert shell(code, f"{number}>&-").returncode == 0
    assert (tmp_path / "a").read_text() == "ours"


def test_a_result_for_people_is_not_needed_but_json_is_refused_before_the_work() -> None:
    assert shell("sys.exit(run_command(lambda: print_text('done')))", ">&-").returncode == 0
    for arguments in (
        ["inspect", "base", "--json"],
        ["speak", "base", "a", "-o", "-"],
        ["speak", "base", "a", "--stream"],
    ):
        code = f"status = main({arguments!r}); assert 'torch' not in sys.modules; sys.exit(status)"
        done = shell(code, ">&-")
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(b"tts-meta: standard output is closed") and done.stderr.count(b"\n") == 1


def test_a_closed_stdin_is_one_line() -> None:
    done = shell("sys.exit(main(['speak', 'base', '-', '--stream']))", "<&-")
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"tts-meta: standard input is closed") and done.stderr.count(b"\n") == 1


def test_all_three_closed_is_a_status() -> None:
    assert shell("sys.exit(main(['no-such-verb']))", "<&- >&- 2>&-").returncode == 2
    assert shell("sys.exit(main(['--version']))", "<&- >&- 2>&-").returncode == 0


def test_a_full_disk_under_stdout_is_one_line() -> None:
    done = shell("sys.exit(run_command(lambda: print_text('done')))", ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == b"tts-meta: No space left on device; free some space\n"


def test_a_full_disk_or_no_reader_under_stderr_does_not_end_the_work() -> None:
    code = "sys.exit(run_command(lambda: (print_message('a warning'), print_json({'a': 1}), None)[-1]))"
    done = shell(code, "2>/dev/full")
    assert (done.returncode, done.stdout) == (0, b'{\n  "a": 1\n}\n')
    with subprocess.Popen([sys.executable, "-c", START + code], cwd=ROOT, stdout=-1, stderr=-1) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.close()
        assert (process.stdout.read(), process.wait()) == (b'{\n  "a": 1\n}\n', 0)


def test_what_a_terminal_would_obey_is_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    from tts_meta.cli.console import print_message, print_text, print_warning, table

    title = "\x1b]0;title\x07"
    print_text(f"σ {title}\nnext")
    print_message(title)
    print_warning(f"a\n{title}")
    out, err = capsys.readouterr()
    assert out == "σ \\x1b]0;title\\x07\nnext\n"
    assert err == "tts-meta: \\x1b]0;title\\x07\ntts-meta: warning: a \\x1b]0;title\\x07\n"
    assert table(("a",), [(title,)]).splitlines()[2] == "\\x1b]0;title\\x07"


def test_verbs_print_through_the_functions_that_escape() -> None:
    printing = {path.name for path in (ROOT / "tts_meta" / "cli").glob("*.py") if " print(" in path.read_text("utf-8")}
    assert printing == {"console.py", "streams.py"}


def test_a_terminal_of_another_encoding_shows_escapes() -> None:
    done = shell("sys.exit(run_command(lambda: print_text('σ = 1')))", "")
    assert done.stdout.decode() == "σ = 1\n"
    command = [sys.executable, "-X", "utf8=0", "-c", START + "sys.exit(run_command(lambda: print_text('σ = 1')))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": "/bin"})
    assert (done.returncode, done.stdout) == (0, b"\\u03c3 = 1\n")
