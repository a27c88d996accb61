from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import data_prep
from data_prep import CORPORA, Recording, prepare
from data_prep.librispeech import sentence_case
from tts_meta.audio import read_audio
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, UsageError

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


def write_audio(path: Path, seconds: float = 0.5, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    soundfile.write(path, noise.astype(np.float32), rate)


def dropped(out: Path) -> dict[str, str]:
    lines = (out / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["id"]: line["reason"] for line in map(json.loads, lines)}


def by_id(manifest: Manifest) -> dict[str, tuple[str, str, str]]:
    return {u.id: (u.speaker, u.audio.name, u.text) for u in manifest}


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


def test_every_corpus_has_a_reader_of_its_own_file() -> None:
    files = {reader.__module__ for reader in CORPORA.values()}
    folder = Path(data_prep.__file__).parent
    present = {f"data_prep.{path.stem}" for path in folder.glob("*.py")} - {
        f"data_prep.{name}"
        for name in ("__init__", "files", "folder_lists", "speed_perturbation", "recording", "speaker_tables")
    }
    assert files == present


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
        "reason": "missing audio",
    }


def test_a_damaged_table_is_refused_by_line_or_column(tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match=r"cannot read .*manifest\.tsv"):
        prepare("librispeech-mini", tmp_path, tmp_path / "out")
    write_table(tmp_path, row("a", "TEXT"))
    table = tmp_path / "manifest.tsv"
    whole = table.read_text()
    table.write_text(whole + "train\tls1\n")
    with pytest.raises(TtsMetaError, match="line 3: 2 fields instead of 10"):
        prepare("librispeech-mini", tmp_path, tmp_path / "out")
    table.write_text(whole.replace("text_punctuated", "other"))
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
def test_upper_case_text_is_lowered_but_for_the_pronoun(text: str, expected: str) -> None:
    assert sentence_case(text) == expected


@given(st.text("AI'MLVEDX ", max_size=30))
def test_lowering_changes_case_only(text: str) -> None:
    assert sentence_case(text).upper() == text
    assert set(filter(str.isupper, sentence_case(text))) <= {"I"}


def test_ljspeech_metadata_is_read_with_the_normalised_text(tmp_path: Path) -> None:
    corpus, out = tmp_path / "LJ", tmp_path / "out"
    (corpus / "wavs").mkdir(parents=True)
    (corpus / "metadata.csv").write_text(
        'one|Dr. A, "b"|Doctor A, "b"\ntwo|Raw only\nthree|Raw.|\n\nfour|Text.|Text.\nfive||\n',
        encoding="utf-8-sig",
    )
    for name in (
        "wavs/one.wav",
        "wavs/two.flac",
        "three.ogg",
        "wavs/five.mp3",
        "wavs/spare.wav",
    ):
        write_audio(corpus / name)
    (corpus / "wavs" / "._one.wav").write_bytes(b"left by a file manager")
    write_audio(corpus / "one.wav", 2.0)
    manifest = prepare("folder", corpus, out)
    assert by_id(manifest) == {
        "one": ("LJ", "one.wav", 'Doctor A, "b"'),
        "two": ("LJ", "two.flac", "Raw only"),
        "three": ("LJ", "three.ogg", "Raw."),
    }
    assert manifest.utterances[0].audio == corpus / "wavs" / "one.wav"
    assert dropped(out) == {
        "four": "missing audio",
        "five": "empty text",
        "wavs/spare.wav": "no transcript: not in metadata.csv",
        "one.wav": "no transcript: not in metadata.csv",
    }


def test_text_files_are_read_beside_their_recordings(tmp_path: Path) -> None:
    corpus, out = tmp_path / "voices", tmp_path / "out"
    for name in (
        "anna/1.wav",
        "anna/1.mp3",
        "anna/day.2/2.FLAC",
        "bob/1.ogg",
        "own.mp3",
        "bob/mute.wav",
        ".trash/1.wav",
    ):
        write_audio(corpus / name.replace("FLAC", "flac"))
    (corpus / "anna/day.2/2.flac").rename(corpus / "anna/day.2/2.FLAC")
    texts = {
        "anna/1": "Hello\n  there. \n",
        "anna/day.2/2": "Zwei.",
        "bob/1": "Hi.",
        "own": "Mine.",
        "notes": "To do",
    }
    for name, text in texts.items():
        (corpus / f"{name}.txt").write_text(text, encoding="utf-8")
    write_audio(corpus / "latin.wav")
    (corpus / "latin.txt").write_bytes("für".encode("latin-1"))
    assert by_id(prepare("folder", corpus, out)) == {
        "anna/1": ("anna", "1.wav", "Hello there."),
        "anna/day.2/2": ("anna", "2.FLAC", "Zwei."),
        "bob/1": ("bob", "1.ogg", "Hi."),
        "own": ("voices", "own.mp3", "Mine."),
    }
    assert dropped(out) == {
        "anna/1.mp3": "duplicate of anna/1.wav, which is used",
        "bob/mute": "no transcript: no .txt with the name of the recording",
        "latin": "unreadable transcript: not UTF-8 text (byte 0xFC in line 1)",
        "notes": "missing audio: no recording with the name of the transcript",
    }


