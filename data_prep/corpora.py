"""The registry of corpora: the reader of each corpus, and the test of its published layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from data_prep import folder, librispeech, librispeech_mini, libritts, vctk
from data_prep.recording import Recording

CORPORA: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "folder": folder.read,
    "librispeech": librispeech.read,
    "librispeech-mini": librispeech_mini.read,
    "libritts": libritts.read,
    "vctk": vctk.read,
}
LAYOUTS: dict[str, Callable[[Path], bool]] = {
    "vctk": vctk.is_layout,
    "libritts": libritts.is_layout,
    "librispeech": librispeech.is_layout,
}
"""Functions that recognise the layout of a published corpus, which a user may give as `folder` by mistake."""
