"""Readers of corpora, one file per corpus layout, and `prepare`, which writes the manifest of a corpus.

To add a corpus, write `data_prep/NAME.py` with a function `read(corpus_dir) -> Iterator[Recording]`, and add one line
to `CORPORA` in `data_prep/corpora.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.corpora import CORPORA
from data_prep.pipeline.entries import DROPPED_FILE, MANIFEST_FILE, PreparedCorpus
from data_prep.pipeline.parts import PARTS_FOLDER, merge
from data_prep.pipeline.prepare import PERTURBED_FOLDER, PreparedPart, PrepareOptions, prepare_corpus
from data_prep.pipeline.shard import Shard
from data_prep.pipeline.transcribed import AsrOptions
from data_prep.pipeline.work import Workers
from data_prep.recording import Recording
from tts_meta.corpus import Manifest

__all__ = [
    "CORPORA",
    "DROPPED_FILE",
    "MANIFEST_FILE",
    "PARTS_FOLDER",
    "PERTURBED_FOLDER",
    "AsrOptions",
    "PrepareOptions",
    "PreparedCorpus",
    "PreparedPart",
    "Recording",
    "Shard",
    "Workers",
    "merge",
    "prepare",
    "prepare_corpus",
]


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
    written into `out_dir/speed_perturbed` and listed as other speakers: see `speed_perturbation.copy_at_speed`.
    `transcripts`: the transcript list of a corpus `folder`, if it is not a list that `folder.read` finds. `report`
    receives the number of recordings that are read (or written) so far, and the total number. `prepare_corpus` does the
    same with several processes or a cluster, and does not load the manifest.

    A recording that cannot be used (no transcript, empty text, missing or unusable audio, repeated id) is listed in
    `dropped.jsonl` with the reason. Raises UsageError for an unknown corpus, folder or split, for an invalid speed, or
    if a published corpus is given as `folder`. Raises TtsMetaError if the layout is not that of the corpus, no
    recording is usable, or `out_dir` cannot be written.
    """
    options = PrepareOptions(speeds=speeds, splits=splits, transcripts=transcripts)
    return Manifest.load(prepare_corpus(corpus_name, corpus_dir, out_dir, options, report).path)
