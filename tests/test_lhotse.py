"""Tests of the corpus `lhotse`: cut sets that lhotse itself writes, with planted faults."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from corpora import listed_faults, write_audio
from faults import error_line

from data_prep import lhotse as reader
from data_prep import prepare
from tts_meta.errors import TtsMetaError

lhotse: Any = pytest.importorskip("lhotse")


def cut(path: Path, id: str, *supervisions: Any, start: float = 0.0, duration: float = 4.0) -> Any:
    recording = lhotse.Recording.from_file(path, recording_id=path.stem)
    return lhotse.MonoCut(id, start, duration, 0, supervisions=list(supervisions), recording=recording)


def supervision(id: str, start: float, duration: float, **fields: Any) -> Any:
    return lhotse.SupervisionSegment(
        id, "talk", start, duration, **{"text": f"Text of {id}.", "speaker": "anna"} | fields
    )


@pytest.fixture
def cuts(tmp_path: Path) -> list[Any]:
    talk, other = write_audio(tmp_path / "data/talk.wav", 4.0), write_audio(tmp_path / "data/other.wav", 1.0)
    whole = supervision("s1", 0.0, 1.0, gender="F", language="English", custom={"accent": "Irish", "split": "dev"})
    parts = [
        supervision("s2", 0.5, 1.0),
        supervision("s3", 1.5, 9.0, speaker=None),
        supervision("s4", 2.0, 1.0, text=None),
    ]
    return [
        cut(other, "c1", whole, duration=1.0),
        cut(talk, "c2", *parts, start=0.25, duration=3.5),
        cut(talk, "c3"),
        cut(talk, "c4", supervision("s5", 0, 1)).perturb_speed(0.9),
        cut(talk, "c5", supervision("s6", 0, 1)).pad(duration=6.0),
        cut(talk, "c6", supervision("s1", 0, 1)),
    ]


FAULTS = {
    "s3": (2, "empty speaker"),
    "s4": (2, "empty text"),
    "c3": (3, "no transcript: the cut has no supervision"),
    "s5_sp0.9": (4, "not a plain file, but audio that lhotse makes; write it with CutSet.save_audios"),
    "s6": (5, "no recording in a MixedCut; write its audio with CutSet.save_audios"),
    "s1": (6, "duplicate id s1"),
}


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz", "cuts.json"])
def test_every_supervision_of_a_cut_set_is_read(tmp_path: Path, cuts: list[Any], name: str) -> None:
    source = tmp_path / "data" / name
    lhotse.CutSet.from_cuts(cuts).to_file(source)
    manifest = prepare("lhotse", source, tmp_path / "out")
    assert [(u.id, u.speaker, u.start, u.end, u.seconds, u.audio.name) for u in manifest] == [
        ("s1", "anna", None, None, 1.0, "other.wav"),
        ("s2", "anna", 0.75, 1.75, 1.0, "talk.wav"),
    ]
    first = manifest.utterances[0]
    assert (first.text, first.gender, first.language, first.accent, first.split) == (
        *("Text of s1.", "F", "English", "Irish", "dev"),
    )
    assert listed_faults(tmp_path / "out") == {id: (name, *fault) for id, fault in FAULTS.items()}


def test_faulty_lines_of_a_cut_set_are_dropped(tmp_path: Path, cuts: list[Any]) -> None:
    source = tmp_path / "data/cuts.jsonl"
    lhotse.CutSet.from_cuts(cuts[:1]).to_file(source)
    source.write_bytes(source.read_bytes() + b'{"id": "x"}\nno JSON\n\xfc\n')
    assert len(prepare("lhotse", source, tmp_path / "out")) == 1
    broken = "broken line: not a cut of lhotse"
    assert listed_faults(tmp_path / "out") == {
        "cuts.jsonl:2": ("cuts.jsonl", 2, broken),
        "cuts.jsonl:3": ("cuts.jsonl", 3, broken),
        "cuts.jsonl:4": ("cuts.jsonl", 4, "not UTF-8 text (byte 0xFC in line 4)"),
    }


def test_paths_are_relative_to_the_cut_set(tmp_path: Path, cuts: list[Any]) -> None:
    source = tmp_path / "data/cuts.jsonl"
    cuts[0].recording.sources[0].source = "other.wav"
    lhotse.CutSet.from_cuts(cuts[:1]).to_file(source)
    assert prepare("lhotse", source, tmp_path / "out").utterances[0].audio == tmp_path / "data/other.wav"


def test_one_channel_of_a_stereo_recording_is_refused(tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    path = tmp_path / "talk.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((64000, 2)), 16000)
    lhotse.CutSet.from_cuts([cut(path, "c1", supervision("s1", 0, 2))]).to_file(tmp_path / "cuts.jsonl")
    with pytest.raises(TtsMetaError, match=r"channel 0 of 2; write each channel with CutSet\.save_audios"):
        prepare("lhotse", tmp_path / "cuts.jsonl", tmp_path / "out")


def test_a_damaged_cut_set_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cuts.json").write_text("[{")
    assert "cuts.json: lhotse cannot read it" in error_line(
        lambda: prepare("lhotse", tmp_path / "cuts.json", tmp_path / "out")
    )
    (tmp_path / "cuts.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:-9])
    line = error_line(lambda: prepare("lhotse", tmp_path / "cuts.jsonl.gz", tmp_path / "out"))
    assert line.startswith(f"{tmp_path}/cuts.jsonl.gz: cannot be read")


def test_without_lhotse_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reader.importlib.import_module("sys").modules, "lhotse.serialization", None)
    (tmp_path / "cuts.jsonl").write_text("{}\n")
    line = error_line(lambda: prepare("lhotse", tmp_path / "cuts.jsonl", tmp_path / "out"))
    assert line == "the corpus `lhotse` needs lhotse; install it with: pip install '.[corpora]'"
