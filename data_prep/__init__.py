"""One file per corpus: it reads the published layout; `prepare` turns what it found into a manifest.

To add a corpus, write `data_prep/NAME.py` with `read(corpus_dir) -> Iterator[Recording]` and add one line to
`CORPORA`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data_prep import folder, folder_lists, librispeech, librispeech_mini, libritts, vctk
from data_prep.recording import Recording, to_utterance
from data_prep.speed_perturbation import check_speeds, make_speakers
from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.text_file import shown_path
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file, check_writable

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
"""How to recognise a published corpus that is given as a folder."""

MANIFEST_FILE = "manifest.jsonl"
DROPPED_FILE = "dropped.jsonl"
MADE_FOLDER = "made"
_AT_ONCE = 128
"""Recordings that are read ahead of the manifest."""

__all__ = ["CORPORA", "DROPPED_FILE", "MADE_FOLDER", "MANIFEST_FILE", "Recording", "make_speakers", "prepare"]


def prepare(
    corpus_name: str,
    corpus_dir: str | Path,
    out_dir: str | Path,
    speeds: Sequence[float] = (),
    splits: Sequence[str] = (),
    transcripts: str | Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Read a corpus, write `out_dir/manifest.jsonl` and `out_dir/dropped.jsonl`, and return the manifest as loaded.

    The recordings stay where they are; at other `speeds` those of the `splits` are written into `out_dir/made`, and
    listed as other speakers: see `made_speakers.make_speakers`. `transcripts` is the list of a folder's transcripts,
    where it is not one that `folder.read` finds. `report` receives the numbers of recordings read, or made, and
    of all.

    What cannot be used (no transcript, empty text, missing or unusable audio, an id seen before) is a line of
    `dropped.jsonl` with its reason. Raises UsageError on an unknown corpus or folder, or for a corpus with a reader of
    its own that is given as a folder; TtsMetaError where the layout is not the corpus's own, nothing usable was found,
    or `out_dir` cannot be written.
    """
    if corpus_name not in CORPORA:
        raise UsageError(f"no corpus named {corpus_name!r}; the corpora are: {', '.join(sorted(CORPORA))}")
    corpus_dir, out_dir = Path(corpus_dir).resolve(), Path(out_dir)
    if not corpus_dir.is_dir():
        raise UsageError(f"{shown_path(corpus_dir)} is not a folder; give the folder that holds the corpus")
    read = CORPORA[corpus_name]
    if transcripts is not None:
        if corpus_name != "folder":
            raise UsageError(f"{corpus_name} has transcripts of its own; a list of transcripts is for: folder")
        read = partial(folder.read, transcripts=Path(transcripts).resolve())
    elif corpus_name == "folder":
        _check_is_no_published_layout(corpus_dir)
    speeds = check_speeds(speeds)
    for name in (MANIFEST_FILE, DROPPED_FILE, *([f"{MADE_FOLDER}/recording.flac"] if speeds else [])):
        check_writable(out_dir / name)

    kept: dict[str, Utterance] = {}
    dropped: list[dict[str, str | None]] = []
    for recording, result in _utterances(read(corpus_dir), (out_dir / MADE_FOLDER).resolve(), report):
        if isinstance(result, Utterance) and result.id not in kept:
            kept[result.id] = result
        else:
            reason = result if isinstance(result, str) else f"duplicate id {result.id}"
            dropped.append(_dropped_line(recording, reason, out_dir))

    if not kept and not dropped:
        where = f"{CORPORA[corpus_name].__module__.replace('.', '/')}.py"
        raise TtsMetaError(f"{corpus_dir} holds no recordings in the layout of {corpus_name!r}, described in {where}")
    with atomic_file(out_dir / DROPPED_FILE) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in dropped), encoding="utf-8")
    if not kept:
        raise TtsMetaError(
            f"all {len(dropped)} recordings of {corpus_dir} were dropped, the first for: {dropped[0]['reason']}; "
            f"see {out_dir / DROPPED_FILE}"
        )
    manifest = Manifest(tuple(kept.values()))
    manifest.validate()
    if speeds:
        made = make_speakers(manifest, speeds, out_dir / MADE_FOLDER, splits, report)
        manifest = Manifest((*manifest.utterances, *made))
    manifest.save(out_dir / MANIFEST_FILE)
    return Manifest.load(out_dir / MANIFEST_FILE)


def _check_is_no_published_layout(corpus_dir: Path) -> None:
    if (corpus_dir / folder_lists.METADATA).is_file():
        return
    for name, is_layout in LAYOUTS.items():
        if is_layout(corpus_dir):
            raise UsageError(
                f"{shown_path(corpus_dir)} has the layout of {name}; read it with `tts-meta prepare {name} DIR OUT`"
            )


def _utterances(
    recordings: Iterable[Recording], made: Path, report: Callable[[int, int], None]
) -> Iterator[tuple[Recording, Utterance | str]]:
    """Each recording and what becomes of it, in order; those that an earlier run wrote into `made` are left out."""
    kept = [one for one in recordings if one.audio is None or not one.audio.is_relative_to(made)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(kept), _AT_ONCE):
            some = kept[start : start + _AT_ONCE]
            for number, result in enumerate(pool.map(to_utterance, some)):
                report(start + number + 1, len(kept))
                yield some[number], result


def _dropped_line(recording: Recording, reason: str, out_dir: Path) -> dict[str, str | None]:
    audio = None if recording.audio is None else os.path.relpath(recording.audio, out_dir.resolve())
    return {
        "id": recording.id,
        "speaker": recording.speaker,
        "audio": audio,
        "reason": reason,
    }
