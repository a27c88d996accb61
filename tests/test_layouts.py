"""Tests of the readers of published corpora: VCTK, LibriTTS and LibriSpeech."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import case_folder
from corpora import dropped, kept, prepared, write_audio, write_files
from faults import error_line

from data_prep import prepare
from tts_meta.errors import UsageError

OZ = "I'm afraid I don't know much about the Land of Oz."


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        ("vctk", {"p225_001": ("p225", "p225_001.wav", OZ)}),
        ("libritts", {"84_121_0": ("84", "84_121_0.wav", OZ)}),
        (
            "librispeech",
            {"84-121-0000": ("84", "84-121-0000.wav", "I'm afraid I don't know much about the land of oz.")},
        ),
    ],
)
def test_published_layouts_are_read(tmp_path: Path, corpus: str, expected: dict[str, tuple[str, str, str]]) -> None:
    manifest = prepare(corpus, case_folder("prepare_layouts") / corpus, tmp_path)
    assert kept(manifest) == expected and dropped(tmp_path) == {}
    assert manifest.utterances[0].language == "en"


@pytest.mark.parametrize("corpus", ["vctk", "libritts", "librispeech"])
def test_a_published_layout_read_as_a_folder_names_its_reader(tmp_path: Path, corpus: str) -> None:
    folder = case_folder("prepare_layouts") / corpus
    line = error_line(lambda: prepare("folder", folder, tmp_path), UsageError)
    assert line == f"{folder} has the layout of {corpus}; read it with `tts-meta prepare {corpus} DIR OUT`"


def test_vctk_is_read_from_its_first_microphone_with_genders(tmp_path: Path) -> None:
    root, sound = tmp_path / "vctk", "wav48_silence_trimmed"
    for name in (
        "p225/p225_001_mic1",
        "p225/p225_001_mic2",
        "p226/p226_002_mic2",
        "p315/p315_001_mic1",
        "s5/s5_001_mic1",
    ):
        write_audio(root / sound / f"{name}.flac")
    texts = {
        f"txt/{name}.txt": f"Text of {name}."
        for name in ("p225/p225_001", "p226/p226_002", "p226/p226_003", "s5/s5_001")
    }
    table = "ID  AGE  GENDER  ACCENTS  REGION\np225  23  F    English  England\n226 22 M English\ns5  24 F\n"
    write_files(root, texts | {"speaker-info.txt": table, "README.txt": "About it."})
    manifest = prepare("vctk", root, tmp_path / "out")
    assert kept(manifest) == {
        "p225_001": ("p225", "p225_001_mic1.flac", "Text of p225/p225_001."),
        "p226_002": ("p226", "p226_002_mic2.flac", "Text of p226/p226_002."),
        "s5_001": ("s5", "s5_001_mic1.flac", "Text of s5/s5_001."),
    }
    assert [utterance.gender for utterance in manifest] == ["F", "M", "F"]
    assert dropped(tmp_path / "out") == {
        "p226_003": "missing audio",
        "p315_001": "no transcript: no txt/p315/p315_001.txt",
    }


def test_libritts_is_read_with_its_subsets_and_normalised_texts(tmp_path: Path) -> None:
    root = tmp_path / "LibriTTS"
    names = ["train-clean-100/19/198/19_198_000000_000000", "dev-clean/84/121/84_121_000003_000001"]
    for name in (*names, "dev-clean/84/121/84_121_000003_000002", "dev-clean/84/121/84_121_000003_000003"):
        write_audio(root / f"{name}.wav")
    write_files(
        root,
        {
            f"{names[0]}.normalized.txt": "Ten men.",
            f"{names[0]}.original.txt": "10 men.",
            f"{names[1]}.normalized.txt": " ",
            f"{names[1]}.original.txt": "Only raw.",
            "dev-clean/84/121/84_121_000003_000004.normalized.txt": "Gone.",
            "dev-clean/84/121/84_121.trans.tsv": "84_121_000003_000001\tOnly raw.\tOnly raw.\n",
            "speakers.tsv": "READER\tGENDER\tSUBSET\tNAME\n19\tF\ttrain-clean-100\tKara\n84\tF\tdev-clean\tChristie\n",
        },
    )
    (root / "dev-clean/84/121/84_121_000003_000003.normalized.txt").write_bytes("für".encode("latin-1"))
    manifest = prepare("libritts", root, tmp_path / "out")
    assert {u.id: (u.speaker, u.split, u.gender, u.text) for u in manifest} == {
        "84_121_000003_000001": ("84", "dev-clean", "F", "Only raw."),
        "19_198_000000_000000": ("19", "train-clean-100", "F", "Ten men."),
    }
    assert dropped(tmp_path / "out") == {
        "84_121_000003_000002": "no transcript: no file .normalized.txt with its name",
        "84_121_000003_000003": "unreadable transcript: not UTF-8 text (byte 0xFC in line 1)",
        "84_121_000003_000004": "missing audio",
    }
    assert prepare("libritts", root / "dev-clean" / "84", tmp_path / "one").speakers == ("84",)


def test_librispeech_is_read_by_chapter_in_sentence_case(tmp_path: Path) -> None:
    root = tmp_path / "LibriSpeech"
    chapter = "train-clean-100/14/208/14-208"
    for name in (f"{chapter}-0000", f"{chapter}-0002", "dev-clean/84/121/84-121-0000", "dev-clean/84/9/84-9-0000"):
        write_audio(root / f"{name}.flac")
    write_files(
        root,
        {
            f"{chapter}.trans.txt": "14-208-0000 AND I SAID SO\n14-208-0001 GONE\n\n",
            "dev-clean/84/121/84-121.trans.txt": "84-121-0000\n",
            "SPEAKERS.TXT": ";ID  |SEX| SUBSET\n14   | F | train-clean-360 | 25 | Kristin | LeMoine\n84 | F | dev\n",
        },
    )
    (root / "dev-clean/84/9/84-9.trans.txt").write_bytes(b"84-9-0000 \xff\n")
    manifest = prepare("librispeech", root, tmp_path / "out")
    assert [(u.id, u.speaker, u.split, u.gender, u.text) for u in manifest] == [
        ("14-208-0000", "14", "train-clean-100", "F", "and I said so")
    ]
    reasons = dropped(tmp_path / "out")
    assert reasons.pop("84-9-0000").startswith(
        "unreadable transcript: 84-9.trans.txt: not UTF-8 text (byte 0xFF in line 1)"
    )
    assert reasons == {
        "14-208-0001": "missing audio",
        "14-208-0002": "no transcript: not in 14-208.trans.txt",
        "84-121-0000": "empty text",
    }


def test_recordings_without_transcripts_are_an_error_that_names_the_reason(tmp_path: Path) -> None:
    write_audio(tmp_path / "c/84/121/84-121-0000.flac")
    line = error_line(lambda: prepared("librispeech", tmp_path / "c"))
    assert "reason of the first of 1: " in line and "no transcript: no .trans.txt in its folder" in line


def test_a_given_transcript_list_takes_precedence_over_the_layout(tmp_path: Path) -> None:
    write_files(tmp_path / "c", {"a.normalized.txt": "One.", "a.wav": "", "metadata.csv": "a|Mine.\n"})
    assert prepared("folder", tmp_path / "c")[0] == {"a": ("c", "a.wav", "Mine.")}
    with pytest.raises(UsageError, match="vctk includes its transcripts"):
        prepare("vctk", tmp_path / "c", tmp_path / "out", transcripts=tmp_path / "c" / "metadata.csv")
