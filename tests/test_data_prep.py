from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from corpora import dropped, kept, write_audio

import data_prep
from data_prep import CORPORA, Recording, prepare
from tts_meta.errors import TtsMetaError, UsageError

NO_READERS = (
    *("__init__", "corpora", "download", "files", "folder_lists", "kaldi_tables", "recording", "speaker_tables"),
    *("speed_perturbation", "tables"),
)
"""Files of `data_prep` without a reader."""


def test_every_corpus_has_a_reader_of_its_own_file() -> None:
    files = {reader.__module__ for reader in CORPORA.values()}
    folder = Path(data_prep.__file__).parent
    present = {f"data_prep.{path.stem}" for path in folder.glob("*.py")} - {f"data_prep.{name}" for name in NO_READERS}
    assert files == present


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
    assert kept(manifest) == {
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
    assert kept(prepare("folder", corpus, out)) == {
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
        match="no corpus named 'folders'; the corpora are: cmu-arctic, common-voice, folder, hifi-tts, l2-arctic, ",
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
