"""Names of output files, and arguments that start with a dash: accepted, or one line before any work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import soundfile
from cases import case_folder
from commands import listing, write_base, write_recordings

GRIFFIN_LIM = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and two recordings."""
    folder = tmp_path_factory.mktemp("outputs")
    write_base(folder / "base")
    write_recordings(folder, 2)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("speak", "base", "-5 degrees outside", "-o", "a.wav"),
        ("speak", "base", "--- he said", "-o", "a.wav"),
        ("speak", "-a.voice.safetensors", "abc", "-o", "a.wav"),
        ("clone", "-a.wav", "-o", "a.voice.safetensors"),
        ("inspect", "-a.voice.safetensors"),
        ("prepare", "folder", "-recordings", "out"),
        ("pretrain", "-a.yaml"),
    ],
)
def test_an_argument_that_starts_with_a_dash_gets_a_hint(run_cli, arguments: tuple[str, ...]) -> None:
    assert run_cli(*arguments).failed(2, "No such option", "put `--` before a text or a file that begins with '-'")


def test_a_misspelt_option_gets_the_correct_name(run_cli) -> None:
    result = run_cli("speak", "base", "abc", "--ouptut", "a.wav")
    assert result.failed(2, "--output") and "put `--`" not in result.err


def test_a_text_that_starts_with_a_dash_is_spoken_after_two_dashes(run_cli, folder: Path, tmp_path: Path) -> None:
    options = ("--base", folder / "base", *GRIFFIN_LIM, "-o", tmp_path / "a.wav")
    assert run_cli("speak", *options, "--", "base", "-abc de").status == 0
    assert soundfile.info(tmp_path / "a.wav").frames > 1000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.WAV", "WAV"),
        ("a.Flac", "FLAC"),
        ("a.ogg", "OGG"),
        ("a.mp3", "MP3"),
        (f"{'a' * 251}.wav", "WAV"),
        ("-a.wav", "WAV"),
    ],
)
def test_speak_writes_the_format_of_the_suffix(run_cli, folder, tmp_path, monkeypatch, name: str, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("speak", "base", "abc", "--base", folder / "base", *GRIFFIN_LIM, "-o", name)
    assert run_cli(*command).status == 0
    assert soundfile.info(tmp_path / name).format == kind and os.listdir(tmp_path) == [name]
    assert run_cli(*command).failed(2, "exists already")


def test_clone_accepts_a_suffix_in_capitals_and_the_longest_name(run_cli, folder: Path, tmp_path: Path) -> None:
    for name in ("A.VOICE.SAFETENSORS", f"{'a' * 237}.voice.safetensors"):
        out = tmp_path / name
        command = ("clone", *sorted(folder.glob("say*.wav")), "-o", out, "--base", folder / "base", "--steps", 1)
        assert run_cli(*command).status == 0
        assert (
            run_cli(
                "speak", out, "abc", "--base", folder / "base", *GRIFFIN_LIM, "-o", tmp_path / "a.wav", "--force"
            ).status
            == 0
        )


def test_an_output_is_written_to_the_target_of_a_symbolic_link(run_cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to("target.wav")
    command = ("speak", "base", "abc", "--base", folder / "base", *GRIFFIN_LIM, "-o", tmp_path / "link.wav")
    assert run_cli(*command).status == 0
    assert (tmp_path / "link.wav").is_symlink() and soundfile.info(tmp_path / "target.wav").format == "WAV"
    assert run_cli(*command).failed(2, "exists already")
    assert run_cli(*command, "--force").status == 0 and (tmp_path / "link.wav").is_symlink()


BENCHMARK = "manifest: m.jsonl\nbase: absent\noutput: {out}\n"
TRAINING = "manifest: m.jsonl\noutput: {out}\n"
VERBS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "speak": (".wav", ("speak", "base", "abc", "-o", "{out}")),
    "clone": (".voice.safetensors", ("clone", "absent.wav", "-o", "{out}")),
    "clone --log": ("", ("clone", "absent.wav", "-o", "a.voice.safetensors", "--log", "{out}")),
    "evaluate": (".jsonl", ("evaluate", "base", "absent.jsonl", "--scores", "{out}")),
    "inspect --picture": (".png", ("inspect", "base", "--picture", "{out}")),
    "inspect --html": (".html", ("inspect", "base", "--html", "{out}")),
    "prepare": ("", ("prepare", "folder", ".", "{out}")),
    "benchmark": ("", ("benchmark", "{recipe}")),
    "demo": ("", ("demo", "--output", "{out}")),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("fault", ["below a file", "too long", "a pipe"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, fault: str
) -> None:
    def fail(*arguments: object) -> None:
        pytest.fail("the verb started to work")

    for name in (
        "models.pretrained.load_base",
        "adapt.find_transcripts",
        "demo.pipeline.load_base",
        "demo.HibariSpeaker",
    ):
        monkeypatch.setattr(f"tts_meta.{name}", fail, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    suffix, command = VERBS[verb]
    out = {"below a file": "file/a", "too long": "a" * 256, "a pipe": "pipe"}[fault] + suffix
    if fault == "a pipe":
        os.mkfifo(tmp_path / out)
    (tmp_path / "recipe.yaml").write_text(BENCHMARK.format(out=out))
    before = sorted(os.listdir(tmp_path))
    result = run_cli(*(part.format(out=out, recipe="recipe.yaml") for part in command))
    assert result.status in (1, 2) and result.failed(result.status, out[:40])
    assert sorted(os.listdir(tmp_path)) == before


def test_escape_sequences_in_the_header_of_a_voice_are_not_printed(run_cli) -> None:
    for result in (
        run_cli("inspect", case_folder("fuzz") / "escape.voice.safetensors"),
        run_cli("inspect", "\x1b]0;a\x07.wav"),
    ):
        assert "\x1b" not in result.out + result.err and "\x07" not in result.out + result.err


def test_a_seed_out_of_range_is_refused_in_one_line(run_cli, folder: Path, tmp_path: Path) -> None:
    for seed in (2**64, -(2**70)):
        command = ("speak", "base", "abc", "--base", folder / "base", "--seed", seed, "-o", tmp_path / "a.wav")
        assert run_cli(*command).failed(2, "seed must be from")
    assert listing(tmp_path) == {}


def test_dashes_and_names_of_a_real_script_are_handled(
    run_cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the commands of the script on a tiny base."""
    lines = (case_folder("cli_dash_and_names") / "case.sh").read_text().splitlines()
    assert len(lines) == 4 and "-5 degrees" in lines[0] and "out.WAV" in lines[1] and "seq 240" in lines[2]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.wav").symlink_to("target.wav")
    options = ("--base", folder / "base", *GRIFFIN_LIM)
    for name in ("out.WAV", "a" * 240 + ".wav", "link.wav"):
        assert run_cli("speak", "base", "had.", "-o", name, "--force", *options).status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" * 240 + ".wav", "link.wav", "out.WAV", "target.wav"]
    assert run_cli("speak", "base", "-5 degrees outside", "-o", "a.wav", *options).failed(2, "put `--`")
