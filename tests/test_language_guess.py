"""The guess of a text's language: it finds clear texts, and it is silent on short and mixed ones."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tts_meta.text.language_guess import guess_language, language_notice

TEXTS = {
    "de": "Der alte Mann ging langsam durch den Wald, und er war nicht müde.",
    "es": "El niño no se fue y los padres están en casa con una amiga.",
    "fr": "Bonjour, je ne suis pas là et vous êtes dans la maison du voisin.",
    "it": "Il ragazzo non è a casa, ma la madre di Anna è con una amica.",
    "nl": "Het is een mooie dag en de kinderen spelen met de hond van Jan.",
    "pt": "O menino não foi para a escola e os pais estão em casa com uma amiga.",
    "en": "The cat is on the mat, and it was there for a day.",
}


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("expected", TEXTS)
def test_a_clear_text_is_found_and_the_language_of_the_base_is_silent(language: str, expected: str) -> None:
    assert guess_language([TEXTS[language]], expected) == (None if language == expected else language)


@pytest.mark.parametrize(
    "text",
    ["", "Guten Tag!", "Das Meeting im Office war ein Highlight", "Die, said the man of the house.", "x y z " * 9],
)
def test_short_and_mixed_texts_give_no_guess(text: str) -> None:
    assert guess_language([text], "en") is None


def test_a_base_of_an_unknown_language_gives_no_guess() -> None:
    assert guess_language([TEXTS["de"]], "qya") is None


def test_the_notice_names_both_languages() -> None:
    assert language_notice(TEXTS["de"], "en") == "the text seems to be in 'de', but the base reads 'en'"
    assert language_notice(TEXTS["en"], "en") is None


def test_no_sentence_of_real_english_is_taken_for_another_language(shared_corpus: Path) -> None:
    with open(shared_corpus / "manifest.tsv", encoding="utf-8", newline="") as file:
        texts = [row["text_punctuated"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert len(texts) > 4000 and not [text for text in texts if guess_language([text], "en")]
