"""Fits the similarity forecast of `clone` to trials of the few-shot benchmark, and measures its reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tts_meta.adapt import SimilarityForecast, Voice
from tts_meta.adapt.similarity_forecast import VERSIONS, ScoreFit, cross_validated_coverage, interval_coverage
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.few_shot.benchmark import FewShotResults
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.voice import REAL
from tts_meta.files import sha256_file
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import FILE as LEARNER_FILE

SCORES = ("similarity",)
"""Names of the forecast scores.

DistillMOS is left out, because it depends more on the recordings than on their length. CER is left out, because five
sentences are too few for it.
"""
LEVELS = (0.2, 0.4, 0.6, 0.8, 0.9)
"""Levels of the prediction interval at which the reliability is measured."""


@dataclass(frozen=True)
class ForecastData:
    """The data of N voices for the fit.

    seconds: seconds of audio that each voice was adapted on. speakers: speaker of each voice. scores: scores of the
    voices by name of the score.
    """

    seconds: list[float]
    speakers: list[str]
    scores: dict[str, list[float]]

    @classmethod
    def from_trials(cls, trials: Sequence[Trial]) -> ForecastData:
        """Return the data of trials. The score of a voice is the mean over its scored sentences.

        The voice files must be on this machine.
        """
        seconds = [float(Voice.load(trial.voice_file).scores["seconds"]) for trial in trials]
        means = {name: [float(np.mean([row[name] for row in trial.scores])) for trial in trials] for name in SCORES}
        return cls(seconds, [trial.speaker for trial in trials], means)


def fit_forecast(data: ForecastData, results: FewShotResults, base: Base) -> SimilarityForecast:
    """Fit each score and return the forecast.

    Raises TtsMetaError if the base is not a folder with a learned prior.
    """
    if base.folder is None or base.prior is None:
        raise TtsMetaError("a forecast needs a base folder with a learned prior; make one with tts-meta meta-train")
    real = [sentence.scores for sentence in results.spoken if sentence.system == REAL]
    fits = {
        name: ScoreFit.fit(data.seconds, scores, data.speakers, float(np.mean([row[name] for row in real])))
        for name, scores in data.scores.items()
    }
    learner = sha256_file(base.folder / LEARNER_FILE)
    return SimilarityForecast(base.hash, learner, min(data.seconds), max(data.seconds), fits, VERSIONS)


def reliability(
    data: ForecastData, forecast: SimilarityForecast, other_speakers: ForecastData | None
) -> dict[str, dict[str, list[float]]]:
    """Return the fraction of voices inside the prediction interval at each of `LEVELS`, by score and group of speakers.

    The voices of a speaker in `data` are predicted by the fit of the other speakers. The voices of `other_speakers`
    are predicted by the fit of all speakers in `data`.
    """
    fractions: dict[str, dict[str, list[float]]] = {}
    for name, fit in forecast.fits.items():
        fractions[name] = {
            "speakers left out": cross_validated_coverage(data.seconds, data.scores[name], data.speakers, LEVELS)
        }
        if other_speakers is not None:
            scores = other_speakers.scores[name]
            fractions[name]["speakers of the check"] = interval_coverage(fit, other_speakers.seconds, scores, LEVELS)
    return fractions
