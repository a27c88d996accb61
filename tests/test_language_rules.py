"""Normalisation of German, Spanish and French: written forms that eSpeak reads wrong become words."""

from __future__ import annotations

import pytest

from tts_meta.text import normalize
from tts_meta.text.normalize import sentences_of

GERMAN = {
    "Am 3. Oktober 1990 war es so.": "Am dritten Oktober neunzehnhundertneunzig war es so.",
    "Der 2. Weltkrieg begann 1939.": "Der zweite Weltkrieg begann neunzehnhundertneununddreißig.",
    "3.10.2020 und 2020-03-12": "dritter Oktober 2020 und zwölfter März 2020",
    "Um 14:30 Uhr, um 8:00 und um 9.05 Uhr.": "Um 14 Uhr 30, um 8 Uhr und um 9 Uhr 5.",
    "z. B. Dr. Müller bzw. Prof. Schmidt": "Zum Beispiel Doktor Müller beziehungsweise Professor Schmidt",
    "Es kostet 3,50 €, $5 oder 2,00 €.": "Es kostet 3 Euro 50, 5 Dollar oder 2 Euro.",
    "100 km/h, 5 m², -5 °C und 10 %": "100 Kilometer pro Stunde, 5 Quadratmeter, -5 Grad Celsius und 10 %",
    "1990 Euro und 5-10 Tage": "1990 Euro und 5 bis 10 Tage",
    "Heinrich IV. war König.": "Heinrich der vierte war König.",
    "In der Hauptstr. 5 wohnen Leute.": "In der Hauptstraße 5 wohnen Leute.",
    "1/2 Liter, 1 1/2 Liter, 2 3/4": "einhalb Liter, eineinhalb Liter, 2 drei Viertel",
}
SPANISH = {
    "El Sr. García y la Dra. López, pág. 5.": "El señor García y la doctora López, página 5.",
    "12/03/2020 y 1/1/2020": "12 de marzo de 2020 y primero de enero de 2020",
    "3,50 € y 1 €, p. ej.": "3 euros con 50 y 1 euro, por ejemplo.",
    "El 1.er día, la 2.ª vez, n.º 5": "El primer día, la 2ª vez, número 5",
    "5 km/h, 1 km y 20 °C": "5 kilómetros por hora, 1 kilómetro y 20 grados Celsius",
}
FRENCH = {
    "M. Dupont et Mme Durand": "Monsieur Dupont et madame Durand",
    "Louis XIV, au XVIIIe siècle, le 2e": "Louis 14, au dix-huitième siècle, le deuxième",
    "Le 1er mai, la 1re fois, 12/03/2020": "Le premier mai, la première fois, 12 mars 2020",
    "c.-à-d. 44 av. J.-C. et p. ex. 5 km/h": "C'est-à-dire 44 avant Jésus-Christ et par exemple 5 kilomètres par heure",
    "1 234,5 € et 3,50 €": "1 234,5 euros et 3 euros 50",
}
CASES = [
    (code, *pair) for code, table in (("de", GERMAN), ("es", SPANISH), ("fr-fr", FRENCH)) for pair in table.items()
]


@pytest.mark.parametrize(("code", "written", "spoken"), CASES)
def test_written_forms_become_words_of_their_language(code: str, written: str, spoken: str) -> None:
    assert normalize(written, code) == spoken


@pytest.mark.parametrize(
    ("code", "text", "count"),
    [
        ("de", "Er kam auf Platz 3. Danach ging er.", 2),
        ("de", "Am 3. Mai und am 24. Dezember, d. h. bald. Ja.", 2),
        ("de", "Brot, Milch usw. Das reicht. Er lebt in den USA. Die EU auch.", 4),
        ("de", "J. S. Bach schrieb Fugen.", 1),
        ("es", "D. José vive en EE. UU. Allí trabaja, etc. ¿Y tú? ¡Bien!", 4),
        ("fr-fr", "M. Dupont dort. Il rêve, etc. Pourquoi ? Voilà !", 4),
    ],
)
def test_the_dot_of_an_abbreviation_or_ordinal_does_not_end_a_sentence(code: str, text: str, count: int) -> None:
    assert len(list(sentences_of(text, code))) == count


@pytest.mark.parametrize("code", ["de", "es", "fr-fr", "it", "nl"])
def test_the_rules_of_english_do_not_run_on_other_languages(code: str) -> None:
    text = "Mr. X, 3/4/1999, 5 pm, a@b.org und www.x.org"
    spoken = normalize(text, code)
    for word in ("Mister", "ninety", "dot", "slash", "fourth"):
        assert word not in spoken


def test_a_language_without_rules_leaves_numbers_to_espeak() -> None:
    assert normalize("Il 3 maggio 2024 costa 3,50 €.", "it") == "Il 3 maggio 2024 costa 3,50 €."


def test_a_long_compound_of_german_stays_one_word() -> None:
    word = "Donaudampfschifffahrtsgesellschaftskapitän"
    assert normalize(word, "de") == word
    assert normalize("x" * 200, "de").count(" ") == 2


def test_say_as_leaves_digits_to_espeak_and_speak_must_name_the_language_of_the_base() -> None:
    assert normalize('<say-as interpret-as="digits">123</say-as>', "de") == "1 2 3"
    assert normalize('<speak xml:lang="de-DE">Ja.</speak>', "de") == "Ja."
    with pytest.raises(Exception, match="the base reads 'en'; give a text in 'en', or a base for 'de'"):
        normalize('<speak xml:lang="de">Ja.</speak>')
