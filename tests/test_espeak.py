"""`EspeakPhonemizer`: phonemes by eSpeak NG (extra `multilingual`)."""

from __future__ import annotations

import pytest

from tts_meta.errors import TtsMetaError
from tts_meta.text import Lexicon, SymbolTable, load_phonemizer

pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `multilingual` is not installed")


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [("fr-fr", "Bonjour, le monde.", "bɔ̃ʒˈuʁ, lə- mˈɔ̃d."), ("de", "Guten Tag!", "ɡˈuːtən tˈɑːk!")],
)
def test_known_sentences_have_the_phonemes_of_their_language(code: str, text: str, expected: str) -> None:
    assert load_phonemizer(f"espeak:{code}").phonemize(text) == expected


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("fr-fr", "L'œuf est tombé ; personne n'a rien vu."),
        ("de", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich."),
        ("es", "¿Qué hora es? El pingüino comió kilos de exquisita carne."),
        ("en-us", "The quick brown fox jumps over the lazy dog."),
    ],
)
def test_every_symbol_of_a_sentence_is_in_the_alphabet(code: str, text: str) -> None:
    phonemizer = load_phonemizer(f"espeak:{code}")
    table = SymbolTable.from_alphabet(phonemizer.alphabet())
    assert len(table.encode(phonemizer.phonemize(text), text)) > 10


def test_the_error_for_an_unknown_language_names_it() -> None:
    with pytest.raises(TtsMetaError, match="no language 'qq'"):
        load_phonemizer("espeak:qq")


def test_markup_is_removed_and_signs_are_left_to_espeak() -> None:
    phonemizer = load_phonemizer("espeak:fr-fr")
    text = "Tom &amp; **Jerry** 😀\n\nIl a 3,5 km et 10 €."
    assert [sentence.text for sentence in phonemizer.sentences(text)] == ["Tom & Jerry", "Il a 3,5 km et 10 €."]
    assert phonemizer.phonemize(text).endswith("dˈiz əʁˈo.")
    assert "(" not in phonemizer.phonemize("Tom et Jerry"), "no marks for a switch of language"


def test_a_pronunciation_of_the_lexicon_is_inserted_between_its_neighbours() -> None:
    phonemizer = load_phonemizer("espeak:fr-fr")
    phonemes = phonemizer.phonemize("Ici Nguyen est.", Lexicon({"Nguyen": "wˈɪn"}))
    assert phonemes == f"{phonemizer.phonemize('Ici')} wˈɪn {phonemizer.phonemize('est.')}"
