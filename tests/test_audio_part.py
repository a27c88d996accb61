"""Tests of parts of long recordings: `start` and `end` of an utterance, from the manifest to the cached features."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from corpora import RATE, dropped, write_audio
from faults import error_line

from data_prep import CORPORA, Recording, prepare
from data_prep.speed_perturbation import copy_at_speed, perturbed_utterance
from tts_meta.audio import FeatureCache, MelSpec, load_speech, prepare_waveform
from tts_meta.audio.io import decode_audio
from tts_meta.audio.trimming import AudioConfig
from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.audio_part import fingerprint, part_of, sha256_audio, split_part
from tts_meta.errors import TtsMetaError
from tts_meta.files import sha256_file

CONFIG = AudioConfig()


def write_long(path: Path, seconds: float = 70.0) -> Path:
    """Write noise whose loudness rises in each second, so that no two parts are equal."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(times))
    soundfile.write(path, 0.05 * noise * (1 + times % 1) * np.sin(2 * np.pi * (100 + times) * times), RATE)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "ogg", "mp3"])
def test_a_part_has_the_samples_of_the_whole_recording(tmp_path: Path, suffix: str) -> None:
    path = write_long(tmp_path / f"long.{suffix}", 8.0)
    whole, rate = decode_audio(path)
    part, part_rate = decode_audio(part_of(path, 2.25, 3.5))
    assert (rate, part_rate) == (RATE, RATE)
    np.testing.assert_array_equal(part, whole[round(2.25 * RATE) : round(3.5 * RATE)])
    np.testing.assert_array_equal(decode_audio(part_of(path, 6.0, None))[0], whole[6 * RATE :])
    np.testing.assert_array_equal(decode_audio(part_of(path, None, 1.0))[0], whole[:RATE])


