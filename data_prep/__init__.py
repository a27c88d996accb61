"""Readers of corpora, one file per corpus layout, and `prepare`, which writes the manifest of a corpus.

To add a corpus, write `data_prep/NAME.py` with a function `read(corpus_dir) -> Iterator[Recording]`, and add one line
to `CORPORA` in `data_prep/corpora.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_prep.corpora import CORPORA, choose_reader
from data_prep.recording import Recording, dropped_line, to_utterance
from data_prep.speed_perturbation import check_speeds, perturb_speed
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, check_writable

MANIFEST_FILE = "manifest.jsonl"
DROPPED_FILE = "dropped.jsonl"
PERTURBED_FOLDER = "speed_perturbed"
_CHUNK_SIZE = 128
"""Number of recordings that are read in parallel at a time."""

__all__ = ["CORPORA", "DROPPED_FILE", "MANIFEST_FILE", "PERTURBED_FOLDER", "Recording", "perturb_speed", "prepare"]


def prepare(
    corpus_name: str,
    corpus_dir: str | Path,
    out_dir: str | Path,
    speeds: Sequence[float] = (),
    splits: Sequence[str] = (),
    transcripts: str | Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Read a corpus, write `out_dir/manifest.jsonl` and `out_dir/dropped.jsonl`, and return the manifest.

    Recordings are not copied. For each of the `speeds`, copies of the recordings of the `splits` at this speed are
    written into `out_dir/speed_perturbed` and listed as other speakers: see `speed_perturbation.perturb_speed`.
    `transcripts`: the transcript list of a corpus `folder`, if it is not a list that `folder.read` finds. `report`
    receives the number of recordings that are read (or written) so far, and the total number.

    A recording that cannot be used (no transcript, empty text, missing or unusable audio, repeated id) is listed in
    `dropped.jsonl` with the reason. Raises UsageError for an unknown corpus or folder, or if a published corpus is
    given as `folder`. Raises TtsMetaError if the layout is not that of the corpus, no recording is usable, or `out_dir`
    cannot be written.
    """
    corpus_dir, out_dir = Path(corpus_dir).resolve(), Path(out_dir)
    read = choose_reader(corpus_name, corpus_dir, transcripts)
    speeds = check_speeds(speeds)
    for name in (MANIFEST_FILE, DROPPED_FILE, *([f"{PERTURBED_FOLDER}/recording.flac"] if speeds else [])):
        check_writable(out_dir / name)

    kept: dict[str, Utterance] = {}
    dropped: list[dict[str, Any]] = []
    for recording, result in _utterances(read(corpus_dir), (out_dir / PERTURBED_FOLDER).resolve(), report):
        if isinstance(result, Utterance) and result.id not in kept:
            kept[result.id] = result
        else:
            reason = result if isinstance(result, str) else f"duplicate id {result.id}"
            dropped.append(dropped_line(recording, reason, out_dir))

    if not kept and not dropped:
        source = f"{CORPORA[corpus_name].__module__.replace('.', '/')}.py"
        raise TtsMetaError(f"{corpus_dir} has no recordings in the layout of {corpus_name!r}; {source} describes it")
    with atomic_file(out_dir / DROPPED_FILE) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in dropped), encoding="utf-8")
    if not kept:
        raise TtsMetaError(
            f"no recording of {corpus_dir} can be used; reason of the first of {len(dropped)}: {dropped[0]['reason']}; "
            f"see {out_dir / DROPPED_FILE}"
        )
    manifest = Manifest(tuple(kept.values()))
    manifest.validate()
    if speeds:
        perturbed = perturb_speed(manifest, speeds, out_dir / PERTURBED_FOLDER, splits, report)
        manifest = Manifest((*manifest.utterances, *perturbed))
    manifest.save(out_dir / MANIFEST_FILE)
    return Manifest.load(out_dir / MANIFEST_FILE)


def _utterances(
    recordings: Iterable[Recording], perturbed: Path, report: Callable[[int, int], None]
) -> Iterator[tuple[Recording, Utterance | str]]:
    """Yield each recording with its utterance or its fault, in order. Recordings below `perturbed` are left out."""
    originals = [
        recording
        for recording in recordings
        if recording.audio is None or not recording.audio.is_relative_to(perturbed)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(originals), _CHUNK_SIZE):
            chunk = originals[start : start + _CHUNK_SIZE]
            for number, result in enumerate(pool.map(to_utterance, chunk)):
                report(start + number + 1, len(originals))
                yield chunk[number], result
