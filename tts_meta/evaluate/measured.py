"""Cells of the few-shot benchmark as lines of a file: what one machine measured, another need not."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.cells import Cell
from tts_meta.evaluate.speaker_encoder import Embedding
from tts_meta.evaluate.table import scores_of, scores_record
from tts_meta.files import atomic_file

_FACTS = ("learner", "speaker", "sentences", "steps", "done", "parameters", "bytes", "seconds")


def write_cells(path: str | Path, cells: Sequence[Cell]) -> None:
    """Write one JSON line a cell: its key, what it is, what it cost, its scores, and embeddings in half precision."""
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for cell in cells:
            record: dict[str, Any] = {"key": cell.key} | {name: getattr(cell, name) for name in _FACTS}
            record["scores"] = [scores_record(row) for row in cell.scores]
            record["embeddings"] = [_packed(embedding) for embedding in cell.embeddings]
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def read_cells(path: str | Path) -> dict[str, Cell]:
    """Read what `write_cells` wrote, by key, without voices and sound. Raises TtsMetaError naming the file and line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"cannot read the cells in {path}: {getattr(error, 'strerror', None) or error}") from error
    cells: dict[str, Cell] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            cells[record["key"]] = Cell(
                **{name: record[name] for name in _FACTS},
                folder=Path(record["key"]),
                scores=tuple(scores_of(row) for row in record["scores"]),
                embeddings=np.array([_unpacked(text) for text in record["embeddings"]], np.float32),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TtsMetaError(f"{path}, line {number} is no cell; write them with tts-meta benchmark") from error
    return cells


def _packed(embedding: Embedding) -> str:
    return base64.b64encode(embedding.astype("<f2").tobytes()).decode("ascii")


def _unpacked(text: str) -> Embedding:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
