"""Judging speech: like the speaker, the right words, natural, near the real recording, and how sure of it."""

from tts_meta.evaluate.confidence import Interval, mean_interval, paired_difference
from tts_meta.evaluate.metric import Measure, Metric, Sample, Settings
from tts_meta.evaluate.scores import METRICS, Scorer, Scores
from tts_meta.evaluate.similarity import (
    cosine,
    equal_error_rate,
    mean_embedding,
    verification_scores,
    voice_embedding,
)
from tts_meta.evaluate.speaker_encoder import SpeakerEncoder
from tts_meta.evaluate.table import compare, markdown_table, read_scores, summarise, write_scores
from tts_meta.evaluate.wer import Transcriber, find_whisper

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
    "markdown_table",
    "mean_embedding",
    "mean_interval",
    "paired_difference",
    "read_scores",
    "summarise",
    "verification_scores",
    "voice_embedding",
    "write_scores",
]