def test_a_part_of_a_recording_that_is_too_long_is_read(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.flac")
    assert "70 s long" in error_line(lambda: decode_audio(path))
    assert load_speech(f"{path}#t=61,63.5", CONFIG).seconds == 2.5
    line = error_line(lambda: decode_audio(part_of(path, 1.0, 65.0)))
    assert line.startswith(f"{path}#t=1,65: 64 s long, at most 60 s are allowed")


@pytest.mark.parametrize(
    ("start", "end", "fault"),
    [(8.0, None, "from 8 s to the end"), (7.0, 8.2, "from 7 s to 8.2 s"), (9.0, 10.0, "from 9 s to 10 s")],
)
def test_a_part_outside_the_recording_is_an_error(tmp_path: Path, start: float, end: float | None, fault: str) -> None:
    path = write_long(tmp_path / "long.wav", 8.0)
    line = error_line(lambda: decode_audio(part_of(path, start, end)))
    assert line == f"{part_of(path, start, end)}: 8.00 s long, but its part is {fault}; correct start and end"


def test_rounded_times_may_exceed_the_recording_a_little(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.wav", 8.0)
    assert len(decode_audio(part_of(path, 7.0, 8.05))[0]) == RATE


def test_the_name_of_a_file_has_priority_over_a_part(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 2.0)
    path = write_audio(tmp_path / "a.wav#t=0,1.wav", 0.5)
    odd = path.rename(tmp_path / "a.wav#t=0,1")
    assert split_part(odd) == (odd, 0.0, None)
    assert len(decode_audio(odd)[0]) == RATE // 2
    assert error_line(lambda: decode_audio(tmp_path / "b.wav#t=0,1")).startswith(f"{tmp_path}/b.wav: no such file")


@pytest.mark.parametrize(("start", "end"), [(0.5, 2.0), (None, 1e-6), (1234.567891, None), (0.0, 3.0)])
def test_start_and_end_survive_in_the_path_of_a_part(start: float | None, end: float | None) -> None:
    assert split_part(part_of("a b.wav", start, end)) == (Path("a b.wav"), start or 0.0, end)


def test_the_whole_recording_is_not_a_part() -> None:
    utterance = Utterance("x", "a", Path("/x.wav"), 1.0, "Text.")
    assert utterance.source == Path("/x.wav") == dataclasses.replace(utterance, start=0.0).source
    assert dataclasses.replace(utterance, start=1.5, end=2.0).source == Path("/x.wav#t=1.5,2")


@pytest.mark.parametrize(
    ("start", "end"),
    [(-1.0, 2.0), (2.0, 2.0), (3.0, 2.0), (float("nan"), 2.0), (0.0, float("nan")), (float("inf"), None), (1.0, 1e6)],
)
def test_wrong_parts_are_faults_of_an_utterance(start: float, end: float | None) -> None:
    fault = Utterance("x", "a", Path("/x.wav"), 1.0, "Text.", start=start, end=end).fault()
    assert fault is not None and fault.startswith("start and end must be seconds with 0 <= start < end <= 100000")


def test_a_manifest_keeps_accent_start_and_end(tmp_path: Path) -> None:
    utterances = (
        Utterance("x", "a", tmp_path / "x.wav", 1.5, "Text.", accent="Scottish", start=2, end=3.5),
        Utterance("y", "a", tmp_path / "x.wav", 1.0, "Text."),
    )
    Manifest(utterances).save(tmp_path / "m.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert (lines[0]["accent"], lines[0]["start"], lines[0]["end"]) == ("Scottish", 2, 3.5)
    assert lines[1].keys() == {"id", "speaker", "audio", "seconds", "text"}
    assert Manifest.load(tmp_path / "m.jsonl").utterances == utterances


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ('"start": 2, "end": 1', "start and end must be seconds"),
        ('"start": true', "'start' must be a number of seconds, not True"),
        ('"end": "2"', "'end' must be a number of seconds, not '2'"),
        ('"accent": ""', "empty accent"),
    ],
)
def test_wrong_fields_of_a_manifest_are_named(tmp_path: Path, field: str, fault: str) -> None:
    line = '{"id": "x", "speaker": "a", "audio": "x.wav", "seconds": 1, "text": "T.", %s}\n'
    (tmp_path / "m.jsonl").write_text(line % field)
    with pytest.raises(TtsMetaError, match=r"m\.jsonl, line 1.*" + fault):
        Manifest.load(tmp_path / "m.jsonl")


def test_features_of_parts_of_one_file_are_cached_separately(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.wav", 8.0)
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    first, second = part_of(path, 1.0, 2.0), part_of(path, 1.0, 2.5)
    assert len({cache.key(path), cache.key(first), cache.key(second)}) == 3
    waveform = prepare_waveform(load_speech(first, CONFIG).original, CONFIG)
    expected = MelSpec(CONFIG.mel)(torch.from_numpy(waveform)[None])[0].half().float()
    torch.testing.assert_close(cache.mel(first), expected, rtol=0, atol=0)
    assert len(cache.mel(second)) > len(cache.mel(first))
    assert torch.equal(cache.mel(first), expected)


def test_a_part_has_another_fingerprint_than_its_file(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.wav", 8.0)
    assert sha256_audio(path) == sha256_file(path) == sha256_audio(f"{path}#t=0")
    parts = [path, part_of(path, 0, 1), part_of(path, 1, None), part_of(path, 1, 2)]
    assert len({fingerprint(part) for part in parts}) == 4


def test_prepare_checks_the_part_of_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    path = write_long(corpus / "long.flac")

    def read(corpus_dir: Path) -> Iterator[Recording]:
        table = corpus_dir / "segments"
        for line, (start, end) in enumerate([(1.0, 3.0), (3.0, 4.5), (69.0, 75.0), (5.0, 4.0)], 1):
            yield Recording(
                f"s{line}", "anna", path, "Text.", accent="Irish", start=start, end=end, listed_in=table, line=line
            )

    monkeypatch.setitem(CORPORA, "mine", read)
    manifest = prepare("mine", corpus, out)
    assert [(u.id, u.seconds, u.start, u.end, u.accent) for u in manifest] == [
        ("s1", 2.0, 1.0, 3.0, "Irish"),
        ("s2", 1.5, 3.0, 4.5, "Irish"),
    ]
    assert dropped(out) == {
        "s3": "unusable audio: 70.00 s long, but its part is from 69 s to 75 s; correct start and end",
        "s4": "start and end must be seconds with 0 <= start < end <= 100000, not 5.0 and 4.0",
    }
    lines = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert [(line["file"], line["line"]) for line in lines] == [("../corpus/segments", 3), ("../corpus/segments", 4)]


def test_a_speed_perturbed_copy_holds_only_the_part(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.wav", 8.0)
    utterances = [Utterance(f"x{end}", "a", path, end - 1.0, "T.", start=1.0, end=end) for end in (2.0, 3.0)]
    files = [copy_at_speed(utterance.source, 0.5, tmp_path / "out") for utterance in utterances]
    copies = [perturbed_utterance(item, 0.5, *file) for item, file in zip(utterances, files, strict=True)]
    assert [(copy.seconds, copy.start, copy.end) for copy in copies] == [(2.0, None, None), (4.0, None, None)]
    assert copies[0].audio != copies[1].audio
