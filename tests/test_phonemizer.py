"""`HibariPhonemizer`: texts of many kinds to phonemes, interjections, and errors for other scripts."""

from __future__ import annotations

import pytest
from cases import case_folder

from tts_meta.errors import TtsMetaError
from tts_meta.text import BOUNDARIES, HibariPhonemizer, SymbolTable, load_phonemizer, normalize, split_symbols

NORMALISED = [
    ("text_apostrophes", "I don't know, you don't know, we don't know."),
    ("text_double_hyphen", "I said—and I mean it—that you should go."),
    ("text_soft_hyphen", "For example, they cooperate in a wonderful way."),
    ("text_markup", "Heading. Tom and Jerry are gone here."),
    (
        "text_numbers",
        "He is six foot two tall. He paid ten thousand euros. It costs fifteen euros and fifty cents, three hundred "
        "yen and four dollars. It took one and a half hours. Use version two point zero point one at one nine two "
        "dot one six eight dot zero dot one.",
    ),
    ("text_url", "Visit WWW dot example dot com slash page or WWW dot example dot org now."),
]


@pytest.mark.parametrize(("case", "spoken"), NORMALISED)
def test_a_text_has_the_phonemes_of_its_normalised_words(hibari: HibariPhonemizer, case: str, spoken: str) -> None:
    written = (case_folder(case) / "text.txt").read_text(encoding="utf-8")
    assert normalize(written) == spoken
    assert hibari.phonemize(written) == hibari.phonemize(spoken)


@pytest.mark.parametrize(("case", "other"), [("text_nfd", "nfc.txt"), ("text_double_hyphen", "dash.txt")])
def test_two_writings_of_a_text_have_the_same_symbols(hibari: HibariPhonemizer, case: str, other: str) -> None:
    texts = [(case_folder(case) / name).read_text(encoding="utf-8") for name in ("text.txt", other)]
    assert split_symbols(hibari.phonemize(texts[0])) == split_symbols(hibari.phonemize(texts[1]))


def test_the_error_for_letters_of_other_scripts_names_them(hibari: HibariPhonemizer) -> None:
    folder = case_folder("text_cyrillic_greek")
    with pytest.raises(TtsMetaError) as error:
        hibari.phonemize((folder / "text.txt").read_text(encoding="utf-8"))
    assert str(error.value) == (
        "cannot read 'Привет' in \"Hello Привет there.\"; write it in English letters (not English: П (Cyrillic) "
        "р (Cyrillic) и (Cyrillic) в (Cyrillic) е (Cyrillic) т (Cyrillic))"
    )
    with pytest.raises(TtsMetaError, match="cannot read 'καλημέρα'"):
        hibari.phonemize((folder / "word.txt").read_text(encoding="utf-8"))
    assert normalize((folder / "greek.txt").read_text(encoding="utf-8")) == (
        "The alpha and beta particles are five micrometers wide."
    )


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("p\u0430ypal", "а (Cyrillic)"),
        ("שלום", "ש (Hebrew)"),
        ("مرحبا", "م (Arabic)"),
        ("日本", "日 (Cjk)"),
        ("ok \ufffd ok", "U+FFFD"),
        ("a \udc80 b", r"\udc80"),
    ],
)
def test_the_error_names_the_script_of_unreadable_letters(text: str, letters: str) -> None:
    with pytest.raises(TtsMetaError, match=r"^cannot read ") as error:
        normalize(text)
    assert letters in str(error.value) and "\n" not in str(error.value)
    str(error.value).encode("utf-8")


@pytest.mark.parametrize(
    ("written", "phonemes"),
    [
        ("Shh!", "ʃʃ!"),
        ("Brrr!", "bɹˈɜɹ!"),
        ("Pfft.", "pfft."),
        ("Grrr!", "ɡɹˈɜɹ!"),
        ("Hmm…", "hmm…"),
        ("Mmmm.", "mm."),
        ("Psst!", "pst!"),
        ("Tsk, tsk.", "tˈɪsk, tˈɪsk."),
        ("Zzzz.", "zzz."),
        ("SHH!", "ʃʃ!"),
        ("BRRR!", "bɹˈɜɹ!"),
        ("FBI and NYC", "ˌɛfbˌiˈI ænd ˌɛnwˌIsˈi"),
        ("WWW", "dˌʌbᵊljudˌʌbᵊljudˈʌbᵊlju"),
        ("AAA", "ˌAˌAˈA"),
        ("PST", "pˌiˌɛstˈi"),
    ],
)
def test_interjections_are_sounds_and_acronyms_are_spelled(
    hibari: HibariPhonemizer, written: str, phonemes: str
) -> None:
    assert hibari.phonemize(written) == phonemes


def test_a_text_of_interjections_has_the_expected_phonemes(hibari: HibariPhonemizer) -> None:
    written = (case_folder("text_interjections") / "text.txt").read_text(encoding="utf-8")
    no, good = hibari.phonemize("No!"), hibari.phonemize("That is so good.")
    assert hibari.phonemize(written).split() == [*no.split(), "ʃʃ!", "bɹˈɜɹ!", "pfft.", "ɡɹˈɜɹ!", *good.split()]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Nooooo!", "No!"),
        ("NOOOOO!", "NO!"),
        ("That is sooooo good.", "That is so good."),
        ("Goooood, yesss, heyyyy, whaaaat, coooool!", "Good, yes, hey, what, cool!"),
        ("It was looooove.", "It was love."),
    ],
)
def test_elongated_words_are_read_as_the_words_of_the_dictionary(
    hibari: HibariPhonemizer, written: str, spoken: str
) -> None:
    assert hibari.phonemize(written) == hibari.phonemize(spoken)


