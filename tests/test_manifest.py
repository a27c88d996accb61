from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifests import make_utterance, record, write_lines

from tts_meta.corpus import Manifest, Utterance, unperturbed_name
from tts_meta.errors import UsageError

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(
    lambda word: word.strip() and not any(part in ("", ".", "..") for part in re.split(r"[/\\]", word))
)
TEXTS = WORDS.map(lambda word: f"{word}\u2028\x85\n{word}")
MAYBE = st.none() | WORDS
UTTERANCES = st.lists(
    st.builds(
        Utterance,
        id=WORDS,
        speaker=WORDS,
        audio=st.text("ab_ ü", min_size=1, max_size=8).map(lambda name: Path("/corpus/voices") / f"{name}.ogg"),
        seconds=st.floats(1e-3, 1e5),
        text=TEXTS,
        phonemes=MAYBE,
        gender=MAYBE,
        language=MAYBE,
        split=MAYBE,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda utterance: utterance.id,
)


@given(UTTERANCES)
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_is_saved_loads_again_equal(tmp_path: Path, utterances: list[Utterance]) -> None:
    path = tmp_path / "manifest.jsonl"
    Manifest(tuple(utterances)).save(path)
    assert Manifest.load(path).utterances == tuple(utterances)


def test_each_line_is_a_json_object_with_only_the_fields_that_are_set(
    tmp_path: Path,
) -> None:
    Manifest((make_utterance(tmp_path),)).save(tmp_path / "out" / "m.jsonl")
    lines = (tmp_path / "out" / "m.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record(audio="../a.ogg", text="Text of a.")]


def test_a_corpus_moved_with_its_manifest_still_loads(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "audio").mkdir(parents=True)
    Manifest((make_utterance(old / "audio"),)).save(old / "m.jsonl")
    old.rename(new)
    manifest = Manifest.load(new / "m.jsonl")
    manifest.validate()
    assert [utterance.audio for utterance in manifest] == [new / "audio" / "a.ogg"]


def test_audio_paths_hold_where_the_manifest_lies_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    (tmp_path / "blob").touch()
    (tmp_path / "a.ogg").symlink_to(tmp_path / "blob")
    utterance = Utterance("a", "anna", tmp_path / "a.ogg", 1.5, "Text.")
    Manifest((utterance,)).save(tmp_path / "link" / "m.jsonl")
    manifest = Manifest.load(tmp_path / "link" / "m.jsonl")
    manifest.validate()
    assert manifest.utterances == (utterance,)


def test_a_corpus_reached_through_a_link_is_listed_without_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "audio").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    Manifest((make_utterance(tmp_path / "link" / "audio"),)).save(tmp_path / "link" / "m.jsonl")
    assert json.loads((tmp_path / "real" / "m.jsonl").read_text())["audio"] == "audio/a.ogg"


def test_audio_paths_are_absolute_even_where_the_manifest_path_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("m.jsonl"), record())
    assert Manifest.load("m.jsonl").utterances[0].audio == tmp_path / "a.ogg"


def test_selections_keep_the_order_and_know_their_speakers(tmp_path: Path) -> None:
    a = make_utterance(tmp_path, "a", "zoe", "train")
    b = make_utterance(tmp_path, "b", "anna", "eval")
    c = make_utterance(tmp_path, "c", "zoe")
    manifest = Manifest((a, b, c))
    assert manifest.speakers == ("anna", "zoe")
    assert manifest.seconds == 4.5
    assert manifest.of_speakers(["zoe"]).utterances == (a, c)
    assert manifest.of_speakers("zoe").utterances == (a, c)
    assert manifest.of_split("eval", "train").utterances == (a, b)
    assert list(manifest.of_split("eval")) == [b]


def test_a_manifest_without_splits_is_all_of_any_split(tmp_path: Path) -> None:
    manifest = Manifest((make_utterance(tmp_path), make_utterance(tmp_path, "b")))
    assert manifest.of_split("train", "eval").utterances == manifest.utterances
    mixed = Manifest((make_utterance(tmp_path), make_utterance(tmp_path, "b", split="dev")))
    assert mixed.of_split().utterances == mixed.utterances, "no name selects everything"
    with pytest.raises(UsageError, match="no split named 'train'; the manifest has: dev"):
        mixed.of_split("train")


def test_an_utterance_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        make_utterance(tmp_path).text = "Other."  # pyright: ignore[reportAttributeAccessIssue]


def test_a_manifest_saved_on_windows_loads(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{json.dumps(record())}\r\n{json.dumps(record(id='b'))}".encode())
    assert [utterance.id for utterance in Manifest.load(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("ls84@0.9", "ls84"),
        ("ls84@1.25", "ls84"),
        ("a/b@2", "a/b"),
        ("anna@home", "anna@home"),
        ("a@x.org@0.5", "a@x.org"),
        ("a@3", "a@3"),
        ("@0.9", "@0.9"),
        ("0.9", "0.9"),
    ],
)
def test_only_a_speed_after_the_mark_is_taken_off_a_name(name: str, recording: str) -> None:
    assert unperturbed_name(name) == recording
