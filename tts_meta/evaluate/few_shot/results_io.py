"""Cells of the few-shot benchmark as lines of a file: what one machine measured, another need not."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.speaker_encoder import Embedding
from tts_meta.evaluate.table import read_lines, scores_of, scores_record, write_lines

_FACTS = ("learner", "speaker", "sentences", "steps", "steps_done", "parameters", "bytes", "cpu_seconds")


def write_trials(path: str | Path, trials: Sequence[Trial]) -> None:
    """Write one JSON line a cell: its key, what it is, cost and is from, its scores, embeddings in half precision."""
    write_lines(path, map(_record, trials))


def read_trials(path: str | Path) -> dict[str, Trial]:
    """Read what `write_trials` wrote, by key, without voices and audio. Raises TtsMetaError with the file and line."""
    trials = read_lines(path, _cell_of, "the cells", "cell; write them with tts-meta benchmark")
    return {trial.key: trial for trial in trials}


def _record(trial: Trial) -> dict[str, Any]:
    record: dict[str, Any] = {"key": trial.key} | {name: getattr(trial, name) for name in _FACTS}
    record["source"] = trial.source
    record["scores"] = [scores_record(row) for row in trial.scores]
    record["embeddings"] = [_packed(embedding) for embedding in trial.embeddings]
    return record


def _cell_of(record: Mapping[str, Any]) -> Trial:
    return Trial(
        **{name: record[name] for name in _FACTS},
        folder=_folder(record["key"]),
        scores=tuple(scores_of(row) for row in record["scores"]),
        embeddings=np.array([_unpacked(text) for text in record["embeddings"]], np.float32),
    )


def _folder(key: str) -> Path:
    """Where a cell of that key would lie. Raises ValueError for a key of another form."""
    voice, judged = key.split("/")
    return Path(voice, judged)


def _packed(embedding: Embedding) -> str:
    return base64.b64encode(embedding.astype("<f2").tobytes()).decode("ascii")


def _unpacked(text: str) -> Embedding:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
