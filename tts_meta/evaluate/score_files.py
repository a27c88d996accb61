"""Reads and writes scores as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.scores import Scores
from tts_meta.files import atomic_file

Line = TypeVar("Line")


def write_scores(path: str | Path, scores: Iterable[Scores]) -> None:
    """Write one JSON line per utterance: id, speaker, system, scores, weights other than 1, notes."""
    write_lines(path, map(scores_to_record, scores))


def read_scores(path: str | Path) -> list[Scores]:
    """Read the file that `write_scores` wrote. Raises TtsMetaError with the file and line."""
    return read_lines(path, scores_from_record, "scores", "a line of scores; write the file with write_scores")


def scores_to_record(row: Scores) -> dict[str, Any]:
    """Return the scores of an utterance as a JSON object."""
    record: dict[str, Any] = {"id": row.id, "speaker": row.speaker, "system": row.system}
    record["scores"] = {name: measure.value for name, measure in row.measures.items()}
    weights = {name: measure.weight for name, measure in row.measures.items() if measure.weight != 1}
    return record | {key: value for key, value in (("weights", weights), ("notes", dict(row.notes))) if value}


def scores_from_record(record: Mapping[str, Any]) -> Scores:
    """Return the scores of a JSON object from `scores_to_record`.

    Raises KeyError, TypeError or AttributeError for any other object.
    """
    weights = record.get("weights", {})
    measures = {name: Measure(value, weights.get(name, 1.0)) for name, value in record["scores"].items()}
    return Scores(record["id"], record["speaker"], record["system"], measures, record.get("notes", {}))


def write_lines(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON line per record. Raises ValueError for a number that is not finite."""
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def read_lines(path: str | Path, parse: Callable[[Any], Line], content_name: str, line_name: str) -> list[Line]:
    """Read the file that `write_lines` wrote, and parse each record.

    content_name: name of the content in an error message. line_name: name of one line in an error message. Raises
    TtsMetaError with the file and line.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(
            f"cannot read {content_name} in {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    rows: list[Line] = []
    # `splitlines` is not used: it also splits at U+2028 and other separators, which a JSON string may contain.
    for number, line in enumerate(content.removesuffix("\n").split("\n") if content else (), 1):
        try:
            rows.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TtsMetaError(f"{path}, line {number} is not {line_name}") from error
    return rows
