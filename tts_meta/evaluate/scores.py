"""`Scores` of an utterance, and the `Scorer` that computes them.

A new metric is one file with a `Metric` and one line in METRICS. The scorer, the tables and the tests then include it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tts_meta.audio.waveform import as_samples
from tts_meta.context import default_torch_state
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate import ecapa_similarity, mcd, mos, pesq_stoi, similarity, variance, wer
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings
from tts_meta.evaluate.metric_cache import MetricResult, read_result, result_path, write_result
from tts_meta.models.speaker_encoder import Embedding
from tts_meta.optional_deps import require

METRICS: dict[str, Metric] = {
    "similarity": similarity.METRIC,
    ecapa_similarity.NAME: ecapa_similarity.METRIC,
    "wer": wer.METRIC,
    "distillmos": mos.DISTILLMOS,
    "dnsmos": mos.DNSMOS,
    "mcd": mcd.METRIC,
    "pesq": pesq_stoi.PESQ,
    "stoi": pesq_stoi.STOI,
    "variance": variance.METRIC,
}
NLL = Column("nll", "NLL per frame (nats)", 1, "lower")
"""-log p(recording | text, voice) under teacher forcing.

No metric returns this score, because it needs the acoustic model.
"""


def columns() -> dict[str, Column]:
    """Return every column of every metric by name, in the order of a table."""
    return {column.name: column for metric in METRICS.values() for column in metric.columns} | {NLL.name: NLL}


@dataclass(frozen=True)
class Scores:
    """The scores of one utterance: `scores["cer"]` is a number, `scores.get("mcd")` a number or None."""

    id: str
    """Id of the sentence. Every system that speaks the sentence has the same id."""
    speaker: str
    system: str
    """The source of the audio: a recording, a vocoder or a method."""
    measures: Mapping[str, Measure] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    """Texts that belong to the scores, such as the transcript."""

    def __getitem__(self, name: str) -> float:
        if name not in self.measures:
            raise TtsMetaError(f"{self.id} has no score {name}; it has {', '.join(self.measures) or 'none'}")
        return self.measures[name].value

    def get(self, name: str) -> float | None:
        """Return the score, or None if it was not measured."""
        return self[name] if name in self.measures else None


class Scorer:
    """A scorer of waveforms by the chosen metrics. Each model is loaded at its first use and kept."""

    def __init__(self, metrics: Sequence[str] | None = None, settings: Settings | None = None) -> None:
        """Choose metrics by name. All metrics are chosen by default.

        Raises UsageError for an unknown name or a device that is not available. Raises TtsMetaError if a package of the
        extra `eval` is not installed.
        """
        names = list(METRICS) if metrics is None else list(dict.fromkeys(metrics))
        for name in names:
            if name not in METRICS:
                raise UsageError(f"there is no metric {name}; the metrics are {', '.join(METRICS)}")
        require(*dict.fromkeys(package for name in names for package in METRICS[name].packages))
        self.metrics = {name: METRICS[name] for name in names}
        settings = settings or Settings()
        self.settings = replace(settings, device=str(choose_device(settings.device)))
        self._functions: dict[str, MetricFunction] = {}

    @default_torch_state(preserve_rng=True)
    def load(self) -> None:
        """Load every model now, so that a missing one raises an error before a long computation."""
        for name in self.metrics:
            self._function(name)

    @default_torch_state(preserve_rng=True)
    def score(
        self,
        waveform: object,
        rate: int,
        *,
        id: str,
        speaker: str = "",
        system: str = "",
        text: str | None = None,
        voice: Embedding | None = None,
        ecapa_voice: Embedding | None = None,
        reference: object = None,
        reference_rate: int | None = None,
        cache: Path | None = None,
    ) -> Scores:
        """Score samples (S,) at `rate` Hz by every chosen metric whose needs are given. The other metrics are left out.

        text: the text that should be spoken. voice: the embedding (256,) from `voice_embedding`. ecapa_voice:
        the same with `EcapaEncoder`. reference: the real recording (S,) of the sentence, at `reference_rate` (default
        `rate`). cache: a folder that keeps the result of each metric; a result for the same input is read from it.
        Silence gets bad scores and no error. Raises TtsMetaError with the id of the utterance for an empty or
        non-finite waveform.
        """
        try:
            sample = Sample(
                as_samples(waveform),
                rate,
                text,
                voice,
                ecapa_voice,
                None if reference is None else as_samples(reference),
                reference_rate or rate,
            )
        except TtsMetaError as error:
            raise TtsMetaError(f"{id}: {error}") from error
        measures: dict[str, Measure] = {}
        notes: dict[str, str] = {}
        for name, metric in self.metrics.items():
            if any(getattr(sample, need) is None for need in metric.needs):
                continue
            for key, value in self._result(name, sample, cache).items():
                if isinstance(value, Measure):
                    measures[key] = value
                else:
                    notes[key] = value
        return Scores(id, speaker, system, measures, notes)

    def _result(self, name: str, sample: Sample, cache: Path | None) -> MetricResult:
        if cache is None:
            return self._function(name)(sample)
        path = result_path(cache, name, self.metrics[name], self.settings, sample)
        result = read_result(path)
        if result is None:
            result = self._function(name)(sample)
            write_result(path, result)
        return result

    def _function(self, name: str) -> MetricFunction:
        if name not in self._functions:
            self._functions[name] = self.metrics[name].load(self.settings)
        return self._functions[name]
