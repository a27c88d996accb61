"""Reads and writes `trials.jsonl` and `recordings.jsonl`, the result files of the few-shot benchmark."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.score_files import read_lines, scores_from_record, scores_to_record, write_lines
from tts_meta.evaluate.scores import Scores
from tts_meta.models.speaker_encoder import Embedding

_FIELDS = ("learner", "speaker", "sentences", "steps", "steps_done", "parameters", "bytes", "cpu_seconds")


def write_trials(path: str | Path, trials: Sequence[Trial]) -> None:
    """Write one JSON line per trial: key, settings, costs, source, scores, and embeddings in half precision."""
    write_lines(path, map(_to_record, trials))


def read_trials(path: str | Path) -> dict[str, Trial]:
    """Read the file that `write_trials` wrote, and return the trials by key, without voice files and audio.

    Raises TtsMetaError with the file and line.
    """
    trials = read_lines(path, _from_record, "trials", "a trial; write the file with tts-meta benchmark")
    return {trial.key: trial for trial in trials}


@dataclass(frozen=True, eq=False)
class SpeakerRecordings:
    """The scores and embeddings of one speaker's recordings and copy-synthesis.

    voice: mean embedding of the references. ecapa_voice, ecapa_embeddings: the same by `EcapaEncoder`, if measured.
    """

    speaker: str
    voice: Embedding
    scores: tuple[Scores, ...]
    embeddings: tuple[Embedding, ...]
    ecapa_voice: Embedding | None = None
    ecapa_embeddings: tuple[Embedding, ...] = ()


def write_recordings(path: str | Path, recordings: Sequence[SpeakerRecordings]) -> None:
    """Write one JSON line per speaker, with embeddings in half precision."""

    def record_of(speaker: SpeakerRecordings) -> dict[str, Any]:
        record = {
            "speaker": speaker.speaker,
            "voice": pack_embedding(speaker.voice),
            "scores": [scores_to_record(row) for row in speaker.scores],
            "embeddings": [pack_embedding(embedding) for embedding in speaker.embeddings],
        }
        if speaker.ecapa_voice is not None:
            record["ecapa_voice"] = pack_embedding(speaker.ecapa_voice)
            record["ecapa_embeddings"] = [pack_embedding(embedding) for embedding in speaker.ecapa_embeddings]
        return record

    write_lines(path, map(record_of, recordings))


def read_recordings(path: str | Path) -> list[SpeakerRecordings]:
    """Read the file that `write_recordings` wrote. Raises TtsMetaError with the file and line."""

    def parse(record: Mapping[str, Any]) -> SpeakerRecordings:
        return SpeakerRecordings(
            record["speaker"],
            unpack_embedding(record["voice"]),
            tuple(scores_from_record(row) for row in record["scores"]),
            tuple(unpack_embedding(text) for text in record["embeddings"]),
            unpack_embedding(record["ecapa_voice"]) if "ecapa_voice" in record else None,
            tuple(unpack_embedding(text) for text in record.get("ecapa_embeddings", ())),
        )

    return read_lines(path, parse, "recordings", "a speaker's recordings; write the file with tts-meta benchmark")


def pack_embedding(embedding: Embedding) -> str:
    """Return the embedding `(E,)` in half precision as base64 text."""
    return base64.b64encode(embedding.astype("<f2").tobytes()).decode("ascii")


def unpack_embedding(text: str) -> Embedding:
    """Return the embedding of a text from `pack_embedding`. Raises ValueError for any other text."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)


def _to_record(trial: Trial) -> dict[str, Any]:
    record: dict[str, Any] = {"key": trial.key} | {name: getattr(trial, name) for name in _FIELDS}
    record["source"] = trial.source
    record["scores"] = [scores_to_record(row) for row in trial.scores]
    record["embeddings"] = [pack_embedding(embedding) for embedding in trial.embeddings]
    if len(trial.ecapa_embeddings):
        record["ecapa_embeddings"] = [pack_embedding(embedding) for embedding in trial.ecapa_embeddings]
    return record


def _from_record(record: Mapping[str, Any]) -> Trial:
    return Trial(
        **{name: record[name] for name in _FIELDS},
        folder=_folder(record["key"]),
        scores=tuple(scores_from_record(row) for row in record["scores"]),
        embeddings=np.array([unpack_embedding(text) for text in record["embeddings"]], np.float32),
        ecapa_embeddings=np.array([unpack_embedding(text) for text in record.get("ecapa_embeddings", ())], np.float32),
    )


def _folder(key: str) -> Path:
    """Return a relative folder whose trial has this key.

    Raises ValueError for a key of another form.
    """
    voice, scoring = key.split("/")
    return Path(voice, scoring)
