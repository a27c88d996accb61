"""How something is said: what a user may change of a voice's way of speaking."""

from __future__ import annotations

from dataclasses import dataclass

from tts_meta.errors import SEEDS, check_number


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of speaking; as they stand, the voice speaks as it is predicted. Raises UsageError out of range."""

    speed: float = 1.0
    """2 speaks twice as fast."""
    pitch: float = 0.0
    """Semitones higher."""
    pitch_range: float = 1.0
    """0 is a monotone, 2 twice the ups and downs that are predicted."""
    prenet_dropout: float = 0.0
    """Dropout in the decoder's prenet: above 0 no two seeds say a text alike."""
    postfilter: float = 1.0
    """0 leaves spectra as smooth as they are predicted, 1 gives them the variance of speech, more exaggerates."""
    seed: int = 0
    """Seeds the variation."""

    def __post_init__(self) -> None:
        for name, low, high, unit in (
            ("speed", 0.25, 4, ""),
            ("pitch", -12, 12, " semitones"),
            ("pitch_range", 0, 3, ""),
            ("prenet_dropout", 0, 0.9, ""),
            ("postfilter", 0, 2, ""),
        ):
            check_number(name, getattr(self, name), low, high, unit)
        check_number("seed", self.seed, -SEEDS, SEEDS, whole=True)


DEFAULT = SynthesisOptions()
"""As predicted."""
