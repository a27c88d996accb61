"""Texts of the kinds that were read wrong, to phonemes and to bounded pieces."""

from __future__ import annotations

import csv
import time
from itertools import pairwise
from pathlib import Path

import pytest
from cases import CASES, case_folder
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.errors import TtsMetaError
from tts_meta.text import HibariPhonemizer, Lexicon, SymbolTable, normalize, split_symbols, utterances
from tts_meta.text.normalize import omitted_emoji, sentences_of, split_long_sentence
from tts_meta.text.utterances import CHUNK_PAUSE, MAX_SYMBOLS, phoneme_utterances, split_long_phonemes


@pytest.fixture(scope="module")
def hibari() -> HibariPhonemizer:
    return HibariPhonemizer()


@pytest.fixture(scope="module")
def table(hibari: HibariPhonemizer) -> SymbolTable:
    return SymbolTable.from_alphabet(hibari.alphabet())


SAME = [
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


@pytest.mark.parametrize(("case", "spoken"), SAME)
def test_a_case_is_read_as_its_words(hibari: HibariPhonemizer, case: str, spoken: str) -> None:
    written = (case_folder(case) / "text.txt").read_text(encoding="utf-8")
    assert normalize(written) == spoken
    assert hibari.phonemize(written) == hibari.phonemize(spoken)


@pytest.mark.parametrize(("case", "other"), [("text_nfd", "nfc.txt"), ("text_double_hyphen", "dash.txt")])
def test_a_case_is_read_as_its_other_writing(hibari: HibariPhonemizer, case: str, other: str) -> None:
    texts = [(case_folder(case) / name).read_text(encoding="utf-8") for name in ("text.txt", other)]
    assert split_symbols(hibari.phonemize(texts[0])) == split_symbols(hibari.phonemize(texts[1]))


def test_letters_of_other_scripts_are_an_error_that_names_them(hibari: HibariPhonemizer) -> None:
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
def test_each_script_that_cannot_be_read_is_named(text: str, letters: str) -> None:
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
def test_interjections_are_sounds_and_no_letter_names(hibari: HibariPhonemizer, written: str, phonemes: str) -> None:
    assert hibari.phonemize(written) == phonemes


def test_the_case_of_interjections_is_read_as_sounds_and_words(hibari: HibariPhonemizer) -> None:
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
def test_drawn_out_words_are_those_of_the_dictionary(hibari: HibariPhonemizer, written: str, spoken: str) -> None:
    assert hibari.phonemize(written) == hibari.phonemize(spoken)


@pytest.mark.parametrize(
    "text",
    ["He lives in the U.S.", "It is 5 p.m.", "We buy pens, etc.", 'He said, "I moved to the U.K."', "Not Acme Inc."],
)
def test_an_abbreviation_at_the_end_is_followed_by_a_full_stop(hibari: HibariPhonemizer, text: str) -> None:
    assert split_symbols(hibari.phonemize(text))[-2:] == [".", "$"]
    assert split_symbols(hibari.phonemize(text))[-3] not in (".", " ")


def test_no_is_a_word_and_the_sun_is_no_sunday(hibari: HibariPhonemizer) -> None:
    assert hibari.phonemize("He said no.") == "hˌi sˈɛd nˈO."
    assert hibari.phonemize("They sat in the sun.").endswith("sˈʌn.")
    assert "nˈʌmbəɹ" in hibari.phonemize("He lives in no. 5.")


@pytest.mark.parametrize(("written", "plain"), [("Łukasz", "Lukasz"), ("Nguyễn", "Nguyen"), ("Škoda", "Skoda")])
def test_letters_that_hibari_would_skip_are_read(hibari: HibariPhonemizer, written: str, plain: str) -> None:
    assert hibari.phonemize(written) == hibari.phonemize(plain)


SENTENCES = [
    ("Mr. J. R. R. Tolkien wrote. He was from the U.S. He died.", 3),
    ("It is 10 a.m. Monday. See you at 5 p.m. Then we eat.", 3),
    ("E.g. this one. The U.S. Army left. J.R.R. Tolkien stayed.", 3),
    ("He said no. Then he left.", 2),
    ("See No. 5 and p. 7. It is good.", 2),
    ("Dr. No lives on St. James St. It is nice.", 2),
    ('"Is it so?" she asked. "Yes!" he cried. They left.', 3),
    ("It costs 3.50 today. Version 2.0.1 is out. Really?", 3),
    ('"The first paragraph has no closing quote. It goes on.', 2),
    ("He has a Ph.D. in physics. She has none.", 2),
    ("Is this the end?No.It goes on.", 3),
]


@pytest.mark.parametrize(("text", "count"), SENTENCES)
def test_abbreviations_and_initials_end_no_sentence(text: str, count: int) -> None:
    assert len(list(sentences_of(text))) == count


def test_a_line_end_is_a_space_and_a_blank_line_a_break() -> None:
    text = "One line\nends here. Two\r\n\r\n\r\nThree\n \nFour"
    assert [tuple(sentence) for sentence in sentences_of(text)] == [
        ("One line ends here.", 0.25),
        ("Two", 0.5),
        ("Three", 0.5),
        ("Four", 0.0),
    ]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('Hello <break time="1s"/> there.', [("Hello", 1.0), ("there.", 0.0)]),
        ('Hi.<break time="500ms"/><break time=".25s"/> You.', [("Hi.", 0.75), ("You.", 0.0)]),
        ('<break strength="strong"/>Hi. <break/>', [("", 1.0), ("Hi.", 0.5)]),
        ('Hi <break strength="none"/> you <break time="1e9s"></break>.', None),
        ('Hi <break time="90s"/> you', [("Hi", 10.0), ("you", 0.0)]),
        ("Hi\n\n<break time='2s'/>\n\nyou", [("Hi", 2.0), ("you", 0.0)]),
    ],
)
def test_break_tags_are_pauses(text: str, read: list[tuple[str, float]] | None) -> None:
    if read is None:
        with pytest.raises(TtsMetaError, match=r'^<break time="1e9s">: not a time; write 500ms or 1\.5s$'):
            list(sentences_of(text))
        return
    assert [tuple(sentence) for sentence in sentences_of(text)] == read


