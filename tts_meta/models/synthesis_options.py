"""`SynthesisOptions`: the options of synthesis, such as speed, pitch and postfilter."""

from __future__ import annotations

from dataclasses import dataclass

from tts_meta.errors import SEEDS, check_number


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of synthesis; the defaults do not change the predictions. Raises UsageError for a value out of range."""

    speed: float = 1.0
    """Speaking rate: 2 is twice as fast."""
    pitch: float = 0.0
    """Pitch shift in semitones."""
    pitch_range: float = 1.0
    """Factor of the pitch movement: 0 is a monotone, 2 doubles the predicted movement."""
    prenet_dropout: float = 0.0
    """Dropout in the decoder's prenet. Above 0, each seed gives another rendition of a text."""
    postfilter: float = 1.0
    """Strength of the postfilter: 0 keeps spectra as predicted, 1 gives them the variance of speech, 2 exaggerates."""
    seed: int = 0
    """Seed of the dropout."""

    def __post_init__(self) -> None:
        for name, low, high, unit in (
            ("speed", 0.25, 4, ""),
            ("pitch", -12, 12, " semitones"),
            ("pitch_range", 0, 3, ""),
            ("prenet_dropout", 0, 0.9, ""),
            ("postfilter", 0, 2, ""),
        ):
            check_number(name, getattr(self, name), low, high, unit)
        check_number("seed", self.seed, -SEEDS, SEEDS, integer=True)


DEFAULT = SynthesisOptions()
"""Synthesis as predicted."""
