"""Tests of the command line with bad recordings and transcripts: one clear line, status 1, no file written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from commands import clone_in, write_recordings
from helpers import RATE, tiny_base, tone_sentence, tone_speech

from tts_meta.adapt import Voice
from tts_meta.audio.io import Waveform
from tts_meta.models.pretrained import save_base


def speech(seconds: float = 2.0) -> Waveform:
    samples = np.concatenate([tone_speech(tone_sentence(number), number)[0] for number in range(4)])
    return samples[: round(seconds * RATE)]


def write(path: Path, samples: np.ndarray | None = None, rate: int = RATE, subtype: str | None = None) -> None:
    soundfile.write(path, speech() if samples is None else samples, rate, subtype=subtype)


def cut_in_half(path: Path) -> None:
    write(path, np.tile(speech(), 3))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_hour_of_silence(path: Path) -> None:
    """Write an hour of WAV as a sparse file, which takes no space on the disk."""
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
    "a tenth of a second": ("wav", lambda path: write(path, speech(0.1)), "0.1 s of speech in total"),
    "shorter than a word": ("wav", lambda path: write(path, speech()[4000:4400]), "too short to hold a word"),
    "half a second": (
        "wav",
        lambda path: write(path, speech(0.5)),
        "s of speech in total, but cloning needs at least 1 s",
    ),
    "an hour": ("wav", write_hour_of_silence, "60 minutes are too long for an alignment"),
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
    "1 kHz": ("wav", lambda path: write(path, speech(), 1000), "too low for speech"),
}


@pytest.mark.parametrize("kind", BAD_AUDIO)
def test_unusable_audio_is_refused(run_cli, tmp_path: Path, base_folder: Path, kind: str) -> None:
    suffix, make, message = BAD_AUDIO[kind]
    bad = tmp_path / f"bad.{suffix}"
    make(bad)
    bad.with_suffix(".txt").write_text("abc")
    before = sorted(tmp_path.iterdir())
    result = run_cli("clone", bad, "-o", tmp_path / "new.voice.safetensors", "--base", base_folder, "--steps", 2)
    assert result.failed(1, message)
    assert "s of speech in total" in message or str(bad) in result.err
    assert sorted(tmp_path.iterdir()) == before


def test_one_bad_recording_among_good_ones_is_named(run_cli, tmp_path: Path, base_folder: Path) -> None:
    write_recordings(tmp_path, 3)
    write(tmp_path / "say1.wav", np.zeros(RATE))
    assert clone_in(run_cli, tmp_path, base_folder).failed(1, f"{tmp_path / 'say1.wav'}: silent")
    assert not (tmp_path / "new.voice.safetensors").exists()


def test_eight_channels_are_mixed_down(run_cli, tmp_path: Path, base_folder: Path) -> None:
    write(tmp_path / "a.wav", np.repeat(speech()[:, None], 8, axis=1))
    (tmp_path / "a.txt").write_text("abc")
    result = clone_in(run_cli, tmp_path, base_folder)
    assert result.status == 0 and result.err == ""
    Voice.load(tmp_path / "new.voice.safetensors")


def test_audio_of_eight_kilohertz_is_used_with_a_warning(run_cli, tmp_path: Path, base_folder: Path) -> None:
    syllables = 1.02 - np.cos(2 * np.pi * 3 * np.arange(16000) / 8000)
    write(tmp_path / "a.wav", syllables * np.random.default_rng(0).normal(0, 0.05, 16000), 8000)
    (tmp_path / "a.txt").write_text("abc")
    result = clone_in(run_cli, tmp_path, base_folder)
    assert result.status == 0 and result.err.startswith(
        f"tts-meta: warning: {tmp_path / 'a.wav'}: no audio above 4 kHz"
    )
    assert result.err.count("\n") == 1
    Voice.load(tmp_path / "new.voice.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
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
def test_an_unusable_transcript_is_refused(
    run_cli, tmp_path: Path, base_folder: Path, content: bytes | None, message: tuple[str, ...]
) -> None:
    write(tmp_path / "a.wav")
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    result = clone_in(run_cli, tmp_path, base_folder)
    assert result.failed(1, str(tmp_path / "a."), *message)
    assert not (tmp_path / "new.voice.safetensors").exists()


def test_a_missing_transcript_list_or_entry_is_refused(run_cli, tmp_path: Path, base_folder: Path) -> None:
    write(tmp_path / "a.wav")
    lines = tmp_path / "list"
    assert clone_in(run_cli, tmp_path, base_folder, "--transcripts", lines).failed(1, f"{lines}: cannot be read")
    lines.write_text("b.wav|abc\n")
    assert clone_in(run_cli, tmp_path, base_folder, "--transcripts", lines).failed(
        1, "not in", "add a line `a.wav|TEXT`"
    )


def test_a_transcript_that_does_not_match_the_recording_gives_a_warning(run_cli, tmp_path: Path) -> None:
    strict = tiny_base()
    strict.aligner.score_range.copy_(torch.tensor([-0.02, -0.01]))  # no sentence is aligned as well as that
    save_base(strict, tmp_path / "base")
    write_recordings(tmp_path, 1)
    result = clone_in(run_cli, tmp_path, tmp_path / "base", "--json")
    assert result.status == 0 and result.err.count("\n") == 1
    (line,) = result.json["warnings"]
    # The tones are slower than speech, which is the cause that is named.
    assert line.startswith(
        f"{tmp_path / 'say0.wav'}: more is spoken than the transcript contains (7 phonemes per second"
    )
    assert result.err == f"tts-meta: warning: {line}\n"