def test_a_folder_given_as_a_dot_still_names_its_speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "anna"
    write_audio(corpus / "1.wav")
    (corpus / "1.txt").write_text("Hello.")
    monkeypatch.chdir(corpus)
    manifest = prepare("folder", ".", "out")
    assert manifest.speakers == ("anna",)
    assert prepare("folder", ".", "out") == manifest


def test_a_corpus_of_nothing_usable_is_an_error_that_says_where_to_look(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        TtsMetaError,
        match=r"no recordings in the layout of 'folder'; data_prep/folder\.py describes it",
    ):
        prepare("folder", tmp_path, tmp_path / "out")
    write_audio(tmp_path / "1.wav")
    with pytest.raises(TtsMetaError, match=r"no recording of .* the first of 1: no transcript.*dropped\.jsonl"):
        prepare("folder", tmp_path, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dropped.jsonl"]


def test_wrong_names_are_refused_with_the_right_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match="no corpus named 'folders'; the corpora are: folder, librispeech, librispeech-mini, libritts, vctk",
    ):
        prepare("folders", tmp_path, tmp_path / "out")
    with pytest.raises(UsageError, match="none is not a folder"):
        prepare("folder", tmp_path / "none", tmp_path / "out")


def test_a_corpus_is_one_reader_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(corpus_dir: Path) -> Iterator[Recording]:
        yield Recording("x", "anna", corpus_dir / "x.wav", "Text.", split="eval")

    write_audio(tmp_path / "x.wav")
    monkeypatch.setitem(CORPORA, "mine", read)
    assert prepare("mine", tmp_path, tmp_path / "out").of_split("eval").speakers == ("anna",)


@pytest.mark.skipif(not REAL_CORPUS.is_dir(), reason="the project's corpus is not here")
def test_the_real_corpus_is_read_whole() -> None:
    recordings = list(CORPORA["librispeech-mini"](REAL_CORPUS))
    speakers = {
        split: {r.speaker for r in recordings if r.split == split} for split in ("train", "train_noisy", "eval")
    }
    assert len(recordings) == (REAL_CORPUS / "manifest.tsv").read_bytes().count(b"\n") - 1
    assert {split: len(names) for split, names in speakers.items()} == {"train": 31, "train_noisy": 7, "eval": 6}
    assert all(r.audio is not None and r.audio.is_file() and r.text and r.gender in ("F", "M") for r in recordings)


def test_recordings_at_other_speeds_are_other_speakers(tmp_path: Path) -> None:
    corpus, out = tmp_path / "voices", tmp_path / "out"
    (corpus / "anna").mkdir(parents=True)
    tone = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000).astype(np.float32)
    soundfile.write(corpus / "anna/1.wav", tone, 16000)
    (corpus / "anna/1.txt").write_text("Hello.")
    manifest = prepare("folder", corpus, out, [0.8, 1.25])
    own, slow, fast = manifest.utterances
    assert [(u.id, u.speaker, u.split) for u in manifest] == [
        ("anna/1", "anna", None),
        ("anna/1@0.8", "anna@0.8", None),
        ("anna/1@1.25", "anna@1.25", None),
    ]
    assert (slow.seconds, fast.seconds, slow.text) == (1.25, 0.8, own.text)
    for made, hertz in ((slow, 160), (fast, 250)):
        heard = read_audio(made.audio, 16000)
        assert len(heard) == round(16000 * made.seconds)
        assert np.abs(np.fft.rfft(heard)).argmax() / made.seconds == pytest.approx(hertz, abs=2)
    written = slow.audio.stat().st_mtime_ns
    assert prepare("folder", corpus, out, [0.8]).utterances == (own, slow)
    assert slow.audio.stat().st_mtime_ns == written, "what is there is not made again"
    soundfile.write(corpus / "anna/1.wav", tone[:8000], 16000)
    assert len(read_audio(prepare("folder", corpus, out, [0.8]).utterances[1].audio, 16000)) == 10000


def test_only_the_splits_named_are_made_speakers_of(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for name in ("a", "b"):
        write_audio(corpus / "ls1" / f"{name}.ogg")
    write_table(corpus, row("a", "one"), row("b", "two") | {"split": "eval"})
    manifest = prepare("librispeech-mini", corpus, tmp_path / "out", [0.9], ["train"])
    assert [(u.id, u.split) for u in manifest] == [("a", "train"), ("b", "eval"), ("a@0.9", "train_perturbed")]


@pytest.mark.parametrize("speed", [1.0, 0.1, 3.0, float("nan")])
def test_a_speed_that_makes_no_voice_is_refused(tmp_path: Path, speed: float) -> None:
    write_audio(tmp_path / "voices" / "1.wav")
    (tmp_path / "voices" / "1.txt").write_text("Hello.")
    with pytest.raises(UsageError, match="invalid speed"):
        prepare("folder", tmp_path / "voices", tmp_path / "out", [speed])
