"""Pronunciations that users give: a text file of words and how they are said.

    # a comment
    Nguyen      wˈɪn
    tsk         /tɪsk/
    Siobhan     shivawn
    New York    nuw yawk     (a TAB after words with a space)

A line holds a word, white space, and either its phonemes in the symbols of the base or a respelling in English letters.
What stands between slashes is phonemes. An entry applies whatever the capitals in the text; one in capitals only ("US")
applies to that writing only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.errors import TtsMetaError
from tts_meta.text.symbols import BOUNDARIES, SymbolTable, split_symbols

_TOKEN = re.compile(r"[^\W_]+")
_SPOKEN_WORD = re.compile(r"[^\W\d_]+(?:[ '.-]+[^\W\d_]+)*\.?")
_RESPELLING = re.compile(r"[A-Za-z]+(?:[ '-][A-Za-z]+)*")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_UNVOICED, _HISSING = "ptkfθ", "szʃʒʧʤ"
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Entries:
    """Pronunciations by the first word of their key in small letters; the longest keys first."""

    by_first: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, str]) -> _Entries:
        by_first: dict[str, list[tuple[str, str]]] = {}
        for word in sorted(said, key=lambda word: (-len(word), word)):
            first = _TOKEN.search(word)
            if first is not None:
                by_first.setdefault(first[0].lower(), []).append((word, said[word]))
        return cls(by_first)

    def replace(self, text: str, write: Callable[[str, str], str]) -> str:
        """The text with every word that has an entry replaced by `write(word, pronunciation)`."""
        parts, position = [], 0
        for token in _TOKEN.finditer(text):
            if token.start() < position:
                continue
            found = self._find(text, token.start(), self.by_first.get(token[0].lower(), []))
            if found is not None:
                end, said = found
                parts += [text[position : token.start()], write(text[token.start() : end], said)]
                position = end
        return "".join([*parts, text[position:]])

    @staticmethod
    def _find(text: str, start: int, candidates: list[tuple[str, str]]) -> tuple[int, str] | None:
        if candidates and start and (text[start - 1].isalnum() or text[start - 1] in "_"):
            return None
        best: tuple[int, str] | None = None
        for word, said in candidates:
            end = start + len(word)
            written = text[start:end]
            ends_inside = word[-1].isalnum() and text[end : end + 1].isalnum()
            if ends_inside or written.lower() != word.lower() or (best is not None and end < best[0]):
                continue
            if written == word:
                return end, said
            if best is None and not (word.isupper() and len(word) > 1):
                best = end, said
        return best


@dataclass(frozen=True)
class Lexicon:
    """Words with their phonemes, and words with a respelling."""

    phonemes: dict[str, str] = field(default_factory=dict)
    respellings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_spoken", _Entries.of(self.phonemes))
        object.__setattr__(self, "_written", _Entries.of(self.respellings))

    @classmethod
    def load(cls, path: str | Path, symbols: SymbolTable) -> Lexicon:
        """Read a file in UTF-8. Raises TtsMetaError naming the file and the line that is wrong."""
        path = Path(path)
        phonemes: dict[str, str] = {}
        respellings: dict[str, str] = {}
        for number, line in enumerate(_read(path).split("\n"), start=1):
            place = f"{path}, line {number}"
            entry = _COMMENT.sub("", line).strip()
            if not entry:
                continue
            word, said = _fields(entry, place)
            if word in phonemes or word in respellings:
                raise TtsMetaError(f"{place}: '{word}' has an entry above; keep one of them")
            if _RESPELLING.fullmatch(said):
                respellings[word] = said
                continue
            if not _SPOKEN_WORD.fullmatch(word):
                raise TtsMetaError(f"{place}: '{word}' holds a digit or sign; give a respelling in English letters")
            phonemes[word] = _phonemes(said, symbols, place)
        return cls(phonemes, respellings)

    def respell(self, text: str) -> str:
        """The text with the words that have a respelling replaced by it."""
        entries: _Entries = self._written  # pyright: ignore[reportAttributeAccessIssue]
        return entries.replace(text, lambda word, said: said) if entries.by_first else text

    def pronounce(self, text: str, write: Callable[[str, str], str]) -> str:
        """The text with each word that has phonemes replaced by `write(word, phonemes)`; "'s" after it is included."""
        entries: _Entries = self._spoken  # pyright: ignore[reportAttributeAccessIssue]
        return entries.replace(text, write) if entries.by_first else text


def with_possessive(phonemes: str) -> str:
    """The phonemes of a word with "'s" after it."""
    last = phonemes[-1:]
    return phonemes + ("ᵻz" if last in _HISSING else "s" if last in _UNVOICED else "z")


def _fields(entry: str, place: str) -> tuple[str, str]:
    word, _, said = entry.partition("\t") if "\t" in entry else entry.partition(" ")
    word, said = word.strip(), said.strip()
    if not said:
        raise TtsMetaError(f"{place}: no pronunciation after '{word[:40]}'; write the word, a space and its phonemes")
    if not any(character.isalnum() for character in word):
        raise TtsMetaError(f"{place}: '{word[:40]}' is no word; write the word, a space and its phonemes")
    return word.replace("’", "'"), said


def _phonemes(said: str, symbols: SymbolTable, place: str) -> str:
    if said.startswith("/") and said.endswith("/") and len(said) > 2:
        said = said[1:-1].strip()
    for symbol in split_symbols(said)[1:-1]:
        if symbol not in symbols.symbols or (symbol in BOUNDARIES and symbol != " "):
            raise TtsMetaError(
                f"{place}: unknown symbol '{symbol}' in '{said}'; the base's symbols.json lists those there are"
            )
    if not said or said in BOUNDARIES:
        raise TtsMetaError(f"{place}: no phonemes between the slashes; write them, or a respelling without slashes")
    return said


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if len(data) > _MOST_BYTES:
        raise TtsMetaError(f"{path}: over {_MOST_BYTES // 2**20} MiB; give a lexicon of words and phonemes")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise TtsMetaError(f"{path}: not UTF-8 text; save it as UTF-8") from error
