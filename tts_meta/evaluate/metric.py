"""What a metric is: what it may look at, what it returns, how its columns are headed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tts_meta.audio.waveform import Samples
from tts_meta.evaluate.speaker_encoder import Embedding

Need = Literal["text", "voice", "reference"]


@dataclass(frozen=True)
class Sample:
    """One spoken sentence to judge, with whatever it can be compared to."""

    waveform: Samples
    """Samples (S,)."""
    rate: int
    """Hz."""
    text: str | None = None
    """What should have been said."""
    voice: Embedding | None = None
    """Mean embedding (256,) of the speaker's real sentences."""
    reference: Samples | None = None
    """The real recording (S,) of the same sentence."""
    reference_rate: int | None = None
    """Hz."""


@dataclass(frozen=True)
class Measure:
    """A number and its weight in a mean. The weight is for rates: a word error rate weighs as its number of words."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Column:
    """How a number is shown."""

    name: str
    heading: str
    digits: int
    better: Literal["higher", "lower"]

    @property
    def title(self) -> str:
        """The heading, and which way is better."""
        return f"{self.heading} {'↑' if self.better == 'higher' else '↓'}"


@dataclass(frozen=True)
class Settings:
    """Where and with what models to judge."""

    device: str = "cpu"
    whisper: str | None = None
    """Folder or name of the Whisper model; None looks for one, see `words.find_whisper`."""
    language: str = "en"


Judge = Callable[[Sample], Mapping[str, Measure | str]]


@dataclass(frozen=True)
class Metric:
    """A metric: `load` builds its models once and returns the function that judges.

    That function returns a Measure for each of `columns` (a column it cannot judge is left out) and may add notes as
    strings. It is only called on samples that have all it `needs`.
    """

    columns: tuple[Column, ...]
    load: Callable[[Settings], Judge]
    needs: tuple[Need, ...] = ()
    packages: tuple[str, ...] = ()
    """Modules of the extra `eval` without which it cannot be loaded."""
    version: int = 1
    """Increase it when the same clip would be judged otherwise; caches of scores depend on it."""
    model: Callable[[Settings], str] = lambda settings: ""
    """Which model judges, where the settings choose among several: the same text for the same weights."""

    def identity(self, settings: Settings) -> str:
        """What a judgement depends on beside the sample; caches of scores have it in their keys."""
        return f"{self.version} {self.model(settings)} {settings.device} {settings.language}"
