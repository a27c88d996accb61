"""Splitting of long texts into chunks of bounded length, in linear time."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from cases import case_folder
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.text import HibariPhonemizer, SymbolTable, normalize, split_symbols, utterances
from tts_meta.text.normalize import split_long_sentence
from tts_meta.text.utterances import CHUNK_PAUSE, MAX_SYMBOLS, phoneme_utterances, split_long_phonemes


def test_a_long_sentence_is_split_at_clauses_conjunctions_and_words() -> None:
    clause = "he walked along the river for a long time, "
    assert split_long_sentence(clause * 4, 100) == [(clause * 2).strip()] * 2
    plain = "word " * 10 + "and " + "word " * 12
    assert split_long_sentence(plain, 80) == [("word " * 10).strip(), ("and " + "word " * 12).strip()]
    assert split_long_sentence("x" * 250, 100) == ["x" * 100, "x" * 100, "x" * 50]


@given(st.text("ab ,.;", max_size=400), st.integers(5, 60))
def test_splitting_a_sentence_keeps_every_letter(sentence: str, limit: int) -> None:
    chunks = split_long_sentence(sentence, limit)
    assert "".join("".join(chunks).split()) == "".join(sentence.split())
    assert all(0 < len(chunk) <= limit for chunk in chunks)


@given(st.lists(st.sampled_from(["j", "ˈu", "w", " ", ",", "."]), max_size=200).map("".join), st.integers(4, 30))
def test_splitting_phonemes_keeps_every_phone(phonemes: str, limit: int) -> None:
    chunks = split_long_phonemes(phonemes, limit)
    assert "".join(c for c in "".join(chunks) if c not in " ,.") == "".join(c for c in phonemes if c not in " ,.")
    assert len(phonemes) <= limit or all(len(split_symbols(chunk)) <= limit + 2 for chunk in chunks)


def test_three_thousand_words_without_a_full_stop_are_split(
    hibari: HibariPhonemizer, hibari_table: SymbolTable
) -> None:
    words = " ".join(["some words", "and more of them"] * 500)
    chunks = list(utterances(hibari, words))
    assert " ".join(chunk.text for chunk in chunks) == words
    assert all(len(hibari_table.encode(chunk.phonemes)) <= MAX_SYMBOLS for chunk in chunks)
    assert [chunk.pause for chunk in chunks] == [CHUNK_PAUSE] * (len(chunks) - 1) + [0.0]
    assert all(later.text.startswith("and") for _, later in pairwise(chunks)), "split before a conjunction"


def test_spelled_letters_do_not_exceed_the_limit(hibari: HibariPhonemizer, hibari_table: SymbolTable) -> None:
    chunks = list(utterances(hibari, "WWW " * 200))
    assert max(len(hibari_table.encode(chunk.phonemes)) for chunk in chunks) <= MAX_SYMBOLS + 2
    lines = list(phoneme_utterances("wˈʌn " * 1000 + "\ntˈu"))
    assert max(len(hibari_table.encode(line.phonemes)) for line in lines) <= MAX_SYMBOLS + 2


@pytest.mark.parametrize("name", ["slow.txt", "url.txt", "number.txt", "digits_odd.txt"])
def test_hostile_texts_are_processed_in_short_time(
    hibari: HibariPhonemizer, hibari_table: SymbolTable, name: str
) -> None:
    text = (case_folder("fuzz") / name).read_text(encoding="utf-8")
    start = time.process_time()
    for chunk in utterances(hibari, text):
        hibari_table.encode(chunk.phonemes)
    assert time.process_time() - start < 1.5
    if name == "number.txt":
        assert normalize(text) == "It has one undecillion atoms."


@pytest.mark.parametrize(
    "pattern",
    ["state-of-the-art-", "a/", "(a", "aB", "a.", "a'", "1,", "1/2 ", "x^2", '5"', "5'", "<a b='", "[a](", "*a "],
)
def test_processing_time_is_linear_in_the_length(hibari: HibariPhonemizer, pattern: str) -> None:
    def seconds(length: int) -> float:
        text = (pattern * length)[:length]
        start = time.process_time()
        for _ in utterances(hibari, f"Say {text}"):
            pass
        return time.process_time() - start

    short, long = min(seconds(400) for _ in range(3)), seconds(1600)
    assert long < 2 * 4 * short + 0.05, "a text that is 4 times as long takes less than 8 times as long"


def test_normalising_ordinary_text_is_fast() -> None:
    text = "They unite every quality; and you will find me, in 1850, referring to them as Mr. Smith's colorists. "

    def seconds() -> float:
        start = time.process_time()
        assert normalize(text * 200).count("eighteen fifty") == 200
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 0.2, "1,000 sentences a second"
