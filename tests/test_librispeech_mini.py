"""Tests of the reader of the LibriSpeech and LJSpeech subset, with its table manifest.tsv."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from corpora import dropped, write_audio
from hypothesis import given
from hypothesis import strategies as st

from data_prep import CORPORA, prepare
from data_prep.librispeech import sentence_case
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError

COLUMNS = [
    "split",
    "speaker",
    "gender",
    "source",
    "utterance",
    "file",
    "seconds",
    "sample_rate",
    "text",
    "text_punctuated",
]
REAL_CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


def write_table(corpus: Path, *rows: dict[str, str]) -> None:
    corpus.mkdir(exist_ok=True)
    with open(corpus / "manifest.tsv", "w", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writeheader()
        writer.writerows(rows)


def row(name: str, text: str, punctuated: str = "", source: str = "LibriSpeech test-clean") -> dict[str, str]:
    values = [
        "train",
        "ls1",
        "F",
        source,
        name,
        f"ls1/{name}.ogg",
        "9.99",
        "16000",
        text,
        punctuated,
    ]
    return dict(zip(COLUMNS, values, strict=True))


def test_the_table_becomes_a_manifest_that_loads_and_validates(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    write_table(
        corpus,
        row("a", "I'M SURE I SAID SO", ""),
        row("b", "SHE SAID NO", 'She said "no".'),
        row("c", "LUKE TWO I SAID", "LUKE two, I said."),
        row("d", "in 1846 the MSS.", "in 1846 the MSS.", "LJSpeech 1.1"),
    )
    for name in "abcd":
        write_audio(corpus / "ls1" / f"{name}.ogg", 0.75)
    manifest = prepare("librispeech-mini", corpus, out)
    assert manifest == Manifest.load(out / "manifest.jsonl")
    manifest.validate()
    texts = {u.id: u.text for u in manifest}
    assert texts == {
        "a": "I'm sure I said so",
        "b": 'She said "no".',
        "c": "Luke two, I said.",
        "d": "in 1846 the MSS.",
    }
    first = manifest.utterances[0]
    assert (first.speaker, first.gender, first.language, first.split) == (
        "ls1",
        "F",
        "en",
        "train",
    )
    assert first.audio == corpus / "ls1" / "a.ogg"
    assert first.seconds == 0.75
    assert json.loads((out / "manifest.jsonl").read_text().splitlines()[0])["audio"] == "../corpus/ls1/a.ogg"
    assert dropped(out) == {}


def test_what_cannot_be_used_is_dropped_with_its_reason(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    names = ["good", "gone", "noise", "empty", "silent", "cut", "good"]
    write_table(corpus, *(row(name, " " if name == "silent" else "SOME TEXT") for name in names))
    for name in ("good", "silent", "cut"):
        write_audio(corpus / "ls1" / f"{name}.ogg")
    write_audio(corpus / "ls1" / "empty.ogg", 0)
    (corpus / "ls1" / "noise.ogg").write_bytes(b"not a recording" * 100)
    cut = corpus / "ls1" / "cut.ogg"
    cut.write_bytes(cut.read_bytes()[:60])
    assert [u.id for u in prepare("librispeech-mini", corpus, out)] == ["good"]
    reasons = dropped(out)
    assert reasons.pop("noise").startswith("unusable audio: ")
    assert reasons.pop("cut").startswith("unusable audio: ")
    assert reasons.pop("empty").startswith("unusable audio: ")
    assert reasons == {
        "gone": "missing audio",
        "silent": "empty text",
        "good": "duplicate id good",
    }
    first = json.loads((out / "dropped.jsonl").read_text().splitlines()[0])
    assert first == {
        "id": "gone",
        "speaker": "ls1",
        "audio": "../corpus/ls1/gone.ogg",
        "file": "../corpus/manifest.tsv",
        "line": 3,
        "reason": "missing audio",
    }


def test_a_damaged_table_is_refused_by_line_or_column(tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match=r"cannot read .*manifest\.tsv"):
        prepare("librispeech-mini", tmp_path, tmp_path / "out")
    write_table(tmp_path, row("a", "TEXT"))
    table = tmp_path / "manifest.tsv"
    content = table.read_text()
    table.write_text(content + "train\tls1\n")
    with pytest.raises(TtsMetaError, match="line 3: 2 fields instead of 10"):
        prepare("librispeech-mini", tmp_path, tmp_path / "out")
    table.write_text(content.replace("text_punctuated", "other"))
    with pytest.raises(TtsMetaError, match="has no column text_punctuated"):
        prepare("librispeech-mini", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I AM", "I am"),
        ("AM I", "am I"),
        ("SO I'M I'LL I'VE I'D", "so I'm I'll I've I'd"),
        ("IT IS IN THE SKI HI'I I'FAITH", "it is in the ski hi'i i'faith"),
        ("MISTER W J JENKS AT TEN O'CLOCK", "mister w j jenks at ten o'clock"),
    ],
)
def test_upper_case_text_becomes_lower_case_except_the_pronoun_i(text: str, expected: str) -> None:
    assert sentence_case(text) == expected


@given(st.text("AI'MLVEDX ", max_size=30))
def test_sentence_case_changes_only_the_case(text: str) -> None:
    assert sentence_case(text).upper() == text
    assert set(filter(str.isupper, sentence_case(text))) <= {"I"}


@pytest.mark.skipif(not REAL_CORPUS.is_dir(), reason="needs ../shared/corpus")
def test_the_shared_corpus_is_read_completely() -> None:
    recordings = list(CORPORA["librispeech-mini"](REAL_CORPUS))
    speakers = {
        split: {r.speaker for r in recordings if r.split == split} for split in ("train", "train_noisy", "eval")
    }
    assert len(recordings) == (REAL_CORPUS / "manifest.tsv").read_bytes().count(b"\n") - 1
    assert {split: len(names) for split, names in speakers.items()} == {"train": 31, "train_noisy": 7, "eval": 6}
    assert all(r.audio is not None and r.audio.is_file() and r.text and r.gender in ("F", "M") for r in recordings)


def test_only_the_named_splits_are_speed_perturbed(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for name in ("a", "b"):
        write_audio(corpus / "ls1" / f"{name}.ogg")
    write_table(corpus, row("a", "one"), row("b", "two") | {"split": "eval"})
    manifest = prepare("librispeech-mini", corpus, tmp_path / "out", [0.9], ["train"])
    assert [(u.id, u.split) for u in manifest] == [("a", "train"), ("b", "eval"), ("a@0.9", "train_perturbed")]
