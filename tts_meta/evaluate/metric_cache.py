"""What a metric said of a clip, kept in a folder by all that it may look at: a clip is judged once by each metric."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tts_meta.evaluate.metric import Measure, Metric, Sample, Settings
from tts_meta.files import atomic_file

Judgement = Mapping[str, Measure | str]
"""Measures, and notes as strings."""


def judged_path(cache: Path, name: str, metric: Metric, settings: Settings, sample: Sample) -> Path:
    """The file of what the metric of that name says of a sample: the same for the same judge, sound and needs."""
    key = hashlib.sha256(f"{name} {metric.identity(settings)} {sample.rate} {sample.waveform.dtype}".encode())
    key.update(np.ascontiguousarray(sample.waveform).tobytes())
    for need in metric.needs:
        value = getattr(sample, need)
        key.update(f" {need} ".encode())
        key.update(value.encode() if isinstance(value, str) else np.ascontiguousarray(value).tobytes())
        if need == "reference":
            key.update(str(sample.reference_rate).encode())
    return cache / f"{key.hexdigest()}.json"


def write_judgement(path: Path, judgement: Judgement) -> None:
    """Write the file, whole or not at all. Raises ValueError for a number that is not finite."""
    record = {name: [m.value, m.weight] if isinstance(m, Measure) else m for name, m in judgement.items()}
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_judgement(path: Path) -> Judgement | None:
    """Read the file; None where there is none, or what is there was not written by `write_judgement`."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {name: told if isinstance(told, str) else Measure(*map(float, told)) for name, told in record.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
