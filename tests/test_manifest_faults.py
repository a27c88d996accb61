"""Tests of the errors for faulty manifests."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from faults import error_line
from manifests import make_utterance, record, write_lines

from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, UsageError


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (record(colour="red"), "unknown key 'colour'"),
        (record(text="absent"), "the key 'text' is missing"),
        (record(seconds="1.5"), "'seconds' must be a number"),
        (record(seconds=True), "'seconds' must be a number"),
        (record(seconds=10**400), "'seconds' must be a number"),
        (record(speaker=None), "'speaker' must be a string"),
        (record(split=3), "'split' must be a string"),
        (record(audio=""), "'audio' must be a path"),
        (record(audio="a\0b"), "'audio' must be a path"),
        (["a"], "not a JSON object"),
        (record(text=7), "'text' must be a string, not 7"),
        (record(id=["a\nb"]), "'id' must be a string"),
    ],
)
def test_loading_names_the_line_and_its_fault(tmp_path: Path, line: object, fault: str) -> None:
    path = write_lines(tmp_path / "m.jsonl", record(), line)
    with pytest.raises(TtsMetaError, match=rf"m\.jsonl, line 2: {fault}"):
        Manifest.load(path)


@pytest.mark.parametrize("line", ["", "{", "id=a", "[" * 100_000])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f"{json.dumps(record())}\n{line}\n{json.dumps(record(id='b'))}\n")
    with pytest.raises(TtsMetaError, match="line 2: invalid JSON"):
        Manifest.load(path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (record(), "duplicate id, first seen in line 1"),
        (record(id="b", text=" "), "empty text"),
        (record(id="b", text=""), "empty text"),
        (record(id="b", text="\u2028"), "empty text"),
        (record(id="b", text="a\x1b[31m"), r"text contains the control character U\+001B"),
        (record(id="b", text="a" * 100_001), "text has 100001 characters; the limit is 100000"),
        (record(id="b", phonemes="a\0"), r"phonemes contains the control character U\+0000"),
        (record(id=" "), "empty id"),
        (record(id="b\n"), r"id contains the control character U\+000A"),
        (record(id="b" * 1001), "id has 1001 characters; the limit is 1000"),
        (record(id="../b"), "id must not begin or end with a slash, nor contain '..'"),
        (record(id="/b"), "id must not begin or end with a slash"),
        (record(id="a/..\\b"), "id must not begin or end with a slash"),
        (record(id="b", speaker=""), "empty speaker"),
        (record(id="b", speaker="\u3000"), "empty speaker"),
        (record(id="b", speaker=".."), "speaker must not begin or end with a slash, nor contain '..'"),
        (record(id="b", split=""), "empty split"),
        (record(id="b", gender="\x07"), r"gender contains the control character U\+0007"),
        (record(id="b", seconds=0), "seconds must be a positive number, not 0.0"),
        (record(id="b", seconds=-1), "seconds must be a positive number"),
        (record(id="b", seconds=float("nan")), "seconds must be a positive number, not nan"),
        (record(id="b", seconds=1e8), "seconds must be at most 100000"),
        (record(id="b", audio="b\r.ogg"), r"audio contains the control character U\+000D"),
        (record(id="b", audio="b" * 5000), r"audio is a path of \d+ bytes; the limit is 4096"),
        (record(id="b", audio="\ud800"), "audio cannot be written as UTF-8"),
        (record(id="b", text="\ud800"), "text cannot be written as UTF-8"),
    ],
)
def test_a_manifest_that_is_loaded_is_in_order(tmp_path: Path, line: object, fault: str) -> None:
    path = write_lines(tmp_path / "m.jsonl", record(), line)
    assert re.search(rf"m\.jsonl, line 2 \('.*'\): {fault}", error_line(lambda: Manifest.load(path)))


@pytest.mark.parametrize("audio", ["b.ogg", "."])
def test_validation_names_the_line_of_a_missing_recording(tmp_path: Path, audio: str) -> None:
    (tmp_path / "a.ogg").touch()
    manifest = Manifest.load(write_lines(tmp_path / "m.jsonl", record(), record(id="b", audio=audio)))
    assert re.search(r"m\.jsonl, line 2 \('b'\): missing audio file", error_line(manifest.validate))


def test_validation_of_a_manifest_that_is_in_order_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").touch()
    Manifest.load(write_lines(tmp_path / "m.jsonl", record(), record(id="b"))).validate()


def test_validation_of_a_selection_counts_utterances_instead_of_lines(
    tmp_path: Path,
) -> None:
    gone = replace(make_utterance(tmp_path), audio=tmp_path / "gone.ogg")
    with pytest.raises(TtsMetaError, match=r"^utterance 1 \('a'\): missing audio"):
        Manifest((gone,)).validate()


def test_an_empty_manifest_is_a_fault(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl")
    assert "m.jsonl lists no utterance" in error_line(lambda: Manifest.load(path))
    with pytest.raises(TtsMetaError, match="the manifest lists no utterance"):
        Manifest(()).validate()


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    for name, reason in [
        ("none.jsonl", "No such file"),
        ("binary.jsonl", "not UTF-8"),
        (".", "Is a directory"),
    ]:
        with pytest.raises(TtsMetaError, match=reason):
            Manifest.load(tmp_path / name)


def test_an_unknown_split_or_speaker_is_refused_with_the_names_there_are(
    tmp_path: Path,
) -> None:
    manifest = Manifest((make_utterance(tmp_path, split="train"),))
    with pytest.raises(UsageError, match="no split named 'trian'; the manifest has: train"):
        manifest.of_split("trian")
    with pytest.raises(UsageError, match="no speaker named 'bob'; the manifest has: anna"):
        manifest.of_speakers(["anna", "bob"])


def test_a_failed_save_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    utterance = make_utterance(tmp_path)
    Manifest((utterance,)).save(path)
    before = path.read_bytes()
    with pytest.raises(TtsMetaError, match=r"utterance 2 .*text cannot be written as UTF-8"):
        Manifest((utterance, replace(utterance, id="b", text="\ud800"))).save(path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.ogg", "m.jsonl"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"id": "b", "id": "c"}', "the key 'id' is repeated"),
        (b'{"id": "b\xff"}', "not UTF-8 text; a manifest is a JSONL file"),
        (b'{"id": "' + b"b" * 2**20 + b'"}', "longer than 1048576 bytes"),
        (b'{"id": 1' + b"0" * 5000 + b"}", "invalid JSON"),
    ],
    ids=["twice", "bytes", "long", "digits"],
)
def test_a_hostile_line_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    path = write_lines(tmp_path / "m.jsonl", record())
    path.write_bytes(path.read_bytes() + line + b"\n")
    assert f"m.jsonl, line 2: {fault}" in error_line(lambda: Manifest.load(path))


def test_what_would_not_load_is_not_saved(tmp_path: Path) -> None:
    utterance = make_utterance(tmp_path)
    line = error_line(lambda: Manifest((utterance, utterance)).save(tmp_path / "m.jsonl"))
    assert line.startswith("utterance 2 ('a'): duplicate id, first seen in line 1")
    assert not (tmp_path / "m.jsonl").exists()
