"""Each kind of bad input, through the command line: one clear line, a status that is not zero, nothing written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import Result, listing, run, write_base, write_recordings
from faults import full_disk
from helpers import RATE, tiny_base, tone_sentence, tone_speech

from tts_meta.adapt import Voice
from tts_meta.audio.io import Waveform
from tts_meta.models.pretrained import load_base, save_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]):
    return lambda *arguments: run(capsys, *arguments)


def speech(seconds: float = 2.0) -> Waveform:
    samples = np.concatenate([tone_speech(tone_sentence(number), number)[0] for number in range(4)])
    return samples[: round(seconds * RATE)]


def write(path: Path, samples: np.ndarray | None = None, rate: int = RATE, subtype: str | None = None) -> None:
    soundfile.write(path, speech() if samples is None else samples, rate, subtype=subtype)


def cut_in_half(path: Path) -> None:
    write(path, np.tile(speech(), 3))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hour_of_nothing(path: Path) -> None:
    """An hour of WAV that takes no room on the disk."""
    write(path, np.zeros(1, np.int16))
    header = bytearray(path.read_bytes()[:44])
    size = 3600 * RATE * 2
    header[4:8], header[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    path.write_bytes(header)
    with open(path, "r+b") as handle:
        handle.truncate(44 + size)


BAD_AUDIO: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("wav", lambda path: None, "no such file"),
    "folder": ("wav", lambda path: path.mkdir(), "a folder, not a file"),
    "empty": ("wav", lambda path: path.touch(), "empty"),
    "no samples": ("wav", lambda path: write(path, speech()[:0]), "holds no samples"),
    "silent": ("wav", lambda path: write(path, np.zeros(2 * RATE)), "silent throughout"),
    "nearly silent": ("flac", lambda path: write(path, 1e-4 * speech()), "silent throughout"),
    "clipped": ("wav", lambda path: write(path, np.clip(30 * speech(), -1, 1)), "clipped"),
    "clipped, then made quieter": ("wav", lambda path: write(path, np.clip(10 * speech(), -0.5, 0.5)), "clipped"),
    "a tenth of a second": ("wav", lambda path: write(path, speech(0.1)), "0.1 s of speech in all"),
    "shorter than a word": ("wav", lambda path: write(path, speech()[4000:4400]), "too short to hold a word"),
    "half a second": ("wav", lambda path: write(path, speech(0.5)), "s of speech in all, cloning needs at least 1 s"),
    "an hour": ("wav", hour_of_nothing, "3600 s long, at most 60 s are allowed"),
    "truncated WAV": ("wav", cut_in_half, "truncated"),
    "truncated AIFF": ("aiff", cut_in_half, "truncated"),
    "truncated FLAC": ("flac", cut_in_half, "truncated"),
    "truncated OGG": ("ogg", cut_in_half, "truncated"),
    "text": ("wav", lambda path: path.write_text("no audio\n" * 1000), "not readable as audio"),
    "noise bytes": (
        "mp3",
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(9000)),
        "not readable as audio",
    ),
    "NaN": ("wav", lambda path: write(path, np.append(speech(), np.nan), subtype="FLOAT"), "not numbers"),
    "infinite": ("wav", lambda path: write(path, np.append(speech(), np.inf), subtype="FLOAT"), "not numbers"),
    "1 kHz": ("wav", lambda path: write(path, speech(), 1000), "too few for speech"),
}


def clone(run_cli, folder: Path, base: Path, *options: object) -> Result:
    """Clone from all recordings of a folder, two steps."""
    audio = sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    return run_cli("clone", *audio, "-o", folder / "new.voice.safetensors", "--base", base, "--steps", 2, *options)


@pytest.mark.parametrize("kind", BAD_AUDIO)
def test_audio_that_cannot_be_cloned_from(run_cli, tmp_path: Path, base: Path, kind: str) -> None:
    suffix, make, said = BAD_AUDIO[kind]
    bad = tmp_path / f"bad.{suffix}"
    make(bad)
    bad.with_suffix(".txt").write_text("abc")
    before = sorted(tmp_path.iterdir())
    result = run_cli("clone", bad, "-o", tmp_path / "new.voice.safetensors", "--base", base, "--steps", 2)
    assert result.failed(1, said)
    assert "s of speech in all" in said or str(bad) in result.err
    assert sorted(tmp_path.iterdir()) == before


def test_one_bad_recording_among_good_ones_is_named(run_cli, tmp_path: Path, base: Path) -> None:
    write_recordings(tmp_path, 3)
    write(tmp_path / "say1.wav", np.zeros(RATE))
    assert clone(run_cli, tmp_path, base).failed(1, f"{tmp_path / 'say1.wav'}: silent")
    assert not (tmp_path / "new.voice.safetensors").exists()


def test_eight_channels_are_mixed_down(run_cli, tmp_path: Path, base: Path) -> None:
    write(tmp_path / "a.wav", np.repeat(speech()[:, None], 8, axis=1))
    (tmp_path / "a.txt").write_text("abc")
    result = clone(run_cli, tmp_path, base)
    assert result.status == 0 and result.err == ""
    Voice.load(tmp_path / "new.voice.safetensors")


def test_eight_kilohertz_work_and_the_missing_highs_are_told(run_cli, tmp_path: Path, base: Path) -> None:
    syllables = 1.02 - np.cos(2 * np.pi * 3 * np.arange(16000) / 8000)
    write(tmp_path / "a.wav", syllables * np.random.default_rng(0).normal(0, 0.05, 16000), 8000)
    (tmp_path / "a.txt").write_text("abc")
    result = clone(run_cli, tmp_path, base)
    assert result.status == 0 and result.err.startswith(
        f"tts-meta: warning: {tmp_path / 'a.wav'}: no audio above 4 kHz"
    )
    assert result.err.count("\n") == 1
    Voice.load(tmp_path / "new.voice.safetensors")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ("no transcript", "--transcripts", "--asr")),
        (b"", ("its transcript is empty",)),
        (b" \n\t\n", ("its transcript is empty",)),
        (b"...?! -", ("its transcript cannot be spoken", "nothing to speak", "at least one word")),
        (b"abc x", ("its transcript cannot be spoken", "unknown symbol 'x'")),
        ("für".encode("latin-1"), ("not UTF-8 text",)),
        (b"abc" * 400, ("too short for its transcript",)),
    ],
)
def test_a_transcript_that_is_none(
    run_cli, tmp_path: Path, base: Path, content: bytes | None, said: tuple[str, ...]
) -> None:
    write(tmp_path / "a.wav")
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    result = clone(run_cli, tmp_path, base)
    assert result.failed(1, str(tmp_path / "a."), *said)
    assert not (tmp_path / "new.voice.safetensors").exists()


def test_a_list_of_transcripts_without_the_recording_or_not_there(run_cli, tmp_path: Path, base: Path) -> None:
    write(tmp_path / "a.wav")
    lines = tmp_path / "list"
    assert clone(run_cli, tmp_path, base, "--transcripts", lines).failed(1, f"{lines}: cannot be read")
    lines.write_text("b.wav|abc\n")
    assert clone(run_cli, tmp_path, base, "--transcripts", lines).failed(1, "not in", "add a line `a.wav|TEXT`")


def test_a_transcript_plainly_not_what_is_said_is_warned_of_and_named(run_cli, tmp_path: Path) -> None:
    strict = tiny_base()
    strict.aligner.score_range.copy_(torch.tensor([-0.02, -0.01]))  # no sentence is aligned as well as that
    save_base(strict, tmp_path / "base")
    write_recordings(tmp_path, 1)
    result = clone(run_cli, tmp_path, tmp_path / "base", "--json")
    assert result.status == 0 and result.err.count("\n") == 1
    (line,) = result.json["warnings"]
    # The tones are slower than speech, which is the cause that is named.
    assert line.startswith(
        f"{tmp_path / 'say0.wav'}: more is spoken than the transcript contains (7 phonemes per second"
    )
    assert result.err == f"tts-meta: warning: {line}\n"


def speak(run_cli, out: Path, base: Path, voice: object = "base", *text: str) -> Result:
    return run_cli("speak", voice, *(text or ["abc."]), "-o", out, "--base", base, "--vocoder", "griffin-lim")


@pytest.mark.parametrize("text", ["", " ", "...", "?! - ,", "«»"])
def test_text_without_a_word(run_cli, tmp_path: Path, base: Path, text: str) -> None:
    assert speak(run_cli, tmp_path / "a.wav", base, "base", text).failed(1, "nothing to speak", "at least one word")
    assert list(tmp_path.iterdir()) == []


def test_text_that_cannot_be_read(run_cli, tmp_path: Path, base: Path) -> None:
    options = ("speak", "base", "-o", tmp_path / "a.wav", "--base", base, "--file", tmp_path / "text.txt")
    assert run_cli(*options).failed(1, "cannot read", "text.txt")
    (tmp_path / "text.txt").write_bytes(b"caf\xe9")
    assert run_cli(*options).failed(1, "text.txt: not UTF-8 text")


def make_voice(base: Path, path: Path) -> Voice:
    loaded = load_base(base)
    voice = Voice({"speaker.mean": torch.ones(6)}, loaded.hash, ("speaker.mean",), 1)
    voice.save(path)
    return voice


def test_a_voice_for_another_base(run_cli, tmp_path: Path, base: Path) -> None:
    other = write_base(tmp_path / "other", seed=1)
    voice = tmp_path / "ann.voice.safetensors"
    make_voice(other, voice)
    result = speak(run_cli, tmp_path / "a.wav", base, voice)
    assert result.failed(1, str(voice), load_base(other).hash[:12], load_base(base).hash[:12])
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("damage", ["missing", "half", "bytes", "not a voice", "folder"])
def test_a_voice_that_is_none(run_cli, tmp_path: Path, base: Path, damage: str) -> None:
    voice = tmp_path / "ann.voice.safetensors"
    make_voice(base, voice)
    whole = voice.read_bytes()
    voice.unlink()
    if damage == "half":
        voice.write_bytes(whole[: len(whole) // 2])
    elif damage == "bytes":
        voice.write_bytes(b"a voice" * 100)
    elif damage == "not a voice":
        voice.write_bytes((base / "model.safetensors").read_bytes())
    elif damage == "folder":
        voice.mkdir()
    assert speak(run_cli, tmp_path / "a.wav", base, voice).failed(1, str(voice))
    assert run_cli("inspect", voice).failed(1, str(voice))


def damage_base(folder: Path, how: str) -> None:
    if how == "another weight":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    elif how == "another hash":
        text = (folder / "state.json").read_text()
        (folder / "state.json").write_text(re.sub('"sha256": "[0-9a-f]{64}"', f'"sha256": "{"0" * 64}"', text))
    elif how == "missing file":
        (folder / "symbols.json").unlink()
    elif how == "not JSON":
        (folder / "state.json").write_text("{")
    elif how == "another format":
        (folder / "state.json").write_text('{"format": 99}')


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("another weight", "SHA-256"),
        ("another hash", "SHA-256"),
        ("missing file", "symbols.json is missing"),
        ("not JSON", "not JSON"),
        ("another format", "another format"),
    ],
)
def test_a_checkpoint_that_is_not_what_it_says(run_cli, tmp_path: Path, how: str, said: str) -> None:
    folder = write_base(tmp_path / "base")
    damage_base(folder, how)
    assert speak(run_cli, tmp_path / "a.wav", folder).failed(1, str(folder), said)
    assert run_cli("inspect", folder).failed(1, str(folder), said)


def test_a_base_that_is_not_there(run_cli, tmp_path: Path) -> None:
    assert speak(run_cli, tmp_path / "a.wav", tmp_path / "none").failed(1, "not a base voice")


def test_an_existing_output_is_refused_before_any_work(run_cli, tmp_path: Path, base: Path, monkeypatch) -> None:
    write_recordings(tmp_path, 1)
    (tmp_path / "new.voice.safetensors").write_text("mine")
    (tmp_path / "a.wav").write_text("mine")
    monkeypatch.setattr("tts_meta.models.pretrained.load_base", lambda folder: pytest.fail("work"))
    options = ("-o", tmp_path / "new.voice.safetensors", "--base", base)
    assert run_cli("clone", tmp_path / "say0.wav", *options).failed(2, "exists already", "--force")
    assert speak(run_cli, tmp_path / "a.wav", base).failed(2, "exists already", "--force")
    assert (tmp_path / "new.voice.safetensors").read_text() == (tmp_path / "a.wav").read_text() == "mine"


def test_force_overwrites_and_a_missing_folder_is_made(run_cli, tmp_path: Path, base: Path) -> None:
    out = tmp_path / "new" / "deep" / "a.wav"
    assert speak(run_cli, out, base).status == 0
    first = out.read_bytes()
    assert (
        run_cli("speak", "base", "abc def", "-o", out, "--base", base, "--vocoder", "griffin-lim", "--force").status
        == 0
    )
    assert len(out.read_bytes()) > len(first) and [path.name for path in out.parent.iterdir()] == ["a.wav"]


def test_an_output_that_cannot_be_is_refused_before_any_work(run_cli, tmp_path: Path, base: Path, monkeypatch) -> None:
    monkeypatch.setattr("tts_meta.models.pretrained.load_base", lambda folder: pytest.fail("work"))
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    assert speak(run_cli, tmp_path / "file" / "a.wav", base).failed(1, "is not a folder")
    assert speak(run_cli, tmp_path / "folder.wav", base).failed(2, "a folder; name a file")
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    assert speak(run_cli, tmp_path / "a.wav", base).failed(1, "no permission to write in")


def test_a_full_disk_leaves_the_old_voice_as_it_was(run_cli, tmp_path: Path, base: Path) -> None:
    write_recordings(tmp_path, 1)
    (tmp_path / "new.voice.safetensors").write_text("mine")
    before = listing(tmp_path)
    with full_disk(20_000):
        result = clone(run_cli, tmp_path, base, "--force")
    assert result.failed(1, "cannot write", "new.voice.safetensors", "File too large", "nothing was changed")
    assert listing(tmp_path) == before


def test_a_full_disk_leaves_the_old_recording_as_it_was(run_cli, tmp_path: Path, base: Path, monkeypatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert speak(run_cli, tmp_path / "a.wav", base).failed(1, "cannot write", "a.wav", "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_where_the_log_goes(run_cli, tmp_path: Path, base: Path) -> None:
    write_recordings(tmp_path, 1)
    with full_disk(100_000):
        result = clone(run_cli, tmp_path, base, "--log", tmp_path / "log", "--vocoder", "griffin-lim")
    assert result.failed(1, "log")
    Voice.load(tmp_path / "new.voice.safetensors")


def test_a_voice_that_diverged_is_not_written(run_cli, tmp_path: Path, base: Path) -> None:
    write_recordings(tmp_path, 1)
    result = clone(run_cli, tmp_path, base, "--learning-rate", 1e9)
    assert result.failed(1, "lower the learning rate")
    assert not (tmp_path / "new.voice.safetensors").exists()
