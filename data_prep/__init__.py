"""One file per corpus: it reads the published layout; `prepare` turns what it found into a manifest.

To add a corpus, write `data_prep/NAME.py` with `read(corpus_dir) -> Iterator[Recording]` and add one line to
`CORPORA`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_prep import folder, librispeech_mini
from data_prep.made_speakers import make_speakers
from data_prep.recording import Recording, to_utterance
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file

CORPORA: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "folder": folder.read,
    "librispeech-mini": librispeech_mini.read,
}

MANIFEST_FILE = "manifest.jsonl"
DROPPED_FILE = "dropped.jsonl"
MADE_FOLDER = "made"

__all__ = ["CORPORA", "DROPPED_FILE", "MADE_FOLDER", "MANIFEST_FILE", "Recording", "make_speakers", "prepare"]


def prepare(
    corpus_name: str,
    corpus_dir: str | Path,
    out_dir: str | Path,
    speeds: Sequence[float] = (),
    splits: Sequence[str] = (),
) -> Manifest:
    """Read a corpus, write `out_dir/manifest.jsonl` and `out_dir/dropped.jsonl`, and return the manifest as loaded.

    The recordings stay where they are; at other `speeds` those of the `splits` are written into `out_dir/made`, and
    listed as other speakers: see `made_speakers.make_speakers`. What cannot be used (no transcript, empty text, missing
    or unreadable audio, an id seen before) is a line of `dropped.jsonl` with its reason. Raises UsageError on an
    unknown corpus or folder, TtsMetaError where the layout is not the corpus's own or nothing usable was found.
    """
    if corpus_name not in CORPORA:
        raise UsageError(f"no corpus named {corpus_name!r}; the corpora are: {', '.join(sorted(CORPORA))}")
    corpus_dir, out_dir = Path(corpus_dir).resolve(), Path(out_dir)
    if not corpus_dir.is_dir():
        raise UsageError(f"{corpus_dir} is not a folder; give the folder that holds the corpus")

    kept: dict[str, Utterance] = {}
    dropped: list[dict[str, str | None]] = []
    for recording in CORPORA[corpus_name](corpus_dir):
        result = f"duplicate id {recording.id}" if recording.id in kept else to_utterance(recording)
        if isinstance(result, Utterance):
            kept[result.id] = result
        else:
            dropped.append(_dropped_line(recording, result, out_dir))

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
        made = make_speakers(manifest, speeds, out_dir / MADE_FOLDER, splits)
        manifest = Manifest((*manifest.utterances, *made))
    manifest.save(out_dir / MANIFEST_FILE)
    return Manifest.load(out_dir / MANIFEST_FILE)


def _dropped_line(recording: Recording, reason: str, out_dir: Path) -> dict[str, str | None]:
    audio = None if recording.audio is None else os.path.relpath(recording.audio, out_dir.resolve())
    return {
        "id": recording.id,
        "speaker": recording.speaker,
        "audio": audio,
        "reason": reason,
    }
