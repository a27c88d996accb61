from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from faults import error_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tts_meta.corpus import Manifest, Utterance, unperturbed_name
from tts_meta.errors import TtsMetaError, UsageError

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


def make_utterance(folder: Path, name: str = "a", speaker: str = "anna", split: str | None = None) -> Utterance:
    audio = folder / f"{name}.ogg"
    audio.touch()
    return Utterance(name, speaker, audio, 1.5, f"Text of {name}.", split=split)


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def record(**changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "id": "a",
        "speaker": "anna",
        "audio": "a.ogg",
        "seconds": 1.5,
        "text": "Text.",
    }
    return {key: value for key, value in {**plain, **changes}.items() if value != "absent"}


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


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (record(colour="red"), "unknown key 'colour'"),
        (record(text="absent"), "no 'text'"),
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


def test_an_unknown_split_or_speaker_is_refused_with_the_names_there_are(
    tmp_path: Path,
) -> None:
    manifest = Manifest((make_utterance(tmp_path, split="train"),))
    with pytest.raises(UsageError, match="no split named 'trian'; the manifest has: train"):
        manifest.of_split("trian")
    with pytest.raises(UsageError, match="no speaker named 'bob'; the manifest has: anna"):
        manifest.of_speakers(["anna", "bob"])


def test_a_manifest_without_splits_is_all_of_any_split(tmp_path: Path) -> None:
    manifest = Manifest((make_utterance(tmp_path), make_utterance(tmp_path, "b")))
    assert manifest.of_split("train", "eval").utterances == manifest.utterances
    mixed = Manifest((make_utterance(tmp_path), make_utterance(tmp_path, "b", split="dev")))
    assert mixed.of_split().utterances == mixed.utterances, "no name selects everything"
    with pytest.raises(UsageError, match="no split named 'train'; the manifest has: dev"):
        mixed.of_split("train")


def test_a_failed_save_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    utterance = make_utterance(tmp_path)
    Manifest((utterance,)).save(path)
    before = path.read_bytes()
    with pytest.raises(TtsMetaError, match=r"utterance 2 .*text cannot be written as UTF-8"):
        Manifest((utterance, replace(utterance, id="b", text="\ud800"))).save(path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.ogg", "m.jsonl"]


def test_an_utterance_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        make_utterance(tmp_path).text = "Other."  # pyright: ignore[reportAttributeAccessIssue]


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


def test_a_manifest_saved_on_windows_loads(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{json.dumps(record())}\r\n{json.dumps(record(id='b'))}".encode())
    assert [utterance.id for utterance in Manifest.load(path)] == ["a", "b"]


def test_what_would_not_load_is_not_saved(tmp_path: Path) -> None:
    utterance = make_utterance(tmp_path)
    line = error_line(lambda: Manifest((utterance, utterance)).save(tmp_path / "m.jsonl"))
    assert line.startswith("utterance 2 ('a'): duplicate id, first seen in line 1")
    assert not (tmp_path / "m.jsonl").exists()


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