@pytest.mark.parametrize(
    "text",
    ["He lives in the U.S.", "It is 5 p.m.", "We buy pens, etc.", 'He said, "I moved to the U.K."', "Not Acme Inc."],
)
def test_an_abbreviation_at_the_end_of_a_text_has_one_full_stop(hibari: HibariPhonemizer, text: str) -> None:
    assert split_symbols(hibari.phonemize(text))[-2:] == [".", "$"]
    assert split_symbols(hibari.phonemize(text))[-3] not in (".", " ")


def test_no_and_sun_are_words_and_not_abbreviations(hibari: HibariPhonemizer) -> None:
    assert hibari.phonemize("He said no.") == "hˌi sˈɛd nˈO."
    assert hibari.phonemize("They sat in the sun.").endswith("sˈʌn.")
    assert "nˈʌmbəɹ" in hibari.phonemize("He lives in no. 5.")


@pytest.mark.parametrize(("written", "ascii_form"), [("Łukasz", "Lukasz"), ("Nguyễn", "Nguyen"), ("Škoda", "Skoda")])
def test_latin_letters_that_hibari_lacks_are_read(hibari: HibariPhonemizer, written: str, ascii_form: str) -> None:
    assert hibari.phonemize(written) == hibari.phonemize(ascii_form)


def test_the_error_for_an_unknown_phonemizer_lists_the_known_ones() -> None:
    with pytest.raises(TtsMetaError, match=r"unknown phonemizer 'espeek'; use one of: .*hibari"):
        load_phonemizer("espeek")
    assert load_phonemizer("hibari").name == "hibari"


def test_numbers_currency_dates_and_titles_are_verbalised(hibari: HibariPhonemizer) -> None:
    pairs = [
        ("I paid $5 for 3 of them.", "I paid five dollars for three of them."),
        ("Dr. Smith came.", "Doctor Smith came."),
        ("The 2nd of May.", "The second of May."),
    ]
    for written, spoken in pairs:
        assert hibari.phonemize(written) == hibari.phonemize(spoken)


def test_heteronyms_have_different_phonemes(hibari: HibariPhonemizer) -> None:
    assert hibari.phonemize("I read it yesterday.").split()[1] != hibari.phonemize("I will read it.").split()[2]


def test_texts_of_many_kinds_have_only_symbols_of_the_table(
    hibari: HibariPhonemizer, hibari_table: SymbolTable
) -> None:
    texts = [
        "The birch canoe slid on the smooth planks.",
        "Where did you put the keys, and who has them now?",
        "“Well,” said she — (quite softly) — “it's 12:30; on 3/4/1999: 50% of $1,234.56!”",
        "A naïve café-owner in Zürich e-mailed J. R. R. Tolkien's M.P., etc…",
        "Zxqwv brrr hmm, shh! ÆTHER UPPER lower MiXeD 3rd 1st 22nd #1 & @home a_b x=y^2",
        "Her measure of the azure garage: genre, loch, uh-oh, button, bottle, rhythm.",
    ]
    for text in texts:
        symbols = hibari_table.decode(hibari_table.encode(hibari.phonemize(text), text))
        assert len(symbols) > 10
    assert "," in hibari_table.decode(hibari_table.encode(hibari.phonemize(texts[1])))
    assert hibari_table.decode(hibari_table.encode(hibari.phonemize(texts[1])))[-2:] == ["?", "$"]


@pytest.mark.parametrize("word", ["ai", "wp", "zxqwv", "mwvsnbmw", "ghghtsusch", "czcqbche", "jrswj", "tsugheauka"])
def test_misplaced_stress_marks_of_predicted_words_are_removed(
    hibari: HibariPhonemizer, hibari_table: SymbolTable, word: str
) -> None:
    phonemes = hibari.phonemize(f"They call it {word} here.")
    assert len(hibari_table.encode(phonemes)) > 10 and phonemes.endswith("hˈɪɹ.")


def test_the_error_for_an_unreadable_word_names_it_and_its_sentence(hibari: HibariPhonemizer) -> None:
    with pytest.raises(TtsMetaError, match=r"^cannot read '你好' in .Say 你好 to him\..;"):
        hibari.phonemize("It is late. Say 你好 to him.")
    assert hibari.phonemize("It costs 5 € — 😀 yes.").endswith("jˈɛs.")


def test_sentences_are_normalised_and_have_pauses(hibari: HibariPhonemizer) -> None:
    sentences = list(hibari.sentences("It is  late. Mr. Jones left!\n\nDid he pay $3.50? Yes."))
    assert [sentence.text for sentence in sentences] == [
        "It is late.",
        "Mister Jones left!",
        "Did he pay three dollars and fifty cents?",
        "Yes.",
    ]
    assert [sentence.pause for sentence in sentences] == [0.25, 0.5, 0.25, 0.0]


def test_the_alphabet_holds_each_symbol_once(hibari: HibariPhonemizer) -> None:
    alphabet = hibari.alphabet()
    assert len(set(alphabet)) == len(alphabet)
    assert not set(alphabet) & {"^", "$", *BOUNDARIES}
