"""`tts-meta speak`: sources of text, output to stdout, options of synthesis, and timings."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import write_base
from helpers import RATE

from tts_meta.cli import main

GRIFFIN_LIM = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base."""
    return write_base(tmp_path_factory.mktemp("cli") / "base")


def read_samples(path: Path) -> np.ndarray:
    return soundfile.read(path)[0]


def test_speak_reads_text_from_arguments_a_file_or_stdin(
    run_cli, base_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "text.txt").write_text("abc de. fgh.\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc de. fgh.\n")))
    options = ("--base", base_folder, *GRIFFIN_LIM, "-o")
    for number, text in enumerate((["abc de.", "fgh."], ["--file", tmp_path / "text.txt"], ["-"])):
        assert run_cli("speak", "base", *text, *options, tmp_path / f"{number}.wav").status == 0
    assert len(read_samples(tmp_path / "0.wav")) > 1000
    assert (tmp_path / "0.wav").read_bytes() == (tmp_path / "1.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()


def test_output_dash_writes_wav_to_stdout(capfdbinary, base_folder: Path) -> None:
    arguments = ["speak", "base", "abc.", "--base", str(base_folder), "--vocoder", "griffin-lim", "-o", "-"]
    assert main(arguments) == 0
    captured = capfdbinary.readouterr()
    samples, rate = soundfile.read(io.BytesIO(captured.out))
    assert rate == RATE and len(samples) > 500 and captured.err == b""


def test_a_stream_has_the_same_samples_without_a_header(capfdbinary, base_folder: Path) -> None:
    arguments = ["speak", "base", "abc. de.", "--base", str(base_folder), "--vocoder", "griffin-lim"]
    assert main([*arguments, "-o", "-"]) == 0
    samples, _ = soundfile.read(io.BytesIO(capfdbinary.readouterr().out), dtype="int16")
    assert main([*arguments, "--stream"]) == 0
    captured = capfdbinary.readouterr()
    streamed = np.frombuffer(captured.out, "<i2")
    assert captured.err == b"" and len(streamed) == len(samples)
    assert np.abs(streamed.astype(int) - samples).max() <= 1


def test_a_stream_prints_a_notice_about_emoji(capfdbinary) -> None:
    assert main(["speak", "base", "Yes 🎉.", "--vocoder", "griffin-lim", "--stream"]) == 0
    captured = capfdbinary.readouterr()
    assert len(captured.out) > 500
    assert captured.err.decode() == "tts-meta: emoji are not spoken: 🎉\n"


def test_phonemes_speed_and_speaker_are_applied(run_cli, base_folder: Path, tmp_path: Path) -> None:
    lengths = {}
    for name, options in {
        "default": ("abc def gh",),
        "phonemes": ("abc def gh", "--phonemes"),
        "fast": ("abc def gh", "--speed", 2),
        "ben": ("abc def gh", "--speaker", "ben"),
    }.items():
        out = tmp_path / f"{name}.wav"
        assert run_cli("speak", "base", *options, "--base", base_folder, *GRIFFIN_LIM, "-o", out).status == 0
        lengths[name] = len(read_samples(out))
    assert lengths["fast"] < 0.6 * lengths["default"] and lengths["phonemes"] == lengths["default"]
    assert (tmp_path / "ben.wav").read_bytes() != (tmp_path / "default.wav").read_bytes()


def test_the_error_for_an_unknown_speaker_lists_the_known_ones(run_cli, base_folder: Path, tmp_path: Path) -> None:
    options = ("--base", base_folder, "--speaker", "bob", "-o", tmp_path / "a.wav")
    assert run_cli("speak", "base", "abc", *options).failed(2, "no speaker 'bob'", "ann, ben")


def test_the_profile_lists_every_stage_and_the_total(run_cli, base_folder: Path, tmp_path: Path) -> None:
    command = ("speak", "base", "abc.", "--base", base_folder, *GRIFFIN_LIM, "-o", tmp_path / "a.wav", "--profile")
    printed = run_cli(*command).err
    seconds = {line.rpartition("  ")[0].strip(): line.split()[-1] for line in printed.splitlines()[2:-2]}
    stages = ["start", "load base", "load voice", "load vocoder", "load phonemizer", "text", "acoustic model"]
    assert list(seconds) == [*stages, "vocoder", "write", "total"]
    assert "real-time factor" in printed

    data = run_cli(*command, "--json", "--force").json
    length = len(read_samples(tmp_path / "a.wav")) / RATE
    synthesis = sum(data["timings"][name] for name in ("text", "acoustic model", "vocoder"))
    assert data["seconds"] == pytest.approx(length, abs=1e-3)
    assert data["real_time_factor"]["synthesis"] == pytest.approx(synthesis / length, abs=2e-3)
