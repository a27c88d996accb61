"""Fuzzing of text normalisation, phonemizer, symbols and pronunciation files."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

from fuzzing import Target
from hibari.g2p import numbers
from hypothesis import strategies as st

from tts_meta.text import HibariPhonemizer, Lexicon, SymbolTable, normalize, phoneme_utterances, utterances
from tts_meta.text.utterances import MAX_SYMBOLS

# Each string is split at spaces.
WORDS = "the a I it No no. one river said and, Mr. Dr. St. e.g. etc. p.m. U.S. J. Nooooo Shh hmm naïve Zoë don't"
ORDINARY = "river stone walked over a and quickly green it houses"
NUMBERS = (
    "5 1,234.5 1.000.000 1/2 2.0.1 192.168.0.1 3:05 10am-5pm '80s 1st $5 €15.50 $5M 5km/h 20°C 50% 6'2\" 5-10 007 ² ¹Ł "
    "½ 1999-03-04 #1 x^2 Ⅷ ٣ 10⁵ -.5 1e9 0x1f 3/4/1999 No.5 (212)555-0199 27\" 5' MP3s A4 747s ₹1,00,000"
)
ADDRESSES = (
    "https://a.com/b?c=1 www.x.org a@b.de #TagOne @me report.pdf C++ AT&T and/or -> <= ~5 a|b C# R&D Δx α μm Ω →"
)
MARKS = "— -- … .... !!! ?! \" “ ' ’ ` ´ ′ ″ ( ) [ ] { } / \\ ** _ * ~~ ``` # - 1. > | |---|"
TAGS = "<b> </b> <speak> <break/> <!-- --> <script> &amp; &lt; < > <a [a](b) ]( ![ <sub </sub> [x](/ˈ/) [x](/1/)"
PIECES = [
    *(piece for line in (WORDS, NUMBERS, ADDRESSES, MARKS, TAGS) for piece in line.split(" ")),
    *("Chapter IIII", "Louis VX", "10 000", "1 1/2", "300 ¥", "+1 555 123 4567", "7" * 37, "1" + "0" * 36, "9" * 5000),
    *("<break time='1s'/>", "<sub alias='y'>", "<say-as interpret-as='digits'>", "</say-as>", "<a b='"),
    *("\n", "\r\n", "\n\n", "\u2028", "\t", "\0", "\x1b", "\x85", "\u00ad", "\u200b", "\ufeff", "\u202e", "\ufe0f"),
    *("e\u0301", "\u0301", "😀", "👍🏽", "\ufdd05\ufdd1", "\ue000", "ﬁ", "Ａ", "ª", "ˈ", "ʰ"),
    *("state-of-the-art-" * 20, "a" * 300, "aB" * 100, "a.b" * 80, "http://a" + "/a" * 200),
]
UNREADABLE = [
    "&#0;",
    "&#xD800;",
    "<break time='x'/>",
    "Привет",
    "p\u0430y",
    "你好",
    "שלום",
    "\ufffd",
    "\udc80",
    "\U0010ffff",
]
LINES = [
    "Nguyen\twˈɪn",
    "a b",
    "x /wˈɪn/",
    "x //",
    "# c",
    "",
    "\t",
    "3M three em",
    "é ˈA",
    "New York\tnuw",
    "tsk tˈɪsk",
]
TOKENS = [*"aB1.-/'\"()[]<>&*_#:,x^%$ \n", "state-", "http://"]
SPEAKABLE = re.compile(r"[^\W\d_]|[ .,;:!?…—–'\"“”()\-]")

readable = st.one_of(*[st.sampled_from(PIECES)] * 4, st.text("aé 1.'\"-<>&*_\n", max_size=6))
hostile = st.one_of(readable, st.sampled_from(UNREADABLE), st.text(max_size=6))
parts = st.one_of(*[st.lists(readable, max_size=30)] * 3, st.lists(hostile, max_size=20))
texts = st.builds(lambda words, separator: separator.join(words), parts, st.sampled_from(["", " ", "\n"]))
long_tokens = st.builds(
    lambda tokens, count: ("".join(tokens) * count)[:1500],
    st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4),
    st.integers(1, 1500),
)
ordinary = st.lists(st.sampled_from(ORDINARY.split(" ")), min_size=1, max_size=20)
entries = st.lists(st.one_of(st.sampled_from(LINES), st.sampled_from(LINES), st.text(max_size=12)), max_size=4)


@functools.cache
def phonemizer() -> tuple[HibariPhonemizer, SymbolTable]:
    hibari = HibariPhonemizer()
    return hibari, SymbolTable.from_alphabet(hibari.alphabet())


def check_text(text: str) -> None:
    """Every symbol is in the table, no chunk is too long, and normalised text holds only words and punctuation."""
    hibari, table = phonemizer()
    words = normalize(text)
    unspeakable = SPEAKABLE.sub("", words)
    assert not unspeakable, f"not words: {unspeakable!r}"
    for utterance in utterances(hibari, text):
        if utterance.text:
            assert len(table.encode(utterance.phonemes, utterance.text)) <= MAX_SYMBOLS + 2
        assert 0 <= utterance.pause <= 60


def check_ordinary_words(words: list[str]) -> None:
    """Normalisation does not change ordinary words."""
    text = " ".join(words)
    assert normalize(text) == text
    assert normalize(f"{text}.\n\n{text}!") == f"{text}. {text}!"


def check_number(number: tuple[int, bool]) -> None:
    """A cardinal is verbalised as by the number words of hibari."""
    value, grouped = number
    expected = re.sub(r"[^a-z]+", " ", numbers.cardinal(value).replace(" and ", " "))
    assert normalize(f"exactly {value:,} of it" if grouped else f"exactly {value} people") in (
        f"exactly {expected} of it",
        f"exactly {expected} people",
    )


def check_phonemes(text: str) -> None:
    """A text of phonemes is split into utterances of bounded length."""
    _, table = phonemizer()
    for utterance in phoneme_utterances(text):
        assert len(table.encode(utterance.phonemes, utterance.text)) <= MAX_SYMBOLS + 2


def check_lexicon(lines: list[str]) -> None:
    """A pronunciation file is refused, or its phonemes are used."""
    hibari, table = phonemizer()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.txt"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        lexicon = Lexicon.load(path, table)
    phonemes = hibari.phonemize("Nguyen has x and a b in New York.", lexicon)
    table.encode(phonemes)
    if "Nguyen" in lexicon.phonemes:
        assert phonemes.startswith(lexicon.phonemes["Nguyen"])


TARGETS = [
    Target("text to speak", texts, check_text, seconds=6.0),
    Target("long tokens", long_tokens, check_text, seconds=6.0),
    Target("ordinary words", ordinary, check_ordinary_words),
    Target("cardinals", st.tuples(st.integers(0, 10**15 - 1), st.booleans()), check_number),
    Target("phonemes to speak", st.text("juwɪl ,.?!-\n", max_size=600), check_phonemes, seconds=6.0),
    Target("pronunciation file", entries, check_lexicon, seconds=6.0),
]