def test_pictures_are_named_as_left_out() -> None:
    assert omitted_emoji("Great 😀👍 job") == "emoji are not spoken: 😀 👍"
    assert normalize("new \U0001fac6 picture") == "new picture"
    assert omitted_emoji("5 € → 3 °C • x²") is None


def test_a_long_sentence_is_cut_at_clauses_conjunctions_and_words() -> None:
    clause = "he walked along the river for a long time, "
    assert split_long_sentence(clause * 4, 100) == [(clause * 2).strip()] * 2
    plain = "word " * 10 + "and " + "word " * 12
    assert split_long_sentence(plain, 80) == [("word " * 10).strip(), ("and " + "word " * 12).strip()]
    assert split_long_sentence("x" * 250, 100) == ["x" * 100, "x" * 100, "x" * 50]


@given(st.text("ab ,.;", max_size=400), st.integers(5, 60))
def test_cut_sentences_keep_every_letter(sentence: str, most: int) -> None:
    pieces = split_long_sentence(sentence, most)
    assert "".join("".join(pieces).split()) == "".join(sentence.split())
    assert all(0 < len(piece) <= most for piece in pieces)


@given(st.lists(st.sampled_from(["j", "ˈu", "w", " ", ",", "."]), max_size=200).map("".join), st.integers(4, 30))
def test_cut_phonemes_keep_every_phone(phonemes: str, most: int) -> None:
    pieces = split_long_phonemes(phonemes, most)
    assert "".join(c for c in "".join(pieces) if c not in " ,.") == "".join(c for c in phonemes if c not in " ,.")
    assert len(phonemes) <= most or all(len(split_symbols(piece)) <= most + 2 for piece in pieces)


def test_three_thousand_words_without_a_stop_are_bounded_pieces(hibari: HibariPhonemizer, table: SymbolTable) -> None:
    words = " ".join(["some words", "and more of them"] * 500)
    pieces = list(utterances(hibari, words))
    assert " ".join(piece.text for piece in pieces) == words
    assert all(len(table.encode(piece.phonemes)) <= MAX_SYMBOLS for piece in pieces)
    assert [piece.pause for piece in pieces] == [CHUNK_PAUSE] * (len(pieces) - 1) + [0.0]
    assert all(later.text.startswith("and") for _, later in pairwise(pieces)), "cut before a conjunction"


def test_spelled_letters_do_not_exceed_the_bound(hibari: HibariPhonemizer, table: SymbolTable) -> None:
    pieces = list(utterances(hibari, "WWW " * 200))
    assert max(len(table.encode(piece.phonemes)) for piece in pieces) <= MAX_SYMBOLS + 2
    lines = list(phoneme_utterances("wˈʌn " * 1000 + "\ntˈu"))
    assert max(len(table.encode(line.phonemes)) for line in lines) <= MAX_SYMBOLS + 2


