"""Tests of the readers of LJ Speech, LibriTTS-R, Hi-Fi TTS and Multilingual LibriSpeech, with planted faults."""

from __future__ import annotations

import json
from pathlib import Path

from corpora import kept, listed_faults, write_audio, write_files
from faults import error_line

from data_prep import prepare
from tts_meta.errors import UsageError

ZERO = "unusable audio: holds no samples; record it again"
EMPTY_FLAC = "unusable audio: empty; copy or record it again"
NOT_UTF8 = "not UTF-8 text (byte 0xFC in line {})"


def test_ljspeech_is_read_as_distributed(tmp_path: Path) -> None:
    root, out = tmp_path / "LJSpeech-1.1", tmp_path / "out"
    for number in (1, 2, 3, 4, 6):
        write_audio(root / f"wavs/LJ001-000{number}.wav", 0 if number == 4 else 0.5)
    write_audio(root / "wavs/LJ050-0001.wav")
    lines = [
        'LJ001-0001|He said "1869".|He said "eighteen sixty-nine".',
        "LJ001-0002|Only the raw text.|",
        "LJ001-0001|Twice.|Twice.",
        "LJ001-0003||",
        "LJ001-0004|Zero samples.|Zero samples.",
        "LJ001-0005|No file.|No file.",
        "LJ001-0006|One | too many.|One.|x",
    ]
    (root / "metadata.csv").write_bytes("\n".join(lines).encode() + b"\nLJ001-0007|f\xfcr|f\xfcr\n")
    (root / "README").write_text("About the corpus.")
    manifest = prepare("ljspeech", root, out)
    assert kept(manifest) == {
        "LJ001-0001": ("LJ", "LJ001-0001.wav", 'He said "eighteen sixty-nine".'),
        "LJ001-0002": ("LJ", "LJ001-0002.wav", "Only the raw text."),
    }
    assert {(u.gender, u.language, u.split) for u in manifest} == {("F", "en", None)}
    lines = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert [(line["id"], line["line"], line["reason"]) for line in lines] == [
        ("LJ001-0001", 3, "duplicate id LJ001-0001"),
        ("LJ001-0003", 4, "empty text"),
        ("LJ001-0004", 5, ZERO),
        ("LJ001-0005", 6, "missing audio"),
        ("metadata.csv:7", 7, "broken line: not in the form ID|TEXT|NORMALISED TEXT"),
        ("metadata.csv:8", 8, NOT_UTF8.format(8)),
        ("LJ001-0006.wav", None, "no transcript: not in metadata.csv"),
        ("LJ050-0001.wav", None, "no transcript: not in metadata.csv"),
    ]
    assert prepare("ljspeech", tmp_path, tmp_path / "parent").utterances == manifest.utterances


def test_libritts_r_leaves_out_the_published_failures(tmp_path: Path) -> None:
    root, out = tmp_path / "LibriTTS_R", tmp_path / "out"
    chapter = root / "train-clean-100/19/198"
    names = [f"19_198_00000{number}_000000" for number in range(7)]
    for number, name in enumerate(names[:6]):
        write_audio(chapter / f"{name}.wav", 0 if number == 4 else 0.5)
    write_files(
        chapter,
        {
            f"{names[0]}.normalized.txt": "Ten men.",
            f"{names[0]}.original.txt": "10 men.",
            f"{names[1]}.normalized.txt": "A failure.",
            f"{names[3]}.normalized.txt": " ",
            f"{names[3]}.original.txt": "12.",
            f"{names[4]}.normalized.txt": "Nothing.",
            "19_198.trans.tsv": f"{names[2]}\t10.\tTen.\n{names[6]}\tGone.\tGone.\n{names[2]}\tx\tx\nbroken\n",
            "19_198.book.tsv": f"{names[0]}\tTen men.\t0\t0\t0\t20.1\n",
            "._19_198_000000_000000.wav": "left by a file manager",
        },
    )
    write_files(
        tmp_path,
        {
            "LibriTTS_R/speakers.tsv": "READER\tGENDER\tSUBSET\tNAME\n19\tF\ttrain-clean-100\tKara Shallenberg\n",
            "libritts_r_failed_speech_restoration_examples/train-clean-100_bad_sample_list.txt": (
                f"./train-clean-100/19/198/{names[5]}.wav\n./train-clean-100/19/198/{names[1]}.wav\n"
            ),
        },
    )
    manifest = prepare("libritts-r", root, out)
    assert {u.id: (u.text, u.gender, u.split) for u in manifest} == {
        names[0]: ("Ten men.", "F", "train-clean-100"),
        names[2]: ("Ten.", "F", "train-clean-100"),
        names[3]: ("12.", "F", "train-clean-100"),
    }
    bad_list, failed = (
        "train-clean-100_bad_sample_list.txt",
        "speech restoration failed, according to the published list",
    )
    lines = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert [(line["id"], Path(line["file"] or "").name, line["line"], line["reason"]) for line in lines] == [
        (names[2], "19_198.trans.tsv", 3, f"duplicate id {names[2]}, first seen in line 1"),
        ("19_198.trans.tsv:4", "19_198.trans.tsv", 4, "broken line: not in the form ID<tab>ORIGINAL<tab>NORMALISED"),
        (names[1], bad_list, 2, failed),
        (names[4], f"{names[4]}.normalized.txt", 1, ZERO),
        (names[5], bad_list, 1, "no transcript: no file .normalized.txt with its name"),
        (names[6], "19_198.trans.tsv", 2, "missing audio"),
    ]
    assert len(prepare("libritts", root, tmp_path / "plain")) == 4
    line = error_line(lambda: prepare("folder", root, out), UsageError)
    assert line == f"{root} has the layout of libritts-r; read it with `tts-meta prepare libritts-r DIR OUT`"


