"""Scores speech: speaker similarity, word error rate, naturalness, distance to a recording, confidence intervals."""

from tts_meta.asr.whisper import Transcriber, find_whisper
from tts_meta.evaluate.confidence import Interval, mean_interval, paired_difference
from tts_meta.evaluate.metric import Measure, Metric, Sample, Settings
from tts_meta.evaluate.score_files import read_scores, write_scores
from tts_meta.evaluate.scores import METRICS, Scorer, Scores
from tts_meta.evaluate.similarity import (
    cosine,
    equal_error_rate,
    mean_embedding,
    verification_scores,
    voice_embedding,
)
from tts_meta.evaluate.summary import compare, summarise, summary_table
from tts_meta.models.speaker_encoder import SpeakerEncoder

__all__ = [
    "METRICS",
    "Interval",
    "Measure",
    "Metric",
    "Sample",
    "Scorer",
    "Scores",
    "Settings",
    "SpeakerEncoder",
    "Transcriber",
    "compare",
    "cosine",
    "equal_error_rate",
    "find_whisper",
    "mean_embedding",
    "mean_interval",
    "paired_difference",
    "read_scores",
    "summarise",
    "summary_table",
    "verification_scores",
    "voice_embedding",
    "write_scores",
]
