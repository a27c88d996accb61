"""`EspeakPhonemizer`: phonemes by eSpeak NG (extra `multilingual`)."""

from __future__ import annotations

import random
import sys
import unicodedata

import pytest

from tts_meta.errors import TtsMetaError
from tts_meta.text import BOUNDARIES, Lexicon, Phonemizer, SymbolTable, load_phonemizer, utterances
from tts_meta.text.languages import language_of_phonemizer, phonemizer_of_language

pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `multilingual` is not installed")

PLAIN = {
    "de": "zwölf boxkämpfer jagen viktor quer über den großen sylter deich und die möwen schreien laut",
    "es": "el pingüino comió kilos de exquisita carne y la cigüeña vio al niño que hablaba despacio",
    "fr-fr": "l'œuf est tombé et personne n'a rien vu dans la maison du voisin qui chantait une chanson",
}
"""Sentences with most sounds of a language and no foreign word."""
FOREIGN = {
    "de": ("Das Meeting im Office war ein Highlight.", "Der Thriller läuft am Weekend.", "Wir skypen mit dem CEO!"),
    "es": ("Me gusta el marketing y el software.", "El thriller del weekend, ¡qué show!", "Hice el check-in online."),
    "fr-fr": ("Le week-end, je fais du shopping.", "Un thriller au parking ?", "Le meeting du lundi : cool."),
}
"""Sentences with English words."""
PIECES = (
    *"abcdefghijklmnopqrstuvwxyzäöüßñçéèàABCDEFÄÖ0123456789 .,:;!?-–—()[]{}'",
    *'"„“”«»¿¡/\\@#&%€$£°ºª²½§*_+=<>|~^`´…\t\n\u200b\u00ad\u0301☃😀\ufdd0\x00',
    *("z. B. ", "Dr. ", "3. Mai ", "14:30", "1.234,5", "5-10", "XIV ", "km/h", "(en)", "week-end "),
    *("<break/>", "<b>", "&amp;"),
)
"""Characters and words of random texts."""


def of(code: str) -> Phonemizer:
    return load_phonemizer(f"espeak:{code}")


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("fr-fr", "Bonjour, le monde.", "bɔ̃ʒˈuʁ, lə mˈɔ̃d."),
        ("de", "Guten Tag!", "ɡˈuːtən tˈɑːk!"),
        ("es", "¿Qué hora es?", "¿kˈe ˈoɾa ˈes?"),
    ],
)
def test_known_sentences_have_the_phonemes_of_their_language(code: str, text: str, expected: str) -> None:
    assert of(code).phonemize(text) == expected


@pytest.mark.parametrize("code", PLAIN)
def test_flags_of_a_switched_language_never_reach_the_symbols(code: str) -> None:
    phonemizer = of(code)
    for text in FOREIGN[code]:
        phonemes = phonemizer.phonemize(text)
        assert not set(phonemes) & set("()-_"), phonemes
        assert all(
            unicodedata.category(letter) in ("Ll", "Lm", "Mn") for letter in phonemes if letter not in " .,:!?¡¿"
        )


def test_the_flags_are_really_there_without_the_phonemizer() -> None:
    phonemizer = of("fr-fr")
    backend = phonemizer._backend  # type: ignore[attr-defined]
    assert "(en)" in backend.phonemize(["le parking"])[0]


@pytest.mark.parametrize("code", PLAIN)
def test_foreign_sounds_become_sounds_of_the_base(code: str) -> None:
    table = SymbolTable.from_alphabet(of(code).alphabet([PLAIN[code]]))
    restricted = load_phonemizer(f"espeak:{code}", table.symbols)
    for text in FOREIGN[code]:
        spoken = table.decode(table.encode(restricted.phonemize(text), text))
        assert len(spoken) > 0.8 * len(of(code).phonemize(text).replace(" ", "")) / 2, (
            "sounds are replaced, not dropped"
        )


def test_a_base_of_german_reads_an_english_th_as_s() -> None:
    known = load_phonemizer("espeak:de").alphabet([PLAIN["de"]])
    assert "θ" not in known and "θ" in of("en-us").phonemize("thin")
    assert load_phonemizer("espeak:en-us", known).phonemize("thin")[0] in "sz"


def test_the_alphabet_leaves_out_sounds_that_are_rare_in_the_texts() -> None:
    phonemizer = of("de")
    texts = ["das alte haus am see " * 200] * 40
    assert "ʒ" in phonemizer.alphabet([*texts[:1], "die garage"])
    assert "ʒ" not in phonemizer.alphabet([*texts, "die garage"])


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Es waren 1.234 Leute, um 14:30 Uhr.", ",."),
        ("Er sagte: „Guten Tag“ – und ging …", ":—…"),
        ("Ein (kleines) Beispiel?", ",,?"),
        ("Eins; zwei: drei, vier!", ";:,!"),
        ("Das u.a. von a.b.", "."),
    ],
)
def test_marks_of_punctuation_become_boundaries_and_numbers_stay_whole(text: str, marks: str) -> None:
    phonemizer = of("de")
    table = SymbolTable.from_alphabet(phonemizer.alphabet([text]))
    symbols = table.decode(table.encode(phonemizer.phonemize(text), text))[1:-1]
    assert "".join(symbol for symbol in symbols if symbol in BOUNDARIES and symbol != " ") == marks


