"""`SimilarityForecast`: predicts the similarity of a cloned voice from the seconds of audio that it is adapted on.

The forecast is a linear fit of the score against the logarithm of the seconds. The fit is estimated on voices of
held-out speakers, which the base was not trained on. The prediction interval comes from the distance of each of these
speakers to the fit of the other speakers.
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
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.adapt.settings import HISTORY_MIXING, CloneSettings
from tts_meta.errors import UsageError
from tts_meta.files import atomic_file, sha256_file
from tts_meta.headers import Header, Name, check_header, read_header
from tts_meta.meta.solvers.stopping import STOPPING_VERSION
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import FILE as LEARNER_FILE

FILE = "similarity_forecast.json"
"""Name of the file in the folder of the base."""
LEVEL = 0.8
"""Fraction of new speakers whose voices the printed interval should cover."""
_IRRELEVANT_SETTINGS = ("vocoder_steps", "vocoder_learning_rate", "seed", "hold_out")
"""Settings that the forecast does not depend on.

By default the vocoder does not adapt. The seconds count only the sentences that are adapted on.
"""
PROTOCOL = 2
"""Version of the measurement of the scores. 2: similarity to sentences that no voice was adapted on."""
VERSIONS = (
    f"protocol {PROTOCOL}, clone {CLONE_VERSION}, history mixing {HISTORY_MIXING}, stopping {STOPPING_VERSION}, "
    f"recordings {RECORDINGS_VERSION}"
)
"""Versions of the code that a forecast depends on, in addition to base, learner and settings."""


@dataclass(frozen=True)
class PredictionInterval:
    """The expected score, and the interval that covers the scores of new speakers at the requested level."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ScoreFit:
    """A fit of one score to the seconds T of audio: `intercept + slope * ln T`.

    speaker_rmse: root mean square distance of each speaker's voices from the fit of the other speakers. speakers:
    number of speakers. real_recordings: the score of real recordings of these speakers.
    """

    intercept: float
    slope: float
    speaker_rmse: float
    speakers: int
    real_recordings: float

    @classmethod
    def fit(
        cls, seconds: npt.ArrayLike, scores: npt.ArrayLike, speakers: npt.ArrayLike, real_recordings: float = math.nan
    ) -> ScoreFit:
        """Fit the scores of N voices.

        seconds, scores, speakers: `(N,)`. real_recordings: the score of real recordings. Raises UsageError for
        fewer than three speakers, or for arrays of different lengths.
        """
        x, y, speaker = np.log(np.asarray(seconds, float)), np.asarray(scores, float), np.asarray(speakers)
        names = np.unique(speaker)
        if len(names) < 3 or not len(x) == len(y) == len(speaker):
            raise UsageError(
                f"a fit needs voices of three or more speakers, not {len(names)}, and the seconds and score of each"
            )
        squares = []
        for name in names:
            left_out = speaker == name
            residuals = y[left_out] - np.polyval(np.polyfit(x[~left_out], y[~left_out], 1), x[left_out])
            squares.append(np.mean(residuals**2))
        slope, intercept = np.polyfit(x, y, 1)
        return cls(float(intercept), float(slope), float(np.sqrt(np.mean(squares))), len(names), real_recordings)

    def predict(self, seconds: float, level: float = LEVEL) -> PredictionInterval:
        """Return the predicted score of a voice from `seconds` of audio.

        The interval at `level` is a t interval with `speakers` - 1 degrees of freedom.
        """
        from scipy.special import stdtrit  # slow import (0.25 s) that `speak` does not need

        mean = self.intercept + self.slope * math.log(seconds)
        half_width = self.speaker_rmse * float(stdtrit(self.speakers - 1, (1 + level) / 2))
        return PredictionInterval(mean, mean - half_width, mean + half_width)


def cross_validated_coverage(
    seconds: npt.ArrayLike, scores: npt.ArrayLike, speakers: npt.ArrayLike, levels: Sequence[float]
) -> list[float]:
    """Return the fraction of voices inside the prediction interval of the fit of the other speakers, for each level.

    seconds, scores, speakers: `(N,)`. Raises UsageError for fewer than four speakers.
    """
    x, y, speaker = np.asarray(seconds, float), np.asarray(scores, float), np.asarray(speakers)
    inside = np.zeros(len(levels))
    for name in np.unique(speaker):
        left_out = speaker == name
        fit = ScoreFit.fit(x[~left_out], y[~left_out], speaker[~left_out])
        inside += left_out.sum() * np.array(interval_coverage(fit, x[left_out], y[left_out], levels))
    return (inside / len(speaker)).tolist()


