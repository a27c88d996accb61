"""The small inputs of ../shared/cases, each of which failed once."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def case_folder(name: str) -> Path:
    """The folder of one case; the test is skipped where the cases are absent."""
    folder = CASES / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/cases/{name}, which is not part of the repository")
    return folder
