"""Is this enough audio? What voices of so much speech were like, of speakers that neither base nor line was made of.

A score is a straight line over the logarithm of the seconds that a voice is adapted on, fitted to voices of speakers
held back (`recipes/few_shot/expected.py`). How far a new speaker may lie from it is how far each of these lay from the
line of the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tts_meta.adapt.clone import CLONE_VERSION
from tts_meta.adapt.early_stopping import STOPPING_VERSION
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.adapt.settings import CloneSettings
from tts_meta.errors import UsageError
from tts_meta.files import atomic_file, sha256_file
from tts_meta.headers import Header, Name, check_header, read_header
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import FILE as PRIOR_FILE

FILE = "expected.json"
"""Beside the base whose voices it tells of."""
LEVEL = 0.8
"""Of new speakers' voices so many lie in the range that is told."""
_NO_MATTER = ("vocoder_steps", "vocoder_learning_rate", "seed", "hold_out")
"""Settings that may be any: the vocoder does not adapt where no module of it is named, and the seconds count only what
is adapted on."""
PROTOCOL = 2
"""Version of how the scores are measured. 2: similarity to sentences that no voice was adapted on."""
VERSIONS = f"protocol {PROTOCOL}, clone {CLONE_VERSION}, stopping {STOPPING_VERSION}, recordings {RECORDINGS_VERSION}"
"""What the voices of a forecast depend on beside base, prior and settings."""


@dataclass(frozen=True)
class Range:
    """A score that is expected, and from where to where that of a new speaker lies at the level asked for."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One score of voices of T seconds: `at_one_second + slope * ln T`.

    deviation: root mean square distance of speakers from the line of the others. speakers: how many. recordings: what
    real recordings of these speakers score.
    """

    at_one_second: float
    slope: float
    deviation: float
    speakers: int
    recordings: float

    @classmethod
    def fit(
        cls, seconds: npt.ArrayLike, scores: npt.ArrayLike, speakers: npt.ArrayLike, recordings: float = math.nan
    ) -> Line:
        """The line of voices with `seconds (N,)` and `scores (N,)`. Raises UsageError for fewer than three speakers."""
        x, y, who = np.log(np.asarray(seconds, float)), np.asarray(scores, float), np.asarray(speakers)
        names = np.unique(who)
        if len(names) < 3 or not len(x) == len(y) == len(who):
            raise UsageError(f"a line needs voices of three speakers or more, not {len(names)}, each with its seconds")
        squares = []
        for name in names:
            own = who == name
            missed = y[own] - np.polyval(np.polyfit(x[~own], y[~own], 1), x[own])
            squares.append(np.mean(missed**2))
        slope, at_one = np.polyfit(x, y, 1)
        return cls(float(at_one), float(slope), float(np.sqrt(np.mean(squares))), len(names), recordings)

    def of(self, seconds: float, level: float = LEVEL) -> Range:
        """What a voice of so much speech scores: a t-interval with a degree of freedom for each speaker but one."""
        from scipy.special import stdtrit  # a quarter of a second, that `speak` need not wait for

        mean = self.at_one_second + self.slope * math.log(seconds)
        reach = self.deviation * float(stdtrit(self.speakers - 1, (1 + level) / 2))
        return Range(mean, mean - reach, mean + reach)


def coverage(
    seconds: npt.ArrayLike, scores: npt.ArrayLike, speakers: npt.ArrayLike, levels: Sequence[float]
) -> list[float]:
    """Which part of voices lies in the range that the line of the other speakers tells, at each level.

    seconds, scores, speakers: `(N,)`. Raises UsageError for fewer than four speakers.
    """
    x, y, who = np.asarray(seconds, float), np.asarray(scores, float), np.asarray(speakers)
    inside = np.zeros(len(levels))
    for name in np.unique(who):
        own = who == name
        line = Line.fit(x[~own], y[~own], who[~own])
        inside += own.sum() * np.array(covered(line, x[own], y[own], levels))
    return (inside / len(who)).tolist()


