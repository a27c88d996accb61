"""Removal of Markdown: headings, lists, tables, emphasis, links and code become plain text."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^\s{0,3}(?:`{3,}|~{3,})[\w+-]*\s*$")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")
_UNDERLINE = re.compile(r"^\s{0,3}(?:={2,}|-{2,})\s*$")
_RULE = re.compile(r"^[\s*_~=#+—–-]*[*_~=#+—–-]\s?[*_~=#+—–-]\s?[*_~=#+—–-][\s*_~=#+—–-]*$|^\s*—+\s*$")
_BULLET = re.compile(r"^\s*[-*+•◦‣▪●–]\s+(?:\[[ xX]\]\s+)?(?=\S)")
_NUMBERED = re.compile(r"^\s*(\d{1,3})[.)]\s+(?=\S)")
_QUOTE = re.compile(r"^\s{0,3}(?:>\s?)+(?!\s*\d)")
_TABLE_LINE = re.compile(r"^(?=[^|]*\|)(?=[^-]*-)[\s|:-]+$")
_ROW = re.compile(r"^\s*\|(.+)\|\s*$")
_REFERENCE = re.compile(r"^\s{0,3}\[[^\]\n]{1,200}\]:\s+\S+.*$")
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,500})\]\([^()\n]{0,2000}\)")
_LINK = re.compile(
    r"\[([^\[\]\n]{1,500})\](?:\([^()\s]{0,1000}(?:\([^()\s]{0,200}\)[^()\s]{0,200})?(?:\s+\"[^\"\n]{0,500}\")?\)|\[[^\[\]\n]{0,200}\])"
)
_FOOTNOTE = re.compile(r"\[\^[^\]\s]{1,50}\]:?")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]{1,2000}|[\w.+-]{1,64}@[\w.-]{1,200})>")
_CODE = re.compile(r"(`)([^`\n]{1,1000})\1")
_OPENING = re.compile(r"(?<![\w*_~])(?:\*{1,3}|_{1,3}|~~)(?=[^\s*_~])")
_CLOSING = re.compile(r"(?<=[^\s*_~])(?:\*{1,3}|_{1,3}|~~)(?![\w*_~])")
_INNER_BOLD = re.compile(r"\*\*(?=\w)|(?<=\w)\*\*")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!~|>\"'])")
_REMOVED = "\x00"
_END = re.compile(r"[.!?…:;,\ufdd1][\"'”)\]]*$")


def strip_markdown(text: str) -> str:
    """Return the text without Markdown. Headings, list items and table rows become separate paragraphs."""
    lines = text.split("\n")
    if len(lines) > 1 or _starts_block(text):
        text = "\n".join(_blocks(lines))
    return _inline(text)


def _starts_block(line: str) -> bool:
    return any(pattern.match(line) for pattern in (_HEADING, _BULLET, _QUOTE, _ROW, _RULE, _FENCE))


def _blocks(lines: list[str]) -> list[str]:
    """Return the lines without the markup of blocks, and with blank lines between blocks."""
    plain: list[str] = []
    in_paragraph = False  # Whether this line may continue the paragraph of the previous line.
    for number, written in enumerate(lines):
        line = _QUOTE.sub("", written)
        if _FENCE.match(line) or _TABLE_LINE.match(line) or _REFERENCE.match(line):
            plain.append("" if _FENCE.match(line) else _REMOVED)
            continue
        if not line.strip() or _RULE.match(line) or (in_paragraph and _UNDERLINE.match(line)):
            plain.append("")
            in_paragraph = False
            continue
        heading, row = _HEADING.match(line), _ROW.match(line)
        if heading:
            plain += ["", _closed(heading[1]), ""]
            in_paragraph = False
        elif row or _is_row(lines, number):
            cells = (cell.strip() for cell in (row[1] if row else line).split("|"))
            plain += ["", _closed(", ".join(cell for cell in cells if cell)), ""]
            in_paragraph = False
        elif _BULLET.match(line):
            plain += ["", _BULLET.sub("", line)]
            in_paragraph = True
        elif (numbered := _NUMBERED.match(line)) and (not in_paragraph or _in_numbered_list(lines, number)):
            plain += ["", f"{numbered[1]}, {line[numbered.end() :]}"]
            in_paragraph = True
        else:
            plain.append(line)
            in_paragraph = True
    return [line for line in plain if line != _REMOVED]


def _is_row(lines: list[str], number: int) -> bool:
    """Return whether the line is a table row without outer bars: the delimiter row is the next line or a line above."""
    if "|" not in lines[number]:
        return False
    if number + 1 < len(lines) and _TABLE_LINE.match(lines[number + 1]):
        return True
    above = number - 1
    while above >= 0 and above > number - 50 and "|" in lines[above]:
        if _TABLE_LINE.match(lines[above]):
            return True
        above -= 1
    return False


def _in_numbered_list(lines: list[str], number: int) -> bool:
    """Return whether a line close to this one is a numbered item too."""
    near = (*lines[max(0, number - 2) : number], *lines[number + 1 : number + 2])
    return any(_NUMBERED.match(line) for line in near)


def _closed(line: str) -> str:
    """Return the line with a full stop if it does not end with a punctuation mark."""
    line = line.rstrip()
    return line if not line or _END.search(line) else f"{line}."


def _inline(text: str) -> str:
    """Return the text without inline markup: links, code, emphasis and escapes."""
    if "[" in text:
        text = _FOOTNOTE.sub("", text)
        text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    if "<" in text:
        text = _AUTOLINK.sub(r"\1", text)
    if "`" in text:
        text = _CODE.sub(r"\2", text.replace("``", '"')).replace("`", "'")
    if "*" in text or "_" in text or "~" in text:
        text = _CLOSING.sub("", _OPENING.sub("", text))
        text = _INNER_BOLD.sub("", text)
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    return text
