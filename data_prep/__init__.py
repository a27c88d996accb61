"""Readers of corpora, one file per corpus layout, and `prepare`, which writes the manifest of a corpus.

To add a corpus, write `data_prep/NAME.py` with a function `read(corpus_dir) -> Iterator[Recording]`, and add one line
to `CORPORA` in `data_prep/corpora.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data_prep import folder, folder_lists
from data_prep.corpora import CORPORA, LAYOUTS
from data_prep.recording import Recording, to_utterance
from data_prep.speed_perturbation import check_speeds, perturb_speed
from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.text_file import printable_path
from tts_meta.errors import TtsMetaError, UsageError
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
    if corpus_name not in CORPORA:
        raise UsageError(f"no corpus named {corpus_name!r}; the corpora are: {', '.join(sorted(CORPORA))}")
    corpus_dir, out_dir = Path(corpus_dir).resolve(), Path(out_dir)
    if not corpus_dir.is_dir():
        raise UsageError(f"{printable_path(corpus_dir)} is not a folder; give the folder of the corpus")
    read = _reader(corpus_name, corpus_dir, transcripts)
    speeds = check_speeds(speeds)
    for name in (MANIFEST_FILE, DROPPED_FILE, *([f"{PERTURBED_FOLDER}/recording.flac"] if speeds else [])):
        check_writable(out_dir / name)

    kept: dict[str, Utterance] = {}
    dropped: list[dict[str, str | None]] = []
    for recording, result in _utterances(read(corpus_dir), (out_dir / PERTURBED_FOLDER).resolve(), report):
        if isinstance(result, Utterance) and result.id not in kept:
            kept[result.id] = result
        else:
            reason = result if isinstance(result, str) else f"duplicate id {result.id}"
            dropped.append(_dropped_line(recording, reason, out_dir))

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


def _reader(
    corpus_name: str, corpus_dir: Path, transcripts: str | Path | None
) -> Callable[[Path], Iterator[Recording]]:
    """Return the reader of a corpus, with its transcript list if one is given."""
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


def _dropped_line(recording: Recording, reason: str, out_dir: Path) -> dict[str, str | None]:
    audio = None if recording.audio is None else os.path.relpath(recording.audio, out_dir.resolve())
    return {
        "id": recording.id,
        "speaker": recording.speaker,
        "audio": audio,
        "reason": reason,
    }
