"""Documentation, help pages, messages, comments and docstrings use none of the words that readers stumbled over.

The list comes from a review of the project's text: poetic and archaic words, and words that hide who does what.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from documentation import PAGES, ROOT, name_of, prose

WORDS = re.compile(
    r"\b(beside|anew|stray(s|ed)?|told|surer|heard|hears|likeness|settle[sd]?|settling|whoever|lest|said by|set free|"
    r"set apart|nats a frame|(by|of) (itself|themselves)|so many|so much|so few|goes on|went on|likelier)\b",
    flags=re.IGNORECASE,
)
STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
"""Kinds of tokens that hold text; from Python 3.12 on, the parts of an f-string are tokens of their own."""
SOURCES = sorted(path for name in ("tts_meta", "data_prep", "recipes", "tests") for path in (ROOT / name).rglob("*.py"))
SETTINGS = sorted(
    path for suffix in ("yaml", "sh", "bash", "sbatch", "txt") for path in (ROOT / "recipes").rglob(f"*.{suffix}")
)


def _texts(source: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings of several words in a Python file, each with the number of its line."""
    for token in tokenize.generate_tokens(io.StringIO(source.read_text("utf-8")).readline):
        if token.type == tokenize.COMMENT or (token.type in STRINGS and " " in token.string):
            yield token.start[0], token.string


DATA = {"tts_meta/text/normalize/abbreviations.py", "tts_meta/text/normalize/sentences.py"}
"""Files whose strings hold English verbs as data."""


def _faults(text: str) -> list[str]:
    """The sentences of a text that hold such a word; what is in backticks does not count."""
    plain = re.sub(r"`[^`]*`", "", text)
    return [" ".join(sentence.split()) for sentence in re.split(r"(?<=[.!?:;])\s", plain) if WORDS.search(sentence)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_plain_english(page: Path) -> None:
    assert _faults(prose(page)) == []


@pytest.mark.parametrize(
    "source", [path for path in SOURCES if path != Path(__file__) and name_of(path) not in DATA], ids=name_of
)
def test_a_source_file_is_plain_english(source: Path) -> None:
    assert [(line, fault) for line, text in _texts(source) for fault in _faults(text)] == []


@pytest.mark.parametrize("recipe", SETTINGS, ids=name_of)
def test_the_comments_of_a_recipe_are_plain_english(recipe: Path) -> None:
    comments = [line for line in recipe.read_text("utf-8").splitlines() if line.lstrip().startswith("#")]
    assert [fault for line in comments for fault in _faults(line)] == []


def test_a_word_of_the_list_is_found() -> None:
    assert _faults("It stands beside the base.\nThe loop ends. `told` is a name.") == ["It stands beside the base."]
