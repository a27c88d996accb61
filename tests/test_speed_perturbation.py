from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora import write_audio, write_files
from faults import error_line, full_disk

from data_prep import prepare
from tts_meta.audio import read_audio
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_files(tmp_path / "anna", {"1.wav": "", "1.txt": "One."})
    return tmp_path / "anna"


def perturbed(corpus: Path, speed: float = 0.8) -> tuple[Path, float]:
    """Return the path of the copy of the only recording, and its seconds in the manifest."""
    manifest = prepare("folder", corpus, corpus.parent / "out", [speed])
    assert [utterance.id for utterance in manifest] == ["1", f"1@{speed:g}"]
    return manifest.utterances[1].audio, manifest.utterances[1].seconds


def pitch(path: Path) -> float:
    samples = read_audio(path, 16000)
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples))


def test_a_replaced_recording_is_made_again_whatever_its_time(corpus: Path) -> None:
    first, _ = perturbed(corpus)
    assert pitch(first) == pytest.approx(160, abs=2)
    write_audio(corpus / "1.wav", hertz=500)
    os.utime(corpus / "1.wav", (1, 1))
    second, seconds = perturbed(corpus)
    assert pitch(second) == pytest.approx(400, abs=2)
    assert (second != first, seconds) == (True, 0.625)


def test_a_full_disk_leaves_no_recording_and_the_next_run_makes_it(corpus: Path) -> None:
    write_audio(corpus / "1.wav", seconds=3)
    with full_disk(4096):
        line = error_line(lambda: perturbed(corpus))
    assert line.startswith("cannot write ") and "File too large" in line
    left = [path.name for path in (corpus.parent / "out").rglob("*") if path.is_file()]
    assert left == [".manifest.journal"], "only what the next run continues from"
    path, seconds = perturbed(corpus)
    assert seconds == 3.75 == soundfile.info(path).duration


@pytest.mark.parametrize("content", [b"", b"fLaC", None])
def test_a_damaged_recording_under_its_name_is_made_again(corpus: Path, content: bytes | None) -> None:
    path, seconds = perturbed(corpus)
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2] if content is None else content)
    assert perturbed(corpus) == (path, seconds)
    assert path.read_bytes() == intact


def test_two_runs_at_once_give_the_same_manifest(corpus: Path) -> None:
    for number in range(2, 8):
        write_files(corpus, {f"{number}.wav": "", f"{number}.txt": f"Text {number}."})
    out = corpus.parent / "out"
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: prepare("folder", corpus, out, [0.9, 1.1]).utterances, range(3)))
    assert runs[0] == runs[1] == runs[2] == Manifest.load(out / "manifest.jsonl").utterances
    assert sorted(path.suffix for path in out.rglob("*") if path.is_file()) == [".flac", ".flac", ".jsonl", ".jsonl"]
    assert all(soundfile.info(utterance.audio).frames == 8000 for utterance in runs[0])


def test_loud_and_many_channelled_recordings_are_made_as_they_sound(corpus: Path) -> None:
    tone = 3 * np.sin(2 * np.pi * 200 * np.arange(8000) / 16000)
    soundfile.write(corpus / "1.wav", np.repeat(tone[:, None], 9, axis=1), 16000, subtype="FLOAT")
    path, _ = perturbed(corpus)
    samples, rate = soundfile.read(path)
    assert (samples.shape, rate) == ((8000,), 12800)
    np.testing.assert_allclose(samples, tone / 3, atol=1e-3)


def test_a_rate_that_flac_has_not_is_named(corpus: Path) -> None:
    soundfile.write(corpus / "1.wav", 0.3 * np.sin(np.arange(400000) / 9), 400000)
    assert "1.wav: cannot be written as FLAC at 800000 Hz" in error_line(lambda: perturbed(corpus, 2.0))


def test_a_name_as_long_as_a_file_name_may_be_is_perturbed(corpus: Path) -> None:
    write_files(corpus, {f"{'n' * 240}.wav": "", f"{'n' * 240}.txt": "Long."})
    assert len(prepare("folder", corpus, corpus.parent / "out", [0.9])) == 4


def test_speeds_that_have_one_name_are_one_speed(corpus: Path) -> None:
    manifest = prepare("folder", corpus, corpus.parent / "out", [0.9, 0.90000001, 0.9])
    assert [utterance.id for utterance in manifest] == ["1", "1@0.9"]
    line = error_line(lambda: prepare("folder", corpus, corpus.parent / "out", [1.0000001]))
    assert line.startswith("invalid speed 1; use speeds from 0.5 to 2.0, except 1")


def test_copies_at_other_speeds_are_other_speakers(tmp_path: Path) -> None:
    corpus, out = tmp_path / "voices", tmp_path / "out"
    (corpus / "anna").mkdir(parents=True)
    tone = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000).astype(np.float32)
    soundfile.write(corpus / "anna/1.wav", tone, 16000)
    (corpus / "anna/1.txt").write_text("Hello.")
    manifest = prepare("folder", corpus, out, [0.8, 1.25])
    original, slow, fast = manifest.utterances
    assert [(u.id, u.speaker, u.split) for u in manifest] == [
        ("anna/1", "anna", None),
        ("anna/1@0.8", "anna@0.8", None),
        ("anna/1@1.25", "anna@1.25", None),
    ]
    assert (slow.seconds, fast.seconds, slow.text) == (1.25, 0.8, original.text)
    for copy, hertz in ((slow, 160), (fast, 250)):
        samples = read_audio(copy.audio, 16000)
        assert len(samples) == round(16000 * copy.seconds)
        assert np.abs(np.fft.rfft(samples)).argmax() / copy.seconds == pytest.approx(hertz, abs=2)
    written = slow.audio.stat().st_mtime_ns
    assert prepare("folder", corpus, out, [0.8]).utterances == (original, slow)
    assert slow.audio.stat().st_mtime_ns == written, "an intact copy is not written again"
    soundfile.write(corpus / "anna/1.wav", tone[:8000], 16000)
    assert len(read_audio(prepare("folder", corpus, out, [0.8]).utterances[1].audio, 16000)) == 10000


@pytest.mark.parametrize("speed", [1.0, 0.1, 3.0, float("nan")])
def test_an_invalid_speed_is_refused(tmp_path: Path, speed: float) -> None:
    write_audio(tmp_path / "voices" / "1.wav")
    (tmp_path / "voices" / "1.txt").write_text("Hello.")
    with pytest.raises(UsageError, match="invalid speed"):
        prepare("folder", tmp_path / "voices", tmp_path / "out", [speed])
