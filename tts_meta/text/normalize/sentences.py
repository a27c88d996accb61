"""Sentences of a paragraph: found by `sentencex`, put together again where it cuts after an abbreviation."""

from __future__ import annotations

import re

from tts_meta.text.normalize.abbreviations import is_abbreviation, is_lettered, is_title, precedes_number

_INITIAL = re.compile(r"(?:^|[\s(\"'“])(?:[A-Z]\.){1,4}$")
_ACRONYM = re.compile(r"(?:^|[\s(\"'“])(?:[A-Za-z]\.){2,6}$")
_LAST = re.compile(r"(\S+)$")
# `sentencex` goes by quotes in pairs; a paragraph of a dialogue may have an opening one only.
_SPACE = re.compile(r"(?<=[.!?…])(?= \S)|(?<=[.!?…][\"'”’)])(?= \S)|(?<=[.!?…][\"'”’)]{2})(?= \S)")
_OPENERS = "\"'“‘(["
_AFTER_TIME = re.compile(
    r"(?:on|in|at|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|EST|PST|EDT|GMT|UTC|CET)\w*\b|\d"
)
_DATED = re.compile(
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun|Rs)\."
)
_BEGINS = re.compile(
    r"(?:The|A|An|This|That|These|Those|There|Then|He|She|It|They|We|You|I|His|Her|Its|Their|Our|My|Your|In|On|At|By|For|"
    r"From|With|After|Before|When|While|Where|If|As|But|And|Or|So|Yet|Not|No|Yes|What|Who|Why|How|Which|One|Some|Many|"
    r"Most|All|Both|Each|Every|Now|Today|Once|Since|Because|Although|However|Let|Do|Did|Is|Are|Was|Were|Can|Could|Please|"
    r"Mr|Mrs|Ms|Dr|Later|Next|Here|Maybe|Perhaps|Nobody|Everyone|Someone|Nothing|Everything)(?:'\w+)?\b"
)
_GLUED = re.compile(r"[A-Za-z][a-z][.!?][\"'”)]*$")


def split_sentences(paragraph: str, language: str = "en") -> list[str]:
    """Sentences of a text without line ends, every word kept."""
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

    sentences: list[str] = []
    pieces = (piece for found in segment(language, paragraph) for piece in _SPACE.split(found))
    for piece in pieces:
        if not piece.strip():
            continue
        if sentences and _continues(sentences[-1], piece):
            sentences[-1] += piece
        else:
            sentences.append(piece)
    return [sentence.strip() for sentence in sentences]


def _continues(before: str, after: str) -> bool:
    """Whether a piece goes on with the sentence of the piece before."""
    end, begin = before[-200:].rstrip(), after[:200].lstrip(_OPENERS + " ")
    if not begin or begin[0] in ".,;:!?…)":
        return True
    last = _LAST.search(end)
    word = last[1].lstrip(_OPENERS) if last else ""
    spaced = before[-1:].isspace() or after[:1].isspace()
    if not spaced and not _GLUED.search(end):
        return True
    if begin[0].islower() or not any(character.isalnum() for character in before):
        return True
    if word in ("a.m.", "p.m.", "A.M.", "P.M."):
        return _AFTER_TIME.match(begin) is not None
    if _DATED.fullmatch(word):
        return _AFTER_TIME.match(begin) is not None
    if precedes_number(word) and (begin[0].isdecimal() or re.match(r"(?:[IVXLC]{2,}|[VX])\b", begin)):
        return word != "no." or not _speaks(end)
    if is_lettered(word) and re.match(r"(?!I\b)[A-Z]\b", begin):
        return True
    if is_title(word) or word in ("e.g.", "i.e.", "vs.", "cf.", "viz.", "al."):
        return not (word in ("St.", "Sr.") and _BEGINS.match(begin))
    if _INITIAL.search(end) and not _ACRONYM.search(end):
        # "Plan B. Then" ends, "J. Smith" does not: a name begins with no word that begins sentences.
        return not _BEGINS.match(begin)
    if _ACRONYM.search(end) or is_abbreviation(word):
        return not _BEGINS.match(begin)
    return False


def _speaks(end: str) -> bool:
    return re.search(r"(?:said|says|say|is|was|answered|replied|told|,) no\.$", end) is not None
