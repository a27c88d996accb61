"""`Lexicon`: pronunciations that a user gives in a text file of words.

    # a comment
    Nguyen      wˈɪn
    tsk         /tɪsk/
    Siobhan     shivawn
    New York    nuw yawk     (a TAB after words with a space)

A line holds a word, white space, and either its phonemes in the symbols of the base or a respelling in English letters.
Text between slashes is always read as phonemes. An entry matches in upper and lower case. An entry in capitals only,
such as "US", matches only in capitals.
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
_UNVOICED, _SIBILANTS = "ptkfθ", "szʃʒʧʤ"
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Entries:
    """Pronunciations by the first token of their key, in lower case; longer keys come first."""

    by_first: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, pronunciations: Mapping[str, str]) -> _Entries:
        by_first: dict[str, list[tuple[str, str]]] = {}
        for word in sorted(pronunciations, key=lambda word: (-len(word), word)):
            first = _TOKEN.search(word)
            if first is not None:
                by_first.setdefault(first[0].lower(), []).append((word, pronunciations[word]))
        return cls(by_first)

    def replace(self, text: str, write: Callable[[str, str], str]) -> str:
        """Return the text with every word that has an entry replaced by `write(word, pronunciation)`."""
        parts, position = [], 0
        for token in _TOKEN.finditer(text):
            if token.start() < position:
                continue
            match = self._match(text, token.start(), self.by_first.get(token[0].lower(), []))
            if match is not None:
                end, pronunciation = match
                parts += [text[position : token.start()], write(text[token.start() : end], pronunciation)]
                position = end
        return "".join([*parts, text[position:]])

    @staticmethod
    def _match(text: str, start: int, candidates: list[tuple[str, str]]) -> tuple[int, str] | None:
        """Return the end and the pronunciation of the longest entry at `start`, preferably in the same case."""
        if candidates and start and (text[start - 1].isalnum() or text[start - 1] in "_"):
            return None
        best: tuple[int, str] | None = None
        for word, pronunciation in candidates:
            end = start + len(word)
            written = text[start:end]
            ends_inside = word[-1].isalnum() and text[end : end + 1].isalnum()
            if ends_inside or written.lower() != word.lower() or (best is not None and end < best[0]):
                continue
            if written == word:
                return end, pronunciation
            if best is None and not (word.isupper() and len(word) > 1):
                best = end, pronunciation
        return best


@dataclass(frozen=True)
class Lexicon:
    """Pronunciations of words. phonemes: by word. respellings: in English letters, by word."""

    phonemes: dict[str, str] = field(default_factory=dict)
    respellings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_spoken", _Entries.of(self.phonemes))
        object.__setattr__(self, "_written", _Entries.of(self.respellings))

    @classmethod
    def load(cls, path: str | Path, symbols: SymbolTable) -> Lexicon:
        """Read a lexicon file in UTF-8. Raises TtsMetaError, naming the file and the invalid line."""
        path = Path(path)
        phonemes: dict[str, str] = {}
        respellings: dict[str, str] = {}
        for number, line in enumerate(_read(path).split("\n"), start=1):
            location = f"{path}, line {number}"
            entry = _COMMENT.sub("", line).strip()
            if not entry:
                continue
            word, pronunciation = _fields(entry, location)
            if word in phonemes or word in respellings:
                raise TtsMetaError(f"{location}: '{word}' already has an entry; keep one of them")
            if _RESPELLING.fullmatch(pronunciation):
                respellings[word] = pronunciation
                continue
            if not _SPOKEN_WORD.fullmatch(word):
                raise TtsMetaError(f"{location}: '{word}' holds a digit or sign; give a respelling in English letters")
            phonemes[word] = _phonemes(pronunciation, symbols, location)
        return cls(phonemes, respellings)

    def respell(self, text: str) -> str:
        """Return the text with each word that has a respelling replaced by it."""
        entries: _Entries = self._written  # pyright: ignore[reportAttributeAccessIssue]
        return entries.replace(text, lambda word, respelling: respelling) if entries.by_first else text

    def pronounce(self, text: str, write: Callable[[str, str], str]) -> str:
        """Return the text with each word that has phonemes replaced by `write(word, phonemes)`."""
        entries: _Entries = self._spoken  # pyright: ignore[reportAttributeAccessIssue]
        return entries.replace(text, write) if entries.by_first else text


def with_possessive(phonemes: str) -> str:
    """Return the phonemes of a word followed by "'s"."""
    last = phonemes[-1:]
    return phonemes + ("ᵻz" if last in _SIBILANTS else "s" if last in _UNVOICED else "z")


def _fields(entry: str, location: str) -> tuple[str, str]:
    """Return the word and the pronunciation of a line."""
    word, _, pronunciation = entry.partition("\t") if "\t" in entry else entry.partition(" ")
    word, pronunciation = word.strip(), pronunciation.strip()
    if not pronunciation:
        raise TtsMetaError(
            f"{location}: no pronunciation after '{word[:40]}'; write the word, a space and its phonemes"
        )
    if not any(character.isalnum() for character in word):
        raise TtsMetaError(f"{location}: '{word[:40]}' is not a word; write the word, a space and its phonemes")
    return word.replace("’", "'"), pronunciation


def _phonemes(pronunciation: str, symbols: SymbolTable, location: str) -> str:
    """Return a pronunciation in phonemes without its slashes. Raises TtsMetaError for symbols that the base lacks."""
    if pronunciation.startswith("/") and pronunciation.endswith("/") and len(pronunciation) > 2:
        pronunciation = pronunciation[1:-1].strip()
    for symbol in split_symbols(pronunciation)[1:-1]:
        if symbol not in symbols.symbols or (symbol in BOUNDARIES and symbol != " "):
            raise TtsMetaError(
                f"{location}: unknown symbol '{symbol}' in '{pronunciation}'; see symbols.json of the base"
            )
    if not pronunciation or pronunciation in BOUNDARIES:
        raise TtsMetaError(f"{location}: no phonemes between the slashes; write them, or a respelling without slashes")
    return pronunciation


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if len(data) > _MAX_BYTES:
        raise TtsMetaError(f"{path}: larger than {_MAX_BYTES // 2**20} MiB; give a text file of words and phonemes")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise TtsMetaError(f"{path}: not UTF-8 text; save it as UTF-8") from error
