"""Tests of the corpus `manifest`: lists of NeMo, Coqui, VITS, ESPnet and this project, with planted faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import RATE, listed_faults, write_audio, write_files
from faults import error_line

from data_prep import prepare
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, UsageError


def test_a_list_of_nemo_is_read_with_offsets(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_audio(data / "wavs/long.wav", 4.0)
    write_audio(data / "wavs/short.wav")
    rows = [
        {"audio_filepath": "wavs/short.wav", "duration": 0.5, "text": "Whole.", "speaker": 7, "lang": "en"},
        {"audio_filepath": "wavs/long.wav", "offset": 1.0, "duration": 1.5, "text": "Part.", "speaker": 7},
        {"audio_filepath": "wavs/long.wav", "offset": 2.5, "duration": 0.75, "text": "Other.", "speaker": 8},
        {"audio_filepath": "wavs/long.wav", "offset": 3.5, "duration": 9, "text": "Too far.", "speaker": 8},
        {"audio_filepath": "wavs/none.wav", "text": "Gone.", "speaker": 8},
        {"audio_filepath": "wavs/short.wav", "offset": "x", "text": "Broken.", "speaker": 8},
        {"audio_filepath": "wavs/short.wav", "offset": 0, "duration": 0.25, "text": None, "speaker": 8},
        {"duration": 1.0},
    ]
    lines = [json.dumps(row) for row in rows]
    (data / "train.json").write_bytes("\n".join([*lines, "{", lines[0]]).encode() + b'\n{"text": "f\xfcr"}\n')
    manifest = prepare("manifest", data / "train.json", out)
    assert [(u.id, u.speaker, u.text, u.language, u.start, u.end, u.seconds) for u in manifest] == [
        ("wavs/short", "7", "Whole.", "en", None, None, 0.5),
        ("wavs/long-0001000-0002500", "7", "Part.", None, 1.0, 2.5, 1.5),
        ("wavs/long-0002500-0003250", "8", "Other.", None, 2.5, 3.25, 0.75),
    ]
    names = "broken line: no name of a recording, or no text; name them audio and text"
    too_far = "unusable audio: 4.00 s long, but its part is from 3.5 s to 12.5 s; correct start and end"
    assert listed_faults(out) == {
        "wavs/long-0003500-0012500": ("train.json", 4, too_far),
        "wavs/none": ("train.json", 5, "missing audio"),
        "train.json:6": ("train.json", 6, "broken line: start, end or duration is not a number of seconds"),
        "wavs/short-0000000-0000250": ("train.json", 7, "empty text"),
        "train.json:8": ("train.json", 8, names),
        "train.json:9": ("train.json", 9, "broken line: not a JSON object"),
        "wavs/short": ("train.json", 10, "duplicate id wavs/short"),
        "train.json:11": ("train.json", 11, "not UTF-8 text (byte 0xFC in line 11)"),
    }


def test_a_table_with_a_header_is_read(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for name in ("a", "b", "c"):
        write_audio(data / f"wavs/{name}.wav")
    table = (
        "audio_file,text,speaker_name,accent,gender,split\n"
        'wavs/a.wav,"One, two.",anna,Irish,F,train\n'
        '"wavs/b.wav","Three\nlines.",bob,,,dev\n'
        "wavs/c.wav,Four.,\nc,Five.,bob,,,\n"
    )
    write_files(data, {"list.csv": table})
    manifest = prepare("manifest", data / "list.csv", out)
    assert [(u.id, u.speaker, u.text, u.accent, u.gender, u.split) for u in manifest] == [
        ("wavs/a", "anna", "One, two.", "Irish", "F", "train"),
        ("wavs/b", "bob", "Three lines.", None, None, "dev"),
        ("wavs/c", "bob", "Five.", None, None, None),
    ]
    fault = "broken line: 3 fields, but the header has 6 columns"
    assert listed_faults(out) == {"list.csv:5": ("list.csv", 5, fault)}


@pytest.mark.parametrize(
    ("content", "speaker"),
    [("wavs/a.wav|12|Hello there.\n", "12"), ("wavs/a|Hello there.\n", "data"), ("a.wav|Hello there.|anna\n", "anna")],
)
def test_a_list_without_a_header_is_read(tmp_path: Path, content: str, speaker: str) -> None:
    write_files(tmp_path / "data", {"wavs/a.wav": "", "train.txt": content})
    (utterance,) = prepare("manifest", tmp_path / "data/train.txt", tmp_path / "out")
    assert (utterance.speaker, utterance.text, utterance.seconds) == (speaker, "Hello there.", 0.5)


def test_a_folder_of_espnet_is_read_with_its_segments(tmp_path: Path) -> None:
    root = tmp_path / "egs"
    write_audio(root / "downloads/talk.wav", 3.0)
    write_files(
        root / "data/train",
        {
            "wav.scp": "talk downloads/talk.wav\n",
            "segments": "anna-1 talk 0.5 1.5\nanna-2 talk 1.5 2.75\nanna-3 talk x\nanna-4 none 0 1\nanna-6 talk 0 1\n",
            "text": "anna-1 Good morning.\nanna-2 And again.\nanna-3 Broken.\nanna-4 No file.\nanna-5 No segment.\n",
            "utt2spk": "anna-1 anna\nanna-2 anna\nanna-3 anna\nanna-4 anna\n",
            "spk2gender": "anna f\n",
        },
    )
    manifest = prepare("manifest", root / "data/train", tmp_path / "out")
    assert [(u.id, u.start, u.end, u.seconds, u.gender) for u in manifest] == [
        ("anna-1", 0.5, 1.5, 1.0, "f"),
        ("anna-2", 1.5, 2.75, 1.25, "f"),
    ]
    assert listed_faults(tmp_path / "out") == {
        "anna-3": ("text", 3, "missing audio: no start and end in its segment"),
        "anna-4": ("text", 4, "missing audio: none is not in train/wav.scp"),
        "anna-5": ("text", 5, "empty speaker: not in train/utt2spk"),
        "anna-6": ("segments", 5, "no transcript: not in train/text"),
    }


def test_a_manifest_of_this_project_is_read_again(tmp_path: Path) -> None:
    write_audio(tmp_path / "data/long.flac", 4.0)
    line = {"id": "x", "speaker": "a", "audio": "data/long.flac", "seconds": 1.5, "text": "T."}
    line |= {"gender": "F", "language": "en", "split": "dev", "accent": "Irish", "start": 1.0, "end": 2.5}
    (tmp_path / "old.jsonl").write_text(json.dumps(line))
    manifest = prepare("manifest", tmp_path / "old.jsonl", tmp_path / "out")
    assert manifest.utterances == Manifest.load(tmp_path / "old.jsonl").utterances
    assert round(manifest.utterances[0].seconds * RATE) == 1.5 * RATE


def test_wrong_sources_of_a_list_are_errors(tmp_path: Path) -> None:
    line = error_line(lambda: prepare("manifest", tmp_path / "none.json", tmp_path / "out"), UsageError)
    assert line == f"{tmp_path}/none.json does not exist; give the file of the manifest"
    line = error_line(lambda: prepare("manifest", tmp_path, tmp_path / "out"), UsageError)
    assert line == f"{tmp_path} has no wav.scp, text and utt2spk; give the file of a list"
    (tmp_path / "list.txt").write_text("only words\n")
    with pytest.raises(TtsMetaError, match=r"list\.txt, line 1: no '\|' between file and text"):
        prepare("manifest", tmp_path / "list.txt", tmp_path / "out")