def test_hifi_tts_is_read_from_its_manifests(tmp_path: Path) -> None:
    root, out = tmp_path / "hi_fi_tts_v0", tmp_path / "out"
    audio = "audio/9017_clean/11216/book_0{}.flac"
    for number in (1, 2, 3, 4):
        write_audio(root / audio.format(number), 0 if number == 3 else 0.5)
    write_audio(root / "audio/92_other/5/x_1.flac")

    def line(number: int, **fields: object) -> str:
        texts = {"text": "ten men", "text_no_preprocessing": "10 men!", "text_normalized": "Ten men!"}
        return json.dumps({"audio_filepath": audio.format(number), "duration": 0.5, **texts, **fields})

    first = [line(1), "", line(2, text_normalized=""), line(9), '{"audio_filepath": ', line(3), line(1)]
    (root / "9017_manifest_clean_train.json").write_bytes("\n".join(first).encode() + b'\n{"text": "f\xfcr"}\n')
    (root / "92_manifest_other_dev.json").write_text(line(4, audio_filepath="audio/92_other/5/x_1.flac") + "\n")
    (root / "readers_books_clean.txt").write_text("9017 | John Van Stan | ...\n")
    manifest = prepare("hifi-tts", root, out)
    assert [(u.id, u.speaker, u.text, u.gender, u.split) for u in manifest] == [
        ("9017_clean/11216/book_01", "9017", "Ten men!", "M", "clean_train"),
        ("9017_clean/11216/book_02", "9017", "10 men!", "M", "clean_train"),
        ("92_other/5/x_1", "92", "Ten men!", "F", "other_dev"),
    ]
    table = "9017_manifest_clean_train.json"
    assert listed_faults(out) == {
        "9017_clean/11216/book_09": (table, 4, "missing audio"),
        f"{table}:5": (table, 5, "broken line: not JSON with audio_filepath and text_normalized"),
        "9017_clean/11216/book_03": (table, 6, EMPTY_FLAC),
        "9017_clean/11216/book_01": (table, 7, "duplicate id 9017_clean/11216/book_01"),
        f"{table}:8": (table, 8, NOT_UTF8.format(8)),
        "9017_clean/11216/book_04": (None, None, "no transcript: not in a manifest of its reader"),
    }


def test_mls_is_read_by_language_with_genders(tmp_path: Path) -> None:
    root, out = tmp_path / "mls", tmp_path / "out"
    german = root / "mls_german_opus"
    write_audio(german / "train/audio/10/20/10_20_000001.flac")
    write_audio(german / "train/audio/10/20/10_20_000002.flac", 0)
    write_audio(german / "train/audio/10/20/10_20_000009.flac")
    write_audio(german / "dev/audio/11/20/11_20_000001.ogg").rename(german / "dev/audio/11/20/11_20_000001.opus")
    write_audio(root / "mls_polish/test/audio/7/1/7_1_000000.flac")
    metainfo = " SPEAKER | GENDER | PARTITION | MINUTES | BOOK ID | TITLE | CHAPTER\n 10 | M | train | 1 | 20 | x | y\n"
    lines = ["10_20_000001\tguten tag", "10_20_000002\tnichts", "10_20_000003\tfehlt", "no id here", "10_20_000004\t"]
    write_files(
        root,
        {
            "mls_german_opus/metainfo.txt": metainfo,
            "mls_german_opus/dev/transcripts.txt": "11_20_000001\tja\n",
            "mls_german_opus/train/segments.txt": "10_20_000001\thttp://www.archive.org/x.mp3\t10.2\t14.4\n",
            "mls_german_opus/train/limited_supervision/9hr/handles.txt": "10_20_000001\n",
            "mls_polish/metainfo.txt": metainfo,
            "mls_polish/test/transcripts.txt": "7_1_000000\ttak\n7_1_000000\tnie\n",
        },
    )
    (german / "train/transcripts.txt").write_bytes("\n".join(lines).encode() + b"\n10_20_000005\tf\xfcr\n")
    manifest = prepare("mls", root, out)
    assert [(u.id, u.speaker, u.text, u.gender, u.language, u.split, u.start) for u in manifest] == [
        ("10_20_000001", "10", "guten tag", "M", "de", "train", None),
        ("11_20_000001", "11", "ja", None, "de", "dev", None),
        ("7_1_000000", "7", "tak", None, "pl", "test", None),
    ]
    table = "transcripts.txt"
    assert listed_faults(out) == {
        "10_20_000002": (table, 2, EMPTY_FLAC),
        "10_20_000003": (table, 3, "missing audio"),
        "transcripts.txt:4": (table, 4, "broken line: not in the form SPEAKER_BOOK_NUMBER<tab>TEXT"),
        "10_20_000004": (table, 5, "missing audio"),
        "transcripts.txt:6": (table, 6, NOT_UTF8.format(6)),
        "10_20_000009": (None, None, "no transcript: not in train/transcripts.txt"),
        "7_1_000000": (table, 2, "duplicate id 7_1_000000"),
    }
    assert prepare("mls", german, tmp_path / "german").speakers == ("10", "11")
