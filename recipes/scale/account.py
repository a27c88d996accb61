"""The account of large corpora on paper: what bounds each stage, from measured figures and stated assumptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipes.recipe_io import markdown_table

HOURS, GPUS = (1_000, 100_000), (8, 64)
"""Sizes of the corpora in hours of speech, and numbers of GPUs."""


@dataclass(frozen=True)
class Assumptions:
    """What is not measured here.

    cores: CPU cores for each GPU. gpu: speed of a GPU in training, relative to one core of this machine. scaling: share
    of the speed that remains on several GPUs. epochs: passes over the corpus in pretraining. speakers_hours: hours of
    each speaker. disk: bytes a second that one node of `node` GPUs reads from the shared file system. ram: memory of a
    node in bytes. flac: bytes of a second of a recording.
    """

    cores: int = 16
    gpu: float = 73.0
    scaling: float = 0.9
    epochs: float = 10.0
    disk: float = 1e9
    node: int = 8
    ram: float = 1e12
    flac: float = 50_000.0


ASSUMED = Assumptions()


def account_page(cost: Mapping[str, Any], speech: Mapping[str, float]) -> str:
    """Return the tables as Markdown. cost: the row of the largest synthetic corpus. speech: `measure_speech`."""
    rows = [row for hours in HOURS for gpus in GPUS for row in _rows(hours, gpus, cost, speech)]
    head = ["hours", "GPUs", "stage", "time", "bound by"]
    return "\n".join(
        [
            markdown_table(["measured on one core", "value"], _measured(cost, speech)),
            markdown_table(["assumed", "value"], _assumed()),
            markdown_table(head, rows),
        ]
    )


def _measured(cost: Mapping[str, Any], speech: Mapping[str, float]) -> list[list[str]]:
    lines = cost["lines"]
    per_line = {name: 1e6 * cost[name]["seconds"] / lines for name in ("prepare", "split", "read")}
    growth = {name: 1024**2 * (cost[name]["mib"] - cost[name]["mib_before"]) / lines for name in ("prepare", "read")}
    return [
        ["decoding, trimming, loudness, log-mel", f"{speech['read']:.0f} times real time"],
        ["alignment, with phonemes", f"{speech['align']:.0f} times real time"],
        ["a step of pretraining, bfloat16", f"{speech['pretrain']:.1f} times real time"],
        ["length of a sentence", f"{speech['mean_seconds']:.1f} s"],
        *([f"{name}, a million sentences", f"{seconds:.0f} s"] for name, seconds in per_line.items()),
        *([f"memory of {name}, each sentence", f"{size:,.0f} bytes"] for name, size in growth.items()),
    ]


def _assumed() -> list[list[str]]:
    return [
        ["CPU cores for each GPU", f"{ASSUMED.cores}"],
        ["speed of a GPU in pretraining, in cores of this machine", f"{ASSUMED.gpu:.0f}"],
        ["share of this speed on several GPUs", f"{ASSUMED.scaling:.0%}"],
        ["passes over the corpus in pretraining", f"{ASSUMED.epochs:.0f}"],
        [f"reading from the file system, each node of {ASSUMED.node} GPUs", f"{ASSUMED.disk / 1e9:.0f} GB/s"],
        ["memory of a node", f"{ASSUMED.ram / 1e12:.0f} TB"],
        ["a second of a recording in FLAC", f"{ASSUMED.flac / 1000:.0f} kB"],
    ]


def _rows(hours: int, gpus: int, cost: Mapping[str, Any], speech: Mapping[str, float]) -> list[list[str]]:
    """Return a row for each stage: its time, and the largest of the times of what it needs."""
    seconds, cores, nodes = 3600.0 * hours, ASSUMED.cores * gpus, max(1, gpus // ASSUMED.node)
    sentences, disk = seconds / speech["mean_seconds"], ASSUMED.disk * nodes
    mel_bytes = seconds / speech["frame_seconds"] * speech["bands"] * 2
    per_line = {name: cost[name]["seconds"] / cost["lines"] for name in ("prepare", "split", "read")}
    gpu_speed = speech["pretrain"] * ASSUMED.gpu * gpus * ASSUMED.scaling
    batches = cost["batches"]["epoch_seconds"] / cost["lines"] * sentences
    stages = {
        "prepare": {
            "CPU cores": seconds / speech["read"] / cores,
            "file system": seconds * ASSUMED.flac / disk,
            "one process, the list": per_line["prepare"] * sentences,
        },
        "split": {"one process, the list": per_line["split"] * sentences},
        "alignment": {
            "CPU cores": seconds / speech["align"] / cores,
            "file system": mel_bytes / disk,
            "one process, the list": per_line["read"] * sentences,
        },
        "pretraining": {
            "GPUs": ASSUMED.epochs * seconds / gpu_speed,
            "file system": ASSUMED.epochs * mel_bytes / disk,
            "one process, the list": per_line["read"] * sentences + ASSUMED.epochs * batches,
        },
    }
    rows = []
    for name, times in stages.items():
        bound = max(times, key=lambda resource: times[resource])
        others = ", ".join(f"{resource} {_time(t)}" for resource, t in times.items() if resource != bound)
        note = f"{bound}{f' (not {others})' if others else ''}"
        rows.append([f"{hours:,}", str(gpus), name, _time(times[bound]), note])
    growth = (cost["read"]["mib"] - cost["read"]["mib_before"]) * 2**20 / cost["lines"]
    memory = growth * sentences * min(gpus, ASSUMED.node)
    fits = "fits" if memory < ASSUMED.ram else "does not fit"
    lists = f"{memory / 1e9:,.1f} GB a node for the manifest in {min(gpus, ASSUMED.node)} processes: {fits}"
    rows.append([f"{hours:,}", str(gpus), "memory and disk", "", f"{lists}; {mel_bytes / 1e9:,.0f} GB of log-mels"])
    return rows


def _time(seconds: float) -> str:
    """Return a duration in the largest unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"
