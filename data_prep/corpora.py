"""The registry of corpora: the reader of each corpus, the test of its published layout, and the choice of a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from data_prep import folder, folder_lists, librispeech, librispeech_mini, libritts, vctk
from data_prep.recording import Recording
from tts_meta.corpus.text_file import printable_path
from tts_meta.errors import UsageError

Reader = Callable[[Path], Iterator[Recording]]

CORPORA: dict[str, Reader] = {
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


def choose_reader(corpus_name: str, corpus_dir: Path, transcripts: str | Path | None = None) -> Reader:
    """Return the reader of a corpus, with the transcript list of a corpus `folder` if one is given.

    Raises UsageError for an unknown corpus or folder, for a list with another corpus, or if a published corpus is given
    as `folder`.
    """
    if corpus_name not in CORPORA:
        raise UsageError(f"no corpus named {corpus_name!r}; the corpora are: {', '.join(sorted(CORPORA))}")
    if not corpus_dir.is_dir():
        raise UsageError(f"{printable_path(corpus_dir)} is not a folder; give the folder of the corpus")
    if transcripts is not None:
        if corpus_name != "folder":
            raise UsageError(
                f"{corpus_name} includes its transcripts; give a list of transcripts only with the corpus `folder`"
            )
        return partial(folder.read, transcripts=Path(transcripts).resolve())
    if corpus_name == "folder":
        _refuse_published_layout(corpus_dir)
    return CORPORA[corpus_name]


def _refuse_published_layout(corpus_dir: Path) -> None:
    if (corpus_dir / folder_lists.METADATA).is_file():
        return
    for name, is_layout in LAYOUTS.items():
        if is_layout(corpus_dir):
            raise UsageError(
                f"{printable_path(corpus_dir)} has the layout of {name}; read it with `tts-meta prepare {name} DIR OUT`"
            )
