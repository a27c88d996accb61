"""The changelog lists old and new names: no code uses an old one, and every new one exists."""

from __future__ import annotations

import io
import re
import tokenize

import pytest
from documentation import ROOT

from tts_meta.cli.reference import cli_reference

TEXT = (ROOT / "CHANGELOG.md").read_text("utf-8")
SOURCES = [path for name in ("tts_meta", "data_prep", "recipes") for path in (ROOT / name).rglob("*.py")]


def _rows(heading: str) -> list[tuple[str, str]]:
    """The rows of the table below a heading: old and new."""
    section = TEXT.split(f"#### {heading}\n")[1].split("\n#")[0]
    rows = [re.split(r"\s\|\s", line.strip("| ")) for line in section.splitlines() if line.startswith("|")]
    return [(old.strip("` "), new.strip("` ")) for old, new in rows[2:]]


@pytest.fixture(scope="module")
def identifiers() -> set[str]:
    """Every name that the code uses."""
    return {
        token.string
        for path in SOURCES
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
        if token.type == tokenize.NAME
    }


def test_no_old_name_is_used_and_every_new_one_is(identifiers: set[str]) -> None:
    rows = [row for row in _rows("Classes, functions and settings") if row[0].isidentifier()]
    assert len(rows) >= 30
    assert {old for old, _ in rows} & identifiers == set()
    assert {new for _, new in rows} - identifiers == set()


def test_no_old_option_is_offered_and_every_new_one_is() -> None:
    reference = cli_reference()
    rows = _rows("Options of the command line")
    assert len(rows) >= 10
    for old, new in rows:
        for verb in old.split(" --")[0].split(", "):
            page = reference.split(f"\n## {verb}\n")[1].split("\n## ")[0]
            options = set(re.findall(r"--[a-z-]+", page))
            assert new in options, (verb, new)
            assert f"--{old.split('--')[1]}" not in options, old


def test_no_old_file_exists() -> None:
    rows = _rows("Files")
    assert len(rows) >= 30
    for old, _ in rows:
        first, *others = old.split(", ")
        folder = (ROOT / first).parent
        kept = {"tts_meta/adapt/clone.py", "tts_meta/evaluate/table.py"}
        for path in (ROOT / first, *(folder / name for name in others)):
            if path.relative_to(ROOT).as_posix() not in kept:
                assert not path.exists(), path
