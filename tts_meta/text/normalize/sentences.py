"""Sentence segmentation by `sentencex`; segments that end with an abbreviation are joined with the next one."""

from __future__ import annotations

import re

from tts_meta.text.normalize.abbreviations import is_abbreviation, is_lettered, is_title, precedes_number

_INITIAL = re.compile(r"(?:^|[\s(\"'“])(?:[A-Z]\.){1,4}$")
_ACRONYM = re.compile(r"(?:^|[\s(\"'“])(?:[A-Za-z]\.){2,6}$")
_LAST = re.compile(r"(\S+)$")
# `sentencex` expects quotes in pairs, but a paragraph of a dialogue may have only the opening quote.
_SPACE = re.compile(r"(?<=[.!?…])(?= \S)|(?<=[.!?…][\"'”’)])(?= \S)|(?<=[.!?…][\"'”’)]{2})(?= \S)")
_OPENERS = "\"'“‘(["
_AFTER_TIME = re.compile(
    r"(?:on|in|at|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|EST|PST|EDT|GMT|UTC|CET)\w*\b|\d"
)
_DATED = re.compile(
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun|Rs)\."
)
_SENTENCE_START = re.compile(
    r"(?:The|A|An|This|That|These|Those|There|Then|He|She|It|They|We|You|I|His|Her|Its|Their|Our|My|Your|In|On|At|By|For|"
    r"From|With|After|Before|When|While|Where|If|As|But|And|Or|So|Yet|Not|No|Yes|What|Who|Why|How|Which|One|Some|Many|"
    r"Most|All|Both|Each|Every|Now|Today|Once|Since|Because|Although|However|Let|Do|Did|Is|Are|Was|Were|Can|Could|Please|"
    r"Mr|Mrs|Ms|Dr|Later|Next|Here|Maybe|Perhaps|Nobody|Everyone|Someone|Nothing|Everything)(?:'\w+)?\b"
)
_END_OF_WORD = re.compile(r"[A-Za-z][a-z][.!?][\"'”)]*$")


def split_sentences(paragraph: str, language: str = "en") -> list[str]:
    """Return the sentences of a text without line ends; every word is kept."""
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

    sentences: list[str] = []
    segments = (part for segmented in segment(language, paragraph) for part in _SPACE.split(segmented))
    for part in segments:
        if not part.strip():
            continue
        if sentences and _continues(sentences[-1], part, language):
            sentences[-1] += part
        else:
            sentences.append(part)
    return [sentence.strip() for sentence in sentences]


def _continues(before: str, after: str, language: str) -> bool:
    """Return whether the segment `after` continues the sentence of the segment `before`.

    Outside English, abbreviations are expanded before, so a dot before a capital letter ends a sentence.
    """
    end, start = before[-200:].rstrip(), after[:200].lstrip(_OPENERS + " ")
    if not start or start[0] in ".,;:!?…)":
        return True
    last = _LAST.search(end)
    word = last[1].lstrip(_OPENERS) if last else ""
    has_space = before[-1:].isspace() or after[:1].isspace()
    if not has_space and not _END_OF_WORD.search(end):
        return True
    if start[0].islower() or not any(character.isalnum() for character in before):
        return True
    if language != "en":
        return _INITIAL.search(end) is not None and not _ACRONYM.search(end)
    if word in ("a.m.", "p.m.", "A.M.", "P.M."):
        return _AFTER_TIME.match(start) is not None
    if _DATED.fullmatch(word):
        return _AFTER_TIME.match(start) is not None
    if precedes_number(word) and (start[0].isdecimal() or re.match(r"(?:[IVXLC]{2,}|[VX])\b", start)):
        return word != "no." or not _is_answer_no(end)
    if is_lettered(word) and re.match(r"(?!I\b)[A-Z]\b", start):
        return True
    if is_title(word) or word in ("e.g.", "i.e.", "vs.", "cf.", "viz.", "al."):
        return not (word in ("St.", "Sr.") and _SENTENCE_START.match(start))
    if _INITIAL.search(end) and not _ACRONYM.search(end):
        # "Plan B. Then" ends a sentence, "J. Smith" does not: the words that start sentences do not start names.
        return not _SENTENCE_START.match(start)
    if _ACRONYM.search(end) or is_abbreviation(word):
        return not _SENTENCE_START.match(start)
    return False


def _is_answer_no(end: str) -> bool:
    """Return whether "no." is the word, as in "He said no.", and not the abbreviation of "number"."""
    return re.search(r"(?:said|says|say|is|was|answered|replied|told|,) no\.$", end) is not None
