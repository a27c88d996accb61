"""Caches the result of each metric for each sample in a folder, so that no sample is scored twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tts_meta.evaluate.metric import Measure, Metric, Sample, Settings
from tts_meta.files import atomic_file

MetricResult = Mapping[str, Measure | str]
"""Measures, and notes as strings."""


def result_path(cache: Path, name: str, metric: Metric, settings: Settings, sample: Sample) -> Path:
    """Return the file for the result of the metric `name`.

    The same metric, model, audio and needs have the same file.
    """
    key = hashlib.sha256(f"{name} {metric.identity(settings)} {sample.rate} {sample.waveform.dtype}".encode())
    key.update(np.ascontiguousarray(sample.waveform).tobytes())
    for need in metric.needs:
        value = getattr(sample, need)
        key.update(f" {need} ".encode())
        key.update(value.encode() if isinstance(value, str) else np.ascontiguousarray(value).tobytes())
        if need == "reference":
            key.update(str(sample.reference_rate).encode())
    return cache / f"{key.hexdigest()}.json"


def write_result(path: Path, result: MetricResult) -> None:
    """Write the file atomically. Raises ValueError for a number that is not finite."""
    record = {name: [m.value, m.weight] if isinstance(m, Measure) else m for name, m in result.items()}
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_result(path: Path) -> MetricResult | None:
    """Read the file. Returns None if it does not exist or was not written by `write_result`."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: value if isinstance(value, str) else Measure(*map(float, value)) for name, value in record.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return None
