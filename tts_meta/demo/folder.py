"""The folder of the demo: a second run may replace what an earlier one wrote, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tts_meta.errors import UsageError

FIGURES = "figures.json"
KIND = "tts_meta demo"
# Put into any folder by those who look at it, not by those who own it.
_STRAY = {".DS_Store", "Thumbs.db", "desktop.ini"}


def check_replaceable(folder: Path) -> None:
    """Raise UsageError unless `folder` is missing, empty, or holds the files of an earlier demo and no others."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: a file; name a folder for the demo with --output")
    if folder.is_mount() or Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder}: cannot be replaced as a whole; name a folder inside it with --output")
    foreign = sorted(set(list_files(folder)) - _written_before(folder))
    if foreign:
        raise UsageError(f"{folder}: holds other files, such as {foreign[0]}; name another folder with --output")


def list_files(folder: Path) -> list[str]:
    """Files of a folder, sorted, relative to it."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found if path.name not in _STRAY)


def write_figures(folder: Path, figures: dict[str, Any]) -> None:
    """Write `figures.json`, the last file of a demo: it names all files, by which a later demo knows them again."""
    files = sorted({*list_files(folder), FIGURES})
    text = json.dumps({"kind": KIND, **figures, "files": files}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FIGURES).write_text(text + "\n", encoding="utf-8")


def _written_before(folder: Path) -> set[str]:
    try:
        figures = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
        return set(figures["files"]) if figures["kind"] == KIND else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()