@pytest.mark.parametrize("name", ["slow.txt", "url.txt", "number.txt", "digits_odd.txt"])
def test_hostile_texts_are_read_at_once(hibari: HibariPhonemizer, table: SymbolTable, name: str) -> None:
    text = (case_folder("fuzz") / name).read_text(encoding="utf-8")
    began = time.process_time()
    for piece in utterances(hibari, text):
        table.encode(piece.phonemes)
    assert time.process_time() - began < 1.5
    if name == "number.txt":
        assert normalize(text) == "It has one undecillion atoms."


@pytest.mark.parametrize(
    "pattern",
    ["state-of-the-art-", "a/", "(a", "aB", "a.", "a'", "1,", "1/2 ", "x^2", '5"', "5'", "<a b='", "[a](", "*a "],
)
def test_twice_the_length_takes_at_most_twice_the_time(hibari: HibariPhonemizer, pattern: str) -> None:
    def seconds(length: int) -> float:
        text = (pattern * length)[:length]
        began = time.process_time()
        for _ in utterances(hibari, f"Say {text}"):
            pass
        return time.process_time() - began

    short, long = min(seconds(400) for _ in range(3)), seconds(1600)
    assert long < 4 * 2 * short + 0.05


def test_normalization_of_ordinary_text_is_fast() -> None:
    text = "They unite every quality; and you will find me, in 1850, referring to them as Mr. Smith's colorists. "

    def seconds() -> float:
        began = time.process_time()
        assert normalize(text * 200).count("eighteen fifty") == 200
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 0.2, "1,000 sentences a second"


def test_transcripts_of_the_corpus_keep_their_words() -> None:
    manifest = CASES.parent / "corpus" / "manifest.tsv"
    if not manifest.is_file():
        pytest.skip("needs ../shared/corpus, which is not part of the repository")
    checked = 0
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[::5]:
            for text in filter(None, (row["text"], row["text_punctuated"])):
                plain = text.replace("--", " ").replace(" - ", " ")
                if all(character.isalpha() or character in " ,;?!'" for character in plain.rstrip(".")):
                    assert _words(normalize(text)) == _words(plain), text
                    checked += 1
    assert checked > 900


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


LEXICON = """# names
Nguyen\twˈɪn
tsk   /tˈɪsk/
Siobhan shivawn
New York\tnuw yawk
US\tjˌuˈɛs
C++\tsee plus plus   # a sign
"""


def test_a_lexicon_is_read_and_used(hibari: HibariPhonemizer, table: SymbolTable, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(LEXICON, encoding="utf-8")
    lexicon = Lexicon.load(path, table)
    assert hibari.phonemize("Mr. Nguyen left.", lexicon) == "mˈɪstəɹ wˈɪn lˈɛft."
    assert hibari.phonemize("NGUYEN's", lexicon) == "wˈɪnz"
    assert hibari.phonemize("nguyens", lexicon) == hibari.phonemize("nguyens")
    assert hibari.phonemize("Siobhan in New York", lexicon) == hibari.phonemize("shivawn in nuw yawk")
    assert hibari.phonemize("Give us C++.", lexicon) == hibari.phonemize("Give us see plus plus.")
    assert hibari.phonemize("in the US", lexicon).endswith("jˌuˈɛs")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Nguyen", "line 2: no pronunciation after 'Nguyen'"),
        ("Nguyen wˈɪnж", "line 2: unknown symbol 'ж' in 'wˈɪnж'"),
        ("one wˈʌn", "line 2: 'one' already has an entry"),
        ("3M θɹˈi", "line 2: '3M' holds a digit or sign"),
        ("++ plus", r"line 2: '\+\+' is not a word"),
        ("x //", "line 2: "),
    ],
)
def test_a_lexicon_names_the_line_at_fault(table: SymbolTable, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(f"one wˈʌn\n{line}\n", encoding="utf-8")
    with pytest.raises(TtsMetaError, match=message) as error:
        Lexicon.load(path, table)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_lexicon_that_is_no_text_is_refused(table: SymbolTable, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="cannot be read"):
        Lexicon.load(tmp_path / "none.txt", table)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(TtsMetaError, match="not UTF-8"):
        Lexicon.load(tmp_path / "bytes", table)