def interval_coverage(
    fit: ScoreFit, seconds: npt.ArrayLike, scores: npt.ArrayLike, levels: Sequence[float]
) -> list[float]:
    """Return the fraction of voices inside the prediction interval of `fit`, for each level.

    seconds, scores: `(N,)`.
    """
    pairs = list(zip(np.asarray(seconds, float).tolist(), np.asarray(scores, float).tolist(), strict=True))
    predictions = [[(fit.predict(length, level), score) for length, score in pairs] for level in levels]
    return [sum(interval.low <= score <= interval.high for interval, score in row) / len(row) for row in predictions]


class ScoreFitHeader(Header):
    """One fit in the forecast file."""

    intercept: float
    slope: float
    speaker_rmse: float = Field(ge=0)
    speakers: int = Field(ge=2, le=10**6)
    real_recordings: float


class ForecastHeader(Header):
    """The content of the forecast file."""

    base_hash: str = Field(max_length=64)
    learner_hash: str = Field(max_length=64)
    min_seconds: float = Field(gt=0)
    max_seconds: float = Field(gt=0)
    fits: dict[Name, ScoreFitHeader] = Field(min_length=1)
    versions: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds is more than max_seconds")
        return self


@dataclass(frozen=True)
class SimilarityForecast:
    """The expected scores of the voices of a base as functions of the seconds of audio.

    base_hash, learner_hash: SHA-256 of the base's weights and of its `learner.json`, which names the SHA-256 of the
    learner's tensors. min_seconds, max_seconds: the range of the seconds of audio of the scored voices. fits: a fit for
    each name of a score. versions: `VERSIONS` of the code that made the voices; empty in files older than this field.
    """

    base_hash: str
    learner_hash: str
    min_seconds: float
    max_seconds: float
    fits: dict[str, ScoreFit]
    versions: str = ""

    @classmethod
    def load_for(cls, base: Base, settings: CloneSettings) -> SimilarityForecast | None:
        """Return the forecast in the folder of the base, for voices cloned with these settings.

        Returns None if there is no forecast, or if it was made with other settings, another learner, or other
        versions of cloning or scoring. Raises TtsMetaError for a damaged file.
        """
        defaults = replace(CloneSettings(), **{name: getattr(settings, name) for name in _IRRELEVANT_SETTINGS})
        if settings != defaults or base.folder is None or base.prior is None or not (base.folder / FILE).is_file():
            return None
        forecast = cls.load(base.folder / FILE)
        current = (base.hash, sha256_file(base.folder / LEARNER_FILE), VERSIONS)
        return forecast if (forecast.base_hash, forecast.learner_hash, forecast.versions) == current else None

    @classmethod
    def load(cls, path: Path) -> SimilarityForecast:
        """Read a forecast. Raises TtsMetaError for a damaged file."""
        header = read_header(path, ForecastHeader, "make it again or remove it")
        fits = {name: ScoreFit(**fit.model_dump()) for name, fit in header.fits.items()}
        return cls(header.base_hash, header.learner_hash, header.min_seconds, header.max_seconds, fits, header.versions)

    def save(self, path: Path) -> None:
        """Write the forecast; a failure leaves no partial file. Raises TtsMetaError if a number is not finite."""
        data = asdict(self)
        check_header(data, ForecastHeader, f"{path}: not written", "fit it to more voices")
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def predict(self, seconds: float) -> dict[str, PredictionInterval]:
        """Return the prediction of each score from `seconds` of audio.

        Seconds outside the range of the scored voices are replaced by the nearest limit of the range.
        """
        limited = min(max(seconds, self.min_seconds), self.max_seconds)
        return {name: fit.predict(limited) for name, fit in self.fits.items()}

    def message(self, seconds: float) -> str:
        """Return one line for the user: the scores to expect from `seconds` of audio, and from twice as much."""
        twice = self.predict(2 * seconds)
        parts = []
        for name, interval in self.predict(seconds).items():
            fit = self.fits[name]
            more = "more audio was not tested"
            if seconds < self.max_seconds:
                more = f"{twice[name].mean:.2f} with {2 * seconds:.0f} s"
            spread = f"{interval.low:.2f} to {interval.high:.2f} for {10 * LEVEL:.0f} of 10 speakers"
            parts.append(f"{name} {interval.mean:.2f} ({spread}; {more}; real recordings {fit.real_recordings:.2f})")
        speakers = min(fit.speakers for fit in self.fits.values())
        return f"expected from {seconds:.0f} s of audio: {', '.join(parts)}; estimated on {speakers} unseen speakers"

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """Return the content of `message` as data."""
        return {
            "expected": {name: asdict(interval) for name, interval in self.predict(seconds).items()},
            "expected_twice_audio": {name: asdict(interval) for name, interval in self.predict(2 * seconds).items()},
        }
