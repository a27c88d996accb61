"""Word and character error rates: counts of errors, and the normalisation of texts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.evaluate import Scorer, wer
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.wer import ErrorCount, character_errors, word_errors


def recursive_distance(first: str, second: str) -> int:
    """The definition of the Levenshtein distance."""

    @cache
    def tail(i: int, j: int) -> int:
        if i == len(first) or j == len(second):
            return len(first) - i + len(second) - j
        return min(tail(i + 1, j) + 1, tail(i, j + 1) + 1, tail(i + 1, j + 1) + (first[i] != second[j]))

    return tail(0, 0)


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_the_number_of_edits_is_the_levenshtein_distance(first, second):
    jiwer = pytest.importorskip("jiwer", reason="the extra eval is not installed")
    expected = ErrorCount(recursive_distance(first, second), len(first))
    assert wer._error_count(jiwer.process_characters(first, second)) == expected
    assert wer._error_count(jiwer.process_words(" ".join(first), " ".join(second))) == expected


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
    for text, transcript in pairs:
        assert word_errors(text, transcript).edits == 0
        assert character_errors(text, transcript).edits == 0


@pytest.mark.usefixtures("normaliser")
def test_the_error_rate_is_edits_per_word_or_character_of_the_text():
    assert word_errors("the cat sat on the mat", "The cat on a mat, too.") == ErrorCount(3, 6)
    assert character_errors("cat", "a cart") == ErrorCount(3, 3)
    assert word_errors("", "").rate == 0
    assert word_errors("", "you").rate == 1
    assert word_errors("hello", "").rate == 1


@pytest.mark.usefixtures("normaliser")
def test_rules_that_whisper_does_not_have_are_removed():
    assert word_errors("the cause of it", "the because of it").edits == 1


@pytest.mark.usefixtures("normaliser")
def test_normalisation_equals_that_of_another_library():
    theirs = pytest.importorskip("transformers.models.whisper.english_normalizer")
    spellings = wer._normaliser("en").standardize_spellings.mapping  # pyright: ignore[reportFunctionMemberAccess]
    other = theirs.EnglishTextNormalizer(spellings)
    for text in (
        "Dr. O'Neil's 2nd colour T.V. cost $3.50, on May 3rd, 1999 -- 'twas nineteen oh five!",
        "I'm kinda sure it's the cause (of all) that; he'd been gone twenty-one thousand and one days, 50%.",
        "Café naïve, one hundred and one; hmm, um, ONE AND A HALF MILLION",
    ):
        assert wer.normalise(text) == " ".join(other(text).split())


@pytest.mark.usefixtures("normaliser")
def test_another_language_keeps_its_letters():
    assert wer.normalise("Grüße, Jürgen!", "de") == "grüße jürgen"


@pytest.mark.usefixtures("normaliser")
def test_the_weight_of_an_error_rate_is_the_length_of_the_text(monkeypatch):
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    monkeypatch.setattr(wer, "Transcriber", lambda *_: lambda waveform, rate: "the cat sad")
    scores = Scorer(["wer"]).score(np.ones(10), 16_000, id="one", text="The cat sat on it.")
    assert scores.measures == {"wer": Measure(3 / 5, 5), "cer": Measure(7 / 17, 17)}
    assert scores.notes == {"transcript": "the cat sad"}


def test_other_languages_get_the_basic_form_of_whisper():
    pytest.importorskip("whisper_normalizer", reason="the extra eval is not installed")
    assert wer.normalise("Straße, Größe: zwölf!", "de") == "straße größe zwölf"
    assert wer.normalise("The colour of ten", "de") == "the colour of ten", "the rules of English do not run"
    assert word_errors("你好吗", "你好", "zh") == ErrorCount(1, 3)
