"""`Metric`: the interface of a metric, with its input, its result and its table columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tts_meta.audio.waveform import Samples
from tts_meta.models.speaker_encoder import Embedding

Need = Literal["text", "voice", "ecapa_voice", "reference"]


@dataclass(frozen=True)
class Sample:
    """One spoken sentence to score, with what it can be compared to."""

    waveform: Samples
    """Samples (S,)."""
    rate: int
    """Sample rate in Hz."""
    text: str | None = None
    """The text that should be spoken."""
    voice: Embedding | None = None
    """Mean embedding (256,) of real sentences of the speaker, by `SpeakerEncoder`."""
    ecapa_voice: Embedding | None = None
    """The same by `EcapaEncoder` (E,)."""
    reference: Samples | None = None
    """The real recording (S,) of the same sentence."""
    reference_rate: int | None = None
    """Sample rate in Hz."""


@dataclass(frozen=True)
class Measure:
    """A value and its weight in a mean.

    The weight is for rates. For example, the weight of a word error rate is the number of words.
    """

    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Column:
    """How a score is printed in tables."""

    name: str
    heading: str
    digits: int
    better: Literal["higher", "lower"]

    @property
    def title(self) -> str:
        """The heading with an arrow: up if higher is better."""
        return f"{self.heading} {'↑' if self.better == 'higher' else '↓'}"


@dataclass(frozen=True)
class Settings:
    """Device and models of the metrics."""

    device: str = "cpu"
    """Where the networks compute, as in `choose_device`. Metrics without a network compute on the CPU."""
    whisper: str | None = None
    """Folder or name of the Whisper model; None searches for one as `whisper.find_whisper` does."""
    language: str = "en"


MetricFunction = Callable[[Sample], Mapping[str, Measure | str]]


@dataclass(frozen=True)
class Metric:
    """A metric: `load` builds its models once and returns the function that scores a sample.

    The function returns a Measure for each of `columns` and leaves out a column that it cannot compute. The
    function may add notes as strings. The function is called only with samples that have everything in `needs`.
    """

    columns: tuple[Column, ...]
    load: Callable[[Settings], MetricFunction]
    needs: tuple[Need, ...] = ()
    packages: tuple[str, ...] = ()
    """Modules of the extra `eval` that the metric imports."""
    version: int = 1
    """Increase this version when the same sample would get other scores. Keys of score caches contain the version."""
    model: Callable[[Settings], str] = lambda settings: ""
    """Function that returns the identity of the model if the settings choose among several.

    The same weights have the same identity.
    """

    def identity(self, settings: Settings) -> str:
        """Return a text of everything that a score depends on, except the sample.

        Keys of score caches contain the text.
        """
        return f"{self.version} {self.model(settings)} {settings.device.partition(':')[0]} {settings.language}"
