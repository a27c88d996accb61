"""Training data: utterances, manifests, transcript lists, speaker splits, episodes and padded batches.

The names of `batches` and `bucketing` need torch or numpy and are imported at their first use, so that `prepare` and
`split` start fast and need little memory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tts_meta.corpus.episodes import Episode, EpisodeSampler
from tts_meta.corpus.manifest import Manifest
from tts_meta.corpus.splits import hold_out_named, hold_out_speakers
from tts_meta.corpus.transcript_columns import AUDIO_SUFFIXES
from tts_meta.corpus.transcript_files import Matches, find_sidecar, match_transcripts, name_stem, to_nfc
from tts_meta.corpus.transcripts import Transcript, read_transcripts
from tts_meta.corpus.utterance import SPEED_MARK, Utterance, unperturbed_name

if TYPE_CHECKING:
    from tts_meta.corpus.batches import Batch, Example, collate, group_by_length
    from tts_meta.corpus.bucketing import bucket_batches

__all__ = [
    "AUDIO_SUFFIXES",
    "SPEED_MARK",
    "Batch",
    "Episode",
    "EpisodeSampler",
    "Example",
    "Manifest",
    "Matches",
    "Transcript",
    "Utterance",
    "bucket_batches",
    "collate",
    "find_sidecar",
    "group_by_length",
    "hold_out_named",
    "hold_out_speakers",
    "match_transcripts",
    "name_stem",
    "read_transcripts",
    "to_nfc",
    "unperturbed_name",
]

_MODULES = {name: "batches" for name in ("Batch", "Example", "collate", "group_by_length")}
_MODULES |= {"bucket_batches": "bucketing"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'tts_meta.corpus' has no attribute '{name}'")
    return getattr(importlib.import_module(f"tts_meta.corpus.{_MODULES[name]}"), name)
