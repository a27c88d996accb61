"""Sentence segmentation, pauses of paragraphs and `<break>` tags, and the notice about emoji."""

from __future__ import annotations

import csv

import pytest
from cases import CASES

from tts_meta.errors import TtsMetaError
from tts_meta.text import normalize
from tts_meta.text.normalize import omitted_emoji, sentences_of

SENTENCES = [
    ("Mr. J. R. R. Tolkien wrote. He was from the U.S. He died.", 3),
    ("It is 10 a.m. Monday. See you at 5 p.m. Then we eat.", 3),
    ("E.g. this one. The U.S. Army left. J.R.R. Tolkien stayed.", 3),
    ("He said no. Then he left.", 2),
    ("See No. 5 and p. 7. It is good.", 2),
    ("Dr. No lives on St. James St. It is nice.", 2),
    ('"Is it so?" she asked. "Yes!" he cried. They left.', 3),
    ("It costs 3.50 today. Version 2.0.1 is out. Really?", 3),
    ('"The first paragraph has no closing quote. It continues.', 2),
    ("He has a Ph.D. in physics. She has none.", 2),
    ("Is this the end?No.It continues.", 3),
]


@pytest.mark.parametrize(("text", "count"), SENTENCES)
def test_abbreviations_and_initials_do_not_end_a_sentence(text: str, count: int) -> None:
    assert len(list(sentences_of(text))) == count


def test_a_line_end_is_a_space_and_a_blank_line_ends_a_paragraph() -> None:
    text = "One line\nends here. Two\r\n\r\n\r\nThree\n \nFour"
    assert [tuple(sentence) for sentence in sentences_of(text)] == [
        ("One line ends here.", 0.25),
        ("Two", 0.5),
        ("Three", 0.5),
        ("Four", 0.0),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Hello <break time="1s"/> there.', [("Hello", 1.0), ("there.", 0.0)]),
        ('Hi.<break time="500ms"/><break time=".25s"/> You.', [("Hi.", 0.75), ("You.", 0.0)]),
        ('<break strength="strong"/>Hi. <break/>', [("", 1.0), ("Hi.", 0.5)]),
        ('Hi <break strength="none"/> you <break time="1e9s"></break>.', None),
        ('Hi <break time="90s"/> you', [("Hi", 10.0), ("you", 0.0)]),
        ("Hi\n\n<break time='2s'/>\n\nyou", [("Hi", 2.0), ("you", 0.0)]),
    ],
)
def test_break_tags_are_pauses(text: str, expected: list[tuple[str, float]] | None) -> None:
    if expected is None:
        with pytest.raises(TtsMetaError, match=r'^<break time="1e9s">: not a time; write 500ms or 1\.5s$'):
            list(sentences_of(text))
        return
    assert [tuple(sentence) for sentence in sentences_of(text)] == expected


def test_a_notice_names_the_emoji_that_are_not_spoken() -> None:
    assert omitted_emoji("Great 😀👍 job") == "emoji are not spoken: 😀 👍"
    assert normalize("new \U0001fac6 picture") == "new picture"
    assert omitted_emoji("5 € → 3 °C • x²") is None


def test_normalisation_keeps_the_words_of_the_corpus_transcripts() -> None:
    manifest = CASES.parent / "corpus" / "manifest.tsv"
    if not manifest.is_file():
        pytest.skip("needs ../shared/corpus, which is not part of the repository")
    checked = 0
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[::5]:
            for text in filter(None, (row["text"], row["text_punctuated"])):
                without_dashes = text.replace("--", " ").replace(" - ", " ")
                if all(character.isalpha() or character in " ,;?!'" for character in without_dashes.rstrip(".")):
                    assert _words(normalize(text)) == _words(without_dashes), text
                    checked += 1
    assert checked > 900


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
