"""Tests of the command line with bad texts, voices, bases and outputs: one clear line, and no file written."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
import torch
from commands import Result, clone_in, listing, write_base, write_recordings
from faults import full_disk

from tts_meta.adapt import Voice
from tts_meta.models.pretrained import load_base


def speak(run_cli, out: Path, base_folder: Path, voice: object = "base", *text: str) -> Result:
    return run_cli("speak", voice, *(text or ["abc."]), "-o", out, "--base", base_folder, "--vocoder", "griffin-lim")


@pytest.mark.parametrize("text", ["", " ", "...", "?! - ,", "«»"])
def test_text_without_a_word_is_refused(run_cli, tmp_path: Path, base_folder: Path, text: str) -> None:
    assert speak(run_cli, tmp_path / "a.wav", base_folder, "base", text).failed(
        1, "nothing to speak", "at least one word"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_text_file_is_refused(run_cli, tmp_path: Path, base_folder: Path) -> None:
    options = ("speak", "base", "-o", tmp_path / "a.wav", "--base", base_folder, "--file", tmp_path / "text.txt")
    assert run_cli(*options).failed(1, "cannot read", "text.txt")
    (tmp_path / "text.txt").write_bytes(b"caf\xe9")
    assert run_cli(*options).failed(1, "text.txt: not UTF-8 text")


def make_voice(base_folder: Path, path: Path) -> Voice:
    loaded = load_base(base_folder)
    voice = Voice({"speaker.mean": torch.ones(6)}, loaded.hash, ("speaker.mean",), 1)
    voice.save(path)
    return voice


def test_a_voice_for_another_base_is_refused(run_cli, tmp_path: Path, base_folder: Path) -> None:
    other = write_base(tmp_path / "other", seed=1)
    voice = tmp_path / "ann.voice.safetensors"
    make_voice(other, voice)
    result = speak(run_cli, tmp_path / "a.wav", base_folder, voice)
    assert result.failed(1, str(voice), load_base(other).hash[:12], load_base(base_folder).hash[:12])
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("damage", ["missing", "half", "bytes", "not a voice", "folder"])
def test_a_damaged_voice_is_refused(run_cli, tmp_path: Path, base_folder: Path, damage: str) -> None:
    voice = tmp_path / "ann.voice.safetensors"
    make_voice(base_folder, voice)
    intact = voice.read_bytes()
    voice.unlink()
    if damage == "half":
        voice.write_bytes(intact[: len(intact) // 2])
    elif damage == "bytes":
        voice.write_bytes(b"a voice" * 100)
    elif damage == "not a voice":
        voice.write_bytes((base_folder / "model.safetensors").read_bytes())
    elif damage == "folder":
        voice.mkdir()
    assert speak(run_cli, tmp_path / "a.wav", base_folder, voice).failed(1, str(voice))
    assert run_cli("inspect", voice).failed(1, str(voice))


def damage_base(folder: Path, damage: str) -> None:
    if damage == "another weight":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    elif damage == "another hash":
        text = (folder / "state.json").read_text()
        (folder / "state.json").write_text(re.sub('"sha256": "[0-9a-f]{64}"', f'"sha256": "{"0" * 64}"', text))
    elif damage == "missing file":
        (folder / "symbols.json").unlink()
    elif damage == "not JSON":
        (folder / "state.json").write_text("{")
    elif damage == "another format":
        (folder / "state.json").write_text('{"format": 99}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("another weight", "SHA-256"),
        ("another hash", "SHA-256"),
        ("missing file", "symbols.json is missing"),
        ("not JSON", "not JSON"),
        ("another format", "another format"),
    ],
)
def test_a_damaged_base_is_refused(run_cli, tmp_path: Path, damage: str, message: str) -> None:
    folder = write_base(tmp_path / "base")
    damage_base(folder, damage)
    assert speak(run_cli, tmp_path / "a.wav", folder).failed(1, str(folder), message)
    assert run_cli("inspect", folder).failed(1, str(folder), message)


def test_a_missing_base_is_refused(run_cli, tmp_path: Path) -> None:
    assert speak(run_cli, tmp_path / "a.wav", tmp_path / "none").failed(1, "not a base voice")


def test_an_existing_output_is_refused_before_any_work(run_cli, tmp_path: Path, base_folder: Path, monkeypatch) -> None:
    write_recordings(tmp_path, 1)
    (tmp_path / "new.voice.safetensors").write_text("mine")
    (tmp_path / "a.wav").write_text("mine")
    monkeypatch.setattr("tts_meta.models.pretrained.load_base", lambda folder: pytest.fail("work"))
    options = ("-o", tmp_path / "new.voice.safetensors", "--base", base_folder)
    assert run_cli("clone", tmp_path / "say0.wav", *options).failed(2, "exists already", "--force")
    assert speak(run_cli, tmp_path / "a.wav", base_folder).failed(2, "exists already", "--force")
    assert (tmp_path / "new.voice.safetensors").read_text() == (tmp_path / "a.wav").read_text() == "mine"


def test_force_overwrites_and_a_missing_folder_is_created(run_cli, tmp_path: Path, base_folder: Path) -> None:
    out = tmp_path / "new" / "deep" / "a.wav"
    assert speak(run_cli, out, base_folder).status == 0
    first = out.read_bytes()
    assert (
        run_cli(
            "speak", "base", "abc def", "-o", out, "--base", base_folder, "--vocoder", "griffin-lim", "--force"
        ).status
        == 0
    )
    assert len(out.read_bytes()) > len(first) and [path.name for path in out.parent.iterdir()] == ["a.wav"]


def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    run_cli, tmp_path: Path, base_folder: Path, monkeypatch
) -> None:
    monkeypatch.setattr("tts_meta.models.pretrained.load_base", lambda folder: pytest.fail("work"))
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    assert speak(run_cli, tmp_path / "file" / "a.wav", base_folder).failed(1, "is not a folder")
    assert speak(run_cli, tmp_path / "folder.wav", base_folder).failed(2, "a folder; name a file")
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    assert speak(run_cli, tmp_path / "a.wav", base_folder).failed(1, "no permission to write in")


def test_a_full_disk_does_not_change_the_old_voice(run_cli, tmp_path: Path, base_folder: Path) -> None:
    write_recordings(tmp_path, 1)
    (tmp_path / "new.voice.safetensors").write_text("mine")
    before = listing(tmp_path)
    with full_disk(20_000):
        result = clone_in(run_cli, tmp_path, base_folder, "--force")
    assert result.failed(1, "cannot write", "new.voice.safetensors", "File too large", "no file was changed")
    assert listing(tmp_path) == before


def test_a_full_disk_does_not_change_the_old_recording(run_cli, tmp_path: Path, base_folder: Path, monkeypatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert speak(run_cli, tmp_path / "a.wav", base_folder).failed(1, "cannot write", "a.wav", "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_for_the_log_is_reported_after_the_voice_is_written(
    run_cli, tmp_path: Path, base_folder: Path
) -> None:
    write_recordings(tmp_path, 1)
    with full_disk(100_000):
        result = clone_in(run_cli, tmp_path, base_folder, "--log", tmp_path / "log", "--vocoder", "griffin-lim")
    assert result.failed(1, "log")
    Voice.load(tmp_path / "new.voice.safetensors")


def test_a_voice_that_diverged_is_not_written(run_cli, tmp_path: Path, base_folder: Path) -> None:
    write_recordings(tmp_path, 1)
    result = clone_in(run_cli, tmp_path, base_folder, "--learning-rate", 1e9)
    assert result.failed(1, "lower the learning rate")
    assert not (tmp_path / "new.voice.safetensors").exists()
