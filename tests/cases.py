"""Small inputs of ../shared/cases, each of which failed in an earlier version."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def case_folder(name: str) -> Path:
    """Return the folder of one case; skip the test if the cases are missing."""
    folder = CASES / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/cases/{name}, which is not part of the repository")
    return folder
