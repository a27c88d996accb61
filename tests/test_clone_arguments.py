"""Every form of the arguments of `clone` gives the same voice; wrong ones are refused with one line of advice."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import case_folder
from commands import write_base, write_recordings
from faults import error_line

from tts_meta import UsageError, Voice, clone
from tts_meta.adapt import CloneSettings
from tts_meta.adapt.arguments import find_recordings
from tts_meta.errors import TtsMetaError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings with their texts next to them, and a base."""
    folder = tmp_path_factory.mktemp("arguments")
    write_recordings(folder, 2)
    write_base(folder / "base")
    return folder


@pytest.fixture
def audio(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    return ["say0.wav", "say1.wav"]


def texts_of(folder: Path) -> list[str]:
    return [(folder / f"say{number}.txt").read_text().strip() for number in range(2)]


def test_every_form_of_the_arguments_gives_the_same_pairs(folder: Path, audio: list[str]) -> None:
    texts = texts_of(folder)
    (folder / "list.txt").write_text("".join(f"{name}|{text}\n" for name, text in zip(audio, texts, strict=True)))
    expected = find_recordings(audio, texts)
    assert [(str(recording.audio), recording.text) for recording in expected] == list(zip(audio, texts, strict=True))
    pairs = dict(zip(audio, texts, strict=True))
    reordered = dict(reversed(pairs.items()))
    forms: list[tuple[Any, Any]] = [
        (audio, None),
        (audio, "list.txt"),
        (audio, folder / "list.txt"),
        (tuple(audio), tuple(texts)),
        (iter(audio), (text for text in texts)),
        (np.array(audio), np.array(texts)),
        ([Path(name) for name in audio], [f" {text}\n" for text in texts]),
        (pairs, None),
        (audio, reordered),
        (audio, {Path(name): text for name, text in pairs.items()}),
        (audio, {Path(name).absolute(): text for name, text in pairs.items()}),
        (audio, {Path(name).stem: text for name, text in pairs.items()}),
        (audio, reordered | {"other.wav": "not requested"}),
    ]
    for given, transcripts in forms:
        assert find_recordings(given, transcripts) == expected


def test_a_file_name_shared_by_two_recordings_is_not_a_key(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "say0.wav").write_bytes((folder / "say0.wav").read_bytes())
    both = [folder / "say0.wav", tmp_path / "say0.wav"]
    assert "not among the keys" in error_line(lambda: find_recordings(both, {"say0.wav": "abc"}), UsageError)
    recordings = find_recordings(both, {both[0]: "abc", both[1]: "def"})
    assert [recording.text for recording in recordings] == ["abc", "def"]


FIRST = "say0.wav"
WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "a path alone": ({"audio": FIRST}, "must be a list of recordings; for one recording, give ['say0.wav']"),
    "a Path alone": ({"audio": Path(FIRST)}, "must be a list of recordings; for one recording, give ['say0.wav']"),
    "None": ({"audio": None}, "must be a list of paths of recordings, not NoneType"),
    "a number": ({"audio": 5}, "must be a list of paths of recordings, not int"),
    "bytes": ({"audio": b"say0.wav"}, "must be a list of paths of recordings, not bytes"),
    "samples": ({"audio": np.zeros(22050)}, "recording 1 must be a path, not float64"),
    "lists of samples": ({"audio": [np.zeros(100)]}, "recording 1 must be a path, not ndarray"),
    "None in audio": ({"audio": [FIRST, None]}, "recording 2 must be a path, not NoneType"),
    "no audio": ({"audio": []}, "no recordings given"),
    "no audio and texts": ({"audio": (), "transcripts": []}, "no recordings given"),
    "a text alone": ({"transcripts": "I'm afraid"}, 'transcripts: there is no file "I\'m afraid"; for texts, give'),
    "a text of lines": ({"transcripts": "abc\ndef"}, "there is no file 'abc\\ndef'"),
    "None in texts": ({"transcripts": [None]}, "the transcript of say0.wav must be text, not NoneType"),
    "a number in texts": ({"transcripts": [5]}, "the transcript of say0.wav must be text, not int"),
    "too few texts": ({"transcripts": []}, "1 recordings but 0 transcripts; give one text for each recording"),
    "too many texts": (
        {"transcripts": ["abc", "def"]},
        "1 recordings but 2 transcripts; give one text for each recording",
    ),
    "a set": ({"transcripts": {"abc"}}, "transcripts must be a list of texts, not set"),
    "a number for texts": ({"transcripts": 5}, "transcripts must be a list of texts, not int"),
    "a dict without the recording": ({"transcripts": {"b.wav": "abc"}}, "say0.wav: not among the keys of transcripts"),
    "a dict the wrong way round": ({"transcripts": {"abc": FIRST}}, "say0.wav: not among the keys of transcripts"),
    "a dict by number": ({"transcripts": {0: "abc"}}, "each key must be the path of one recording"),
    "texts twice": ({"audio": {FIRST: "abc"}, "transcripts": ["abc"]}, "leave transcripts out"),
    "None in a dict": ({"audio": {FIRST: None}}, "the transcript of say0.wav must be text, not NoneType"),
    "settings as a dict": ({"settings": {"steps": 1}}, "settings must be CloneSettings, not dict"),
    "modules as a text": ({"settings": CloneSettings("decoder.*", steps=1)}, "modules must be a tuple of patterns"),  # type: ignore[arg-type]
    "steps as a text": ({"settings": CloneSettings(steps="5")}, "steps must be a whole number, not str '5'"),  # type: ignore[arg-type]
    "half a step": ({"settings": CloneSettings(steps=0.5)}, "steps must be a whole number, not float 0.5"),  # type: ignore[arg-type]
    "negative steps": ({"settings": CloneSettings(steps=-1)}, "steps must be from 0 to 1e+09, not -1"),
    "a rate of NaN": ({"settings": CloneSettings(learning_rate=math.nan)}, "learning_rate must be from 0 to"),
    "a rate of 0": ({"settings": CloneSettings(learning_rate=0)}, "learning_rate must be above 0"),
    "no frames": ({"settings": CloneSettings(frames_per_step=0)}, "frames_per_step must be from 1 to"),
    "a huge seed": ({"settings": CloneSettings(seed=2**70)}, "seed must be from -4.61169e+18 to 4.61169e+18"),
    "consent as None": ({"consent": None}, "consent must be one line of printable text"),
    "consent of two lines": ({"consent": "a\nb"}, "consent must be one line of printable text"),
    "a number as base": ({"base": 5}, "base must be a path, not int"),
    "a number as vocoder": (
        {"vocoder": 5, "settings": CloneSettings(("vocoder.net.output",), vocoder_steps=1)},
        "vocoder must be a loaded vocoder, a name, a path, or None, not int",
    ),
    "transcribe as a text": ({"transcribe": "whisper"}, "transcribe must be a function of a path, not str"),
}


