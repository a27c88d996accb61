"""`tts-meta inspect LEARNER` and `inspect --learners`: a saved learner, and the list of all registered learners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tts_meta.adapt  # noqa: F401  registers the learners that need speech models
from tts_meta.cli.console import print_json, print_text, table
from tts_meta.errors import one_line
from tts_meta.meta import LEARNERS, MetaLearner
from tts_meta.models.saved_learner import SavedLearner

_MAX_TENSORS = 20
"""Largest number of tensors that are printed; `--json` has all of them."""


def inspect_learners(as_json: bool) -> None:
    """Print all registered learners with their sources."""
    learners = [_registered(name, learner) for name, learner in LEARNERS.items()]
    if as_json:
        print_json({"kind": "learners", "learners": learners})
        return
    headings = ("learner", "adapts", "inner steps", "meta-trained", "needs", "source")
    rows = [
        (
            *(row["learner"], row["adapts"], _yes_no(row["inner_steps"]), _yes_no(row["meta_trained"])),
            *(", ".join(row["needs"]), row["source"]),
        )
        for row in learners
    ]
    print_text(table(headings, rows))


def inspect_learner(path: Path, as_json: bool) -> None:
    """Print the content of a learner's files. Raises TtsMetaError for a damaged file."""
    saved = SavedLearner.load(path)
    if as_json:
        print_json({"kind": "learner", "path": str(path), **learner_summary(saved)})
        return
    print_text(f"{path}: a learner of the {saved.model} model with the weights {one_line(saved.weights_hash[:12])}")
    for line in learner_lines(saved):
        print_text(line)
    print_text(f"modules that adapt: {', '.join(map(one_line, saved.modules)) or '(none)'}")
    if saved.shared:
        print_text(f"modules that are the same for all voices: {', '.join(map(one_line, saved.shared))}")


def learner_summary(saved: SavedLearner) -> dict[str, Any]:
    """Return what is known of a saved learner, as plain JSON, with the shape of each tensor."""
    facts = {"source": _source(saved), "model": saved.model, "weights_hash": saved.weights_hash}
    facts |= {"adapts": list(saved.modules), "shared": list(saved.shared)}
    return saved.summary() | facts | {"tensors": {name: list(value.shape) for name, value in saved.tensors.items()}}


def learner_lines(saved: SavedLearner) -> list[str]:
    """Return lines on a saved learner: name, source, version, meta-steps, settings and tensors with their shapes."""
    known = LEARNERS.get(saved.learner)
    version = f"version {saved.version}"
    if known is not None and known.version != saved.version:
        version += f" (this program has version {known.version})"
    settings = [f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in saved.settings.items()]
    shapes = [f"{name} {tuple(value.shape)}" for name, value in sorted(saved.tensors.items())]
    more = [f"and {len(shapes) - _MAX_TENSORS} more"] if len(shapes) > _MAX_TENSORS else []
    lines = [
        f"learner: {saved.learner} ({_source(saved)}), {version}, {saved.meta_steps} meta-steps, rank {saved.rank}, "
        f"one module per {saved.granularity}",
        f"settings: {', '.join(settings) or '(none)'}",
        f"tensors: {', '.join(shapes[:_MAX_TENSORS] + more) or '(none)'}",
    ]
    origin = [f"{name} {value}" for name, value in saved.origin.items() if isinstance(value, str | int | float)]
    if origin:  # nested settings are in the output of `--json`
        lines.append(f"origin: {', '.join(origin)}")
    return [one_line(line) for line in lines]


def _registered(name: str, learner: type[MetaLearner]) -> dict[str, Any]:
    """Return the facts of a registered learner, as plain JSON."""
    facts: dict[str, Any] = {"learner": name, "adapts": learner.adapts, "inner_steps": learner.iterative}
    facts |= {"meta_trained": learner.trainable, "needs": list(learner.needs), "version": learner.version}
    return facts | {"settings": sorted(learner.Settings.model_fields), "source": learner.source}


def _source(saved: SavedLearner) -> str:
    known = LEARNERS.get(saved.learner)
    return "not registered" if known is None else known.source


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