def covered(line: Line, seconds: npt.ArrayLike, scores: npt.ArrayLike, levels: Sequence[float]) -> list[float]:
    """Which part of voices, of `seconds (N,)` and with `scores (N,)`, lies in the line's range at each level."""
    pairs = list(zip(np.asarray(seconds, float).tolist(), np.asarray(scores, float).tolist(), strict=True))
    ranges = [[(line.of(length, level), score) for length, score in pairs] for level in levels]
    return [sum(one.low <= score <= one.high for one, score in row) / len(row) for row in ranges]


class LineHeader(Header):
    """One line of `expected.json`."""

    at_one_second: float
    slope: float
    deviation: float = Field(ge=0)
    speakers: int = Field(ge=2, le=10**6)
    recordings: float


class ExpectedHeader(Header):
    """`expected.json`."""

    base: str = Field(max_length=64)
    prior: str = Field(max_length=64)
    least: float = Field(gt=0)
    most: float = Field(gt=0)
    lines: dict[Name, LineHeader] = Field(min_length=1)
    versions: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is more than most")
        return self


@dataclass(frozen=True)
class SimilarityForecast:
    """What voices of a base score, by seconds of speech.

    base, prior: SHA-256 of its weights and of its prior's file. least, most: seconds that were tried. lines: by score.
    versions: `VERSIONS` when the voices were made; files that name none are older.
    """

    base: str
    prior: str
    least: float
    most: float
    lines: dict[str, Line]
    versions: str = ""

    @classmethod
    def beside(cls, base: Base, settings: CloneSettings) -> SimilarityForecast | None:
        """That of voices of a base, cloned with these settings.

        None where settings, prior, the way of cloning or of measuring are others than it knows.

        Raises TtsMetaError for a damaged file.
        """
        own = replace(CloneSettings(), **{name: getattr(settings, name) for name in _NO_MATTER})
        if settings != own or base.folder is None or base.prior is None or not (base.folder / FILE).is_file():
            return None
        found = cls.load(base.folder / FILE)
        now = (base.hash, sha256_file(base.folder / PRIOR_FILE), VERSIONS)
        return found if (found.base, found.prior, found.versions) == now else None

    @classmethod
    def load(cls, path: Path) -> SimilarityForecast:
        """Read it. Raises TtsMetaError where it is damaged."""
        header = read_header(path, ExpectedHeader, "make it again or remove it")
        lines = {name: Line(**line.model_dump()) for name, line in header.lines.items()}
        return cls(header.base, header.prior, header.least, header.most, lines, header.versions)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all. Raises TtsMetaError where a number is not finite."""
        data = asdict(self)
        check_header(data, ExpectedHeader, f"{path}: not written", "fit it to more voices")
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def of(self, seconds: float) -> dict[str, Range]:
        """Each score that is expected of so much speech; of more than was tried no more is claimed."""
        tried = min(max(seconds, self.least), self.most)
        return {name: line.of(tried) for name, line in self.lines.items()}

    def told(self, seconds: float) -> str:
        """A line of it: of so much speech, of recordings, and of twice as much."""
        here, more = self.of(seconds), self.of(2 * seconds)
        now = ", ".join(f"{name} {one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]" for name, one in here.items())
        real = ", ".join(f"{line.recordings:.2f}" for line in self.lines.values())
        then = ", ".join(f"{one.mean:.2f}" for one in more.values())
        after = f"of twice as much {then}" if seconds < self.most else "more was not tried"
        return f"expected of {seconds:.0f} s: {now} ({10 * LEVEL:.0f} of 10 speakers; recordings: {real}); {after}"

    def figures(self, seconds: float) -> dict[str, Any]:
        """The same as data: of so much speech, and of twice as much."""
        return {
            "expected": {name: asdict(one) for name, one in self.of(seconds).items()},
            "expected_of_twice": {name: asdict(one) for name, one in self.of(2 * seconds).items()},
        }
