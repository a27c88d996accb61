"""The command line: help, wrong calls, one-line errors, and the printing of tables."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tts_meta.cli import main
from tts_meta.cli.app import VERBS
from tts_meta.cli.console import table
from tts_meta.cli.progress import StageTimer


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_the_help_of_every_verb_has_an_example_and_fits_the_terminal(run_cli, verb) -> None:
    name = verb.__name__.replace("_", "-")
    result = run_cli(name, "--help")
    assert result.status == 0 and result.err == ""
    assert f"\n  Examples:\n    tts-meta {name}" in result.out
    assert max(map(len, result.out.splitlines())) <= 110


def test_running_without_a_verb_lists_all_verbs(run_cli) -> None:
    result = run_cli()
    assert result.status == 0 and all(f"\n  {verb.__name__.replace('_', '-')} " in result.out for verb in VERBS)
    assert "..." not in result.out.partition("Commands:")[2], "a summary is cut off"


def test_help_and_version_do_not_import_large_packages() -> None:
    code = (
        "import sys; from tts_meta.cli import main; status = [main([]), main(['--version']), main(['clone', '-h'])]\n"
    )
    code += "print(status, [n for n in ('torch', 'numpy', 'soundfile', 'safetensors', 'rich') if n in sys.modules])"
    process = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "[0, 0, 0] []" and process.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sing"], "No such command 'sing'"),
        (["speak", "base", "a", "-o", "a.wav", "--loud"], "No such option: --loud"),
        (["speak", "base", "a"], "no output; give one with -o OUT.wav, or --stream"),
        (["speak", "base", "a", "--stream", "-o", "a.wav"], "without -o"),
        (["clone", "-o", "a.voice.safetensors"], "Missing argument 'AUDIO"),
        (["clone", "a.wav", "-o", "a.safetensors"], "must be named NAME.voice.safetensors"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--steps", "-1"], "--steps"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--learning-rate", "0"], "must be above 0"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--variance", "-2"], "must be above 0"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--prior-scale", "0"], "must be above 0"),
        (["clone", "a.wav", "-o", "a.voice.safetensors", "--consent", "a\nb"], "one line"),
        (["speak", "base", "a", "-o", "a.aac"], "must be one of .wav, .flac, .ogg, .mp3, .opus"),
        (["speak", "base", "a", "-o", "a.wav", "--speed", "9"], "--speed"),
        (["speak", "base", "-o", "a.wav"], "no text"),
        (["speak", "base", "a", "--file", "a.txt", "-o", "a.wav"], "one of them"),
        (["speak", "a.voice.safetensors", "a", "-o", "a.wav", "--speaker", "ann"], "use it with VOICE `base`"),
        (["speak", "base", "a", "-o", "-", "--json"], "without --json"),
        (["prepare", "no-such", ".", "out"], "the corpora are: cmu-arctic"),
    ],
)
def test_wrong_use_gives_one_line_and_status_2(run_cli, arguments: list[str], message: str) -> None:
    assert run_cli(*arguments).failed(2, message)


def test_demo_passes_its_options_to_the_pipeline(run_cli, tmp_path: Path, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr("tts_meta.demo.run", lambda out, console, **options: calls.append((out, options)))
    assert run_cli("demo", "-o", tmp_path / "out", "--steps", 5, "--open").status == 0
    out = tmp_path / "out"
    command = f"tts-meta demo -o {out} --steps 5 --open"
    options = {"steps": 5, "base": None, "device": None, "open_page": True, "command": command}
    assert calls == [(out, options)]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "stopped; nothing was written"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 TB"), 1, "out of memory"),
        (OSError(28, "No space left on device", "a.wav"), 1, "a.wav: No space left on device; free some space"),
        (KeyError("no\nsuch"), 1, "internal error (KeyError:"),
    ],
)
def test_every_exception_gives_one_line(run_cli, tmp_path: Path, monkeypatch, error, status: int, message: str) -> None:
    def raise_error(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("tts_meta.models.pretrained.load_base", raise_error)
    assert run_cli("speak", "base", "abc", "-o", tmp_path / "a.wav").failed(status, message)


def test_a_recipe_script_reports_an_error_in_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    script = Path(__file__).parents[1] / "recipes" / "few_shot" / "prune.py"
    monkeypatch.setattr(sys, "argv", [script.name, str(tmp_path / "absent.yaml")])
    with pytest.raises(SystemExit) as exit_info:
        runpy.run_path(str(script), run_name="__main__")
    out, err = capsys.readouterr()
    assert exit_info.value.code == 1 and out == ""
    assert err.startswith("tts-meta: ") and "absent.yaml" in err and err.count("\n") == 1


def test_tts_meta_debug_shows_the_traceback(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TTS_META_DEBUG", "1")
    monkeypatch.setattr("tts_meta.models.pretrained.load_base", lambda folder, device: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["speak", "base", "abc", "-o", str(tmp_path / "a.wav")])


def test_a_closed_pipe_gives_no_error_message() -> None:
    command = [sys.executable, "-c", "import sys; from tts_meta.cli import main; sys.exit(main(['--help']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 1)


def test_table_columns_are_as_wide_as_their_content() -> None:
    assert table(("name", "size"), [("a", "1,000"), ("longer", "2")], right=(1,)).splitlines() == [
        "name     size",
        "------  -----",
        "a       1,000",
        "longer      2",
    ]


def test_the_stage_timer_sums_repeated_stages() -> None:
    timer = StageTimer(0.0)
    timer.add("one", 1.0)
    timer.add("two", 0.5)
    timer.add("one", 2.0)
    assert timer.stages == {"one": 3.0, "two": 0.5}
