from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError, UsageError

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
MAYBE = st.none() | WORDS
UTTERANCES = st.lists(
    st.builds(
        Utterance,
        id=WORDS,
        speaker=WORDS,
        audio=st.text("ab_ ü", min_size=1, max_size=8).map(lambda name: Path("/corpus/voices") / f"{name}.ogg"),
        seconds=st.floats(1e-3, 1e5),
        text=WORDS,
        phonemes=MAYBE,
        gender=MAYBE,
        language=MAYBE,
        split=MAYBE,
    ),
    max_size=5,
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
    with pytest.raises(TtsMetaError, match="line 2: not a line of JSON"):
        Manifest.load(path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (record(), "duplicate id, first seen in line 1"),
        (record(id="b", text=" "), "empty text"),
        (record(id=" "), "empty id"),
        (record(id="b", speaker=""), "empty speaker"),
        (record(id="b", seconds=0), "seconds must be a positive number, not 0.0"),
        (record(id="b", seconds=-1), "seconds must be a positive number"),
        (
            record(id="b", seconds=float("nan")),
            "seconds must be a positive number, not nan",
        ),
        (record(id="b", audio="b.ogg"), "missing audio file .*b.ogg"),
        (record(id="b", audio="."), "missing audio file"),
        (record(id="b", text="\ud800"), "text cannot be written as UTF-8"),
    ],
)
def test_validation_names_the_line_and_its_fault(tmp_path: Path, line: object, fault: str) -> None:
    (tmp_path / "a.ogg").touch()
    manifest = Manifest.load(write_lines(tmp_path / "m.jsonl", record(), line))
    with pytest.raises(TtsMetaError, match=rf"m\.jsonl, line 2 .*{fault}") as error:
        manifest.validate()
    assert "\n" not in str(error.value)


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
    manifest = Manifest.load(write_lines(tmp_path / "m.jsonl"))
    assert len(manifest) == 0
    with pytest.raises(TtsMetaError, match="lists no utterance"):
        manifest.validate()


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
    with pytest.raises(UsageError, match="the manifest has: none"):
        Manifest(()).of_split("train")


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
