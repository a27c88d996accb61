"""Miniature settings of the programs of recipes/speaker_verification."""

from __future__ import annotations


def small_verifier(held_out: str) -> dict[str, object]:
    """Return settings of a training of two steps. held_out: a list of speakers in YAML."""
    return {
        "splits": "[train, eval]",
        "held_out_speakers": held_out,
        "validation_speakers": held_out,
        "crop_seconds": "[0.3, 0.3]",
        "optimiser.steps": 2,
        "encoder": "{channels: 8, groups: 2, pooled: 8, bottleneck: 4, embedding: 8}",
    }


def small_verification() -> dict[str, object]:
    """Return settings of a measurement of two speakers with two sentences each."""
    return {"groups": "{small: {splits: [train], speakers: [ls1580, ls7021]}}", "sentences": 2}
