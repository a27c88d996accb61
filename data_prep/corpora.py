"""The registry of corpora: the reader of each corpus, the test of its published layout, and the choice of a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from data_prep import (
    cmu_arctic,
    common_voice,
    folder,
    folder_lists,
    hifi_tts,
    l2_arctic,
    lhotse,
    librispeech,
    librispeech_mini,
    libritts,
    libritts_r,
    ljspeech,
    manifest,
    mls,
    speechocean762,
    vctk,
)
from data_prep.download import where_to_get
from data_prep.recording import Recording
from tts_meta.corpus.text_file import printable_path
from tts_meta.errors import UsageError

Reader = Callable[[Path], Iterator[Recording]]

CORPORA: dict[str, Reader] = {
    "cmu-arctic": cmu_arctic.read,
    "common-voice": common_voice.read,
    "folder": folder.read,
    "hifi-tts": hifi_tts.read,
    "l2-arctic": l2_arctic.read,
    "lhotse": lhotse.read,
    "librispeech": librispeech.read,
    "librispeech-mini": librispeech_mini.read,
    "libritts": libritts.read,
    "libritts-r": libritts_r.read,
    "ljspeech": ljspeech.read,
    "manifest": manifest.read,
    "mls": mls.read,
    "speechocean762": speechocean762.read,
    "vctk": vctk.read,
}
LAYOUTS: dict[str, Callable[[Path], bool]] = {
    "ljspeech": ljspeech.is_layout,
    "vctk": vctk.is_layout,
    "cmu-arctic": cmu_arctic.is_layout,
    "l2-arctic": l2_arctic.is_layout,
    "hifi-tts": hifi_tts.is_layout,
    "mls": mls.is_layout,
    "common-voice": common_voice.is_layout,
    "speechocean762": speechocean762.is_layout,
    "libritts-r": libritts_r.is_layout,
    "libritts": libritts.is_layout,
    "librispeech": librispeech.is_layout,
}
"""Functions that recognise the layout of a published corpus, which a user may give as `folder` by mistake."""
FILES = ("lhotse", "manifest")
"""Corpora whose source may be a file."""


def choose_reader(corpus_name: str, corpus_dir: Path, transcripts: str | Path | None = None) -> Reader:
    """Return the reader of a corpus, with the transcript list of a corpus `folder` if one is given.

    Raises UsageError for an unknown corpus or folder, for a list with another corpus, or if a published corpus is given
    as `folder`.
    """
    if corpus_name not in CORPORA:
        raise UsageError(f"no corpus named {corpus_name!r}; the corpora are: {', '.join(sorted(CORPORA))}")
    if corpus_name in FILES and not corpus_dir.exists():
        raise UsageError(f"{printable_path(corpus_dir)} does not exist; give the file of the {corpus_name}")
    if corpus_name not in FILES and not corpus_dir.is_dir():
        advice = where_to_get(corpus_name) or "give the folder of the corpus"
        raise UsageError(f"{printable_path(corpus_dir)} is not a folder; {advice}")
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
    has_list = (corpus_dir / folder_lists.METADATA).is_file()
    for name, is_layout in LAYOUTS.items():
        if (name == "ljspeech" or not has_list) and is_layout(corpus_dir):
            raise UsageError(
                f"{printable_path(corpus_dir)} has the layout of {name}; read it with `tts-meta prepare {name} DIR OUT`"
            )
