"""Reading of the documentation: pages, fenced code blocks, links, and shell commands as lists of words."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "recipes").rglob("*.md"),
        ROOT / "checkpoints/README.md",
    ]
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block: the page, its language, and its text."""

    page: Path
    language: str
    text: str


def name_of(page: Path) -> str:
    """The path of a page within the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str = "") -> list[Block]:
    """The fenced blocks of a page, of one language or of all."""
    found = [Block(page, *match.groups()) for match in _FENCE.finditer(page.read_text("utf-8"))]
    return [block for block in found if language in ("", block.language)]


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    """Targets of the links and images of a page that are not addresses on the web."""
    targets = _LINK.findall(prose(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(block: Block) -> list[list[str]]:
    """The commands of a shell block, each as its words; `&&`, `|` and line ends separate them, `#` begins a comment."""
    words = list[str]()
    found = [words]
    for line in block.text.replace("\\\n", " ").splitlines():
        for word in shlex.split(line, comments=True):
            if word in ("&&", "|", ";"):
                found.append(words := [])
            else:
                words.append(word)
        found.append(words := [])
    return [words for words in found if words]