@pytest.mark.parametrize("code", PLAIN)
def test_every_text_gives_symbols_of_the_base_or_one_clear_error(code: str) -> None:
    table = SymbolTable.from_alphabet(of(code).alphabet([PLAIN[code]]))
    phonemizer = load_phonemizer(f"espeak:{code}", table.symbols)
    draw = random.Random(code)
    for _ in range(200):
        text = "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 40)))
        try:
            for utterance in utterances(phonemizer, text):
                assert not utterance.text or len(table.encode(utterance.phonemes, utterance.text)) > 2
        except TtsMetaError as error:
            assert "nothing to speak in" in str(error), text


def test_a_number_with_points_and_commas_is_one_number() -> None:
    german, spanish = of("de"), of("es")
    assert german.phonemize("1.234.567") == german.phonemize("1234567")
    assert "kɔmɑː" in german.phonemize("3,5") and "kˌoma" in spanish.phonemize("1.234,5")


def test_a_stress_mark_is_always_before_a_sound() -> None:
    for code, texts in FOREIGN.items():
        for text in (*texts, PLAIN[code]):
            phonemes = of(code).phonemize(text)
            for mark, after in zip(phonemes, phonemes[1:] + " ", strict=True):
                assert mark not in "ˈˌ" or (after.isalpha() and after not in "ˈˌ"), phonemes


@pytest.mark.parametrize("text", ["", "'", "«»", "…", "-", "☃", "\u200b"])
def test_a_text_that_espeak_reads_as_nothing_is_one_clear_error(text: str) -> None:
    assert of("de").phonemize(text) == ""
    with pytest.raises(TtsMetaError, match="nothing to speak"):
        list(utterances(of("de"), text))


@pytest.mark.parametrize(
    ("code", "text", "parts"),
    [
        ("de", "Ich mag мир.", ("reads 'de'", "Latin letters", "м (Cyrillic)")),
        ("es", "你好", ("reads 'es'", "Latin letters")),
        ("el", "Привет", ("reads 'el'", "Latin or Greek letters")),
        ("ru", "Γειά σου", ("reads 'ru'", "Latin or Cyrillic letters")),
        ("de", "a\ufffdb", ("U+FFFD",)),
    ],
)
def test_letters_of_another_script_are_one_clear_error(code: str, text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(TtsMetaError) as error:
        of(code).phonemize(text)
    assert all(part in str(error.value) for part in parts) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "text"), [("ru", "Привет, мир!"), ("el", "Γειά σου"), ("cmn", "你好"), ("hi", "नमस्ते")]
)
def test_languages_with_other_scripts_have_symbols(code: str, text: str) -> None:
    phonemizer = of(code)
    table = SymbolTable.from_alphabet(phonemizer.alphabet([text]))
    assert len(table.encode(phonemizer.phonemize(text), text)) > 5


def test_one_greek_letter_is_read_by_its_name() -> None:
    assert of("de").phonemize("α") == "ˈalfa"


def test_the_error_for_an_unknown_language_names_it() -> None:
    with pytest.raises(TtsMetaError, match="no language 'qq'"):
        of("qq")


def test_a_missing_extra_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    for call in (lambda: of("de"), lambda: phonemizer_of_language("de")):
        with pytest.raises(TtsMetaError, match=r"^eSpeak is not installed; install it with: pip install '.\[multili"):
            call()


@pytest.mark.parametrize(
    ("language", "name"),
    [
        *(("de", "espeak:de"), ("de-DE", "espeak:de"), ("German", "espeak:de"), ("deu", "espeak:de")),
        *(("fr", "espeak:fr-fr"), ("fr_CH", "espeak:fr-ch"), ("pt-BR", "espeak:pt-br"), ("zh-CN", "espeak:cmn")),
        *(("nb-NO", "espeak:nb"), ("en", "hibari"), ("en-GB", "hibari")),
    ],
)
def test_each_language_has_its_phonemizer(language: str, name: str) -> None:
    assert phonemizer_of_language(language) == name


@pytest.mark.parametrize("language", ["", "auto", "7", "not a language", "qq"])
def test_what_is_no_language_is_one_clear_error(language: str) -> None:
    with pytest.raises(TtsMetaError, match=r"is not a language; write a code|eSpeak has no language"):
        phonemizer_of_language(language)


def test_the_language_of_a_phonemizer_is_a_code_of_whisper() -> None:
    names = ("hibari", "espeak:fr-fr", "espeak:cmn", "espeak:nb", "espeak:pt-br")
    assert [language_of_phonemizer(name) for name in names] == ["en", "fr", "zh", "no", "pt"]


def test_markup_is_removed_and_signs_are_left_to_espeak() -> None:
    phonemizer = of("fr-fr")
    text = "Tom &amp; **Jerry** 😀\n\nIl a 3,5 km et 10 €."
    assert [sentence.text for sentence in phonemizer.sentences(text)] == [
        "Tom & Jerry",
        "Il a 3,5 kilomètres et 10 euros.",
    ]
    assert phonemizer.phonemize(text).endswith("dˈiz øʁˈo.")


def test_a_pronunciation_of_the_lexicon_is_inserted_between_its_neighbours() -> None:
    phonemizer = of("fr-fr")
    phonemes = phonemizer.phonemize("Ici Nguyen est.", Lexicon({"Nguyen": "wˈɪn"}))
    assert phonemes == f"{phonemizer.phonemize('Ici')} wˈɪn {phonemizer.phonemize('est.')}"
