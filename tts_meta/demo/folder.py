"""Checks the output folder of the demo: a run can replace the files of an earlier demo, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tts_meta.errors import UsageError

RESULTS = "results.json"
KIND = "tts_meta demo"
# Files that file managers add to any folder.
_IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}


def check_replaceable(folder: Path) -> None:
    """Raise UsageError unless `folder` is missing, empty, or holds the files of an earlier demo and no others."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose a folder for the demo with --output")
    if folder.is_mount() or Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{folder} is a mount point or contains the current folder; choose a folder inside it with --output"
        )
    others = sorted(set(list_files(folder)) - _files_of_earlier_demo(folder))
    if others:
        raise UsageError(f"{folder} contains other files, such as {others[0]}; choose another folder with --output")


def list_files(folder: Path) -> list[str]:
    """Return the files of a folder, sorted and relative to the folder."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in paths if path.name not in _IGNORED)


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write `results.json`, the last file of a demo.

    The file lists all files of the demo, so that a later demo can replace them.
    """
    files = sorted({*list_files(folder), RESULTS})
    text = json.dumps({"kind": KIND, **results, "files": files}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", encoding="utf-8")


def _files_of_earlier_demo(folder: Path) -> set[str]:
    try:
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return set(results["files"]) if results["kind"] == KIND else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()