@pytest.mark.parametrize("kind", WRONG_ARGUMENTS)
def test_an_argument_of_the_wrong_type_is_refused_in_one_line(folder: Path, audio: list[str], kind: str) -> None:
    arguments, message = WRONG_ARGUMENTS[kind]
    given = {"audio": [FIRST], "base": folder / "base", "settings": CloneSettings(steps=1)} | arguments
    line = error_line(lambda: clone(given.pop("audio"), **given), UsageError)
    assert message in line


@pytest.mark.parametrize("name", ["absent.wav", "a\0b.wav", "x" * 300 + ".wav", "\ud800.wav", ""])
def test_an_impossible_path_is_refused_in_one_line(folder: Path, audio: list[str], name: str) -> None:
    given: list[dict[str, Any]] = [{"audio": [name]}, {"audio": {name: "abc"}}]
    for arguments in given:
        error_line(lambda arguments=arguments: clone(**arguments, base=folder / "base"))
    error_line(lambda: clone([FIRST], base=name or "absent"))
    error_line(lambda: Voice.load(name))


def test_an_empty_text_is_reported_with_its_recording(folder: Path, audio: list[str]) -> None:
    line = error_line(lambda: clone([FIRST], transcripts=[" \n"], base=folder / "base"))
    assert line == "say0.wav: its transcript is empty; write the spoken words into it"


def test_a_mapping_gives_the_same_voice_as_lists(folder: Path, audio: list[str]) -> None:
    settings = CloneSettings(("speaker.mean",), steps=1)
    pairs: Mapping[str | Path, str] = dict(zip(audio, texts_of(folder), strict=True))
    voices = [
        clone(pairs, base=folder / "base", settings=settings),
        clone(audio, transcripts=pairs, base=folder / "base", settings=settings),
        clone(audio, transcripts=list(pairs.values()), base=folder / "base", settings=settings),
    ]
    assert [voice.deltas["speaker.mean"].tolist() for voice in voices[1:]] == [
        voices[0].deltas["speaker.mean"].tolist()
    ] * 2


def test_the_example_of_wrong_arguments_prints_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The calls of the example, with the shipped base."""
    case = case_folder("lib_clone_arguments")
    shutil.copytree(case, tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    code = (tmp_path / "case" / "case.py").read_text()
    exec(compile(code, "case.py", "exec"), {})
    dictionary, text, path, none = capsys.readouterr().out.splitlines()
    assert dictionary.startswith("made ")
    assert text.startswith("UsageError transcripts: there is no file") and "{path: text}" in text
    assert path == "UsageError audio must be a list of recordings; for one recording, give ['a.wav']"
    assert none.startswith("UsageError the transcript of a.wav must be text, not NoneType")


def test_an_unreadable_path_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(path: object, **options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuses)
    with pytest.raises(TtsMetaError, match=r"recording 1|Permission denied"):
        find_recordings([tmp_path / "a.wav"])
