"""Word and character error rates between a text and Whisper's transcript of its audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tts_meta.asr.whisper import Transcriber, whisper_identity
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings
from tts_meta.optional_deps import load_extra

_WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "my", "yue"))
"""Languages without spaces between words: the word error rate of Whisper's authors is their character error rate."""


@dataclass(frozen=True)
class ErrorCount:
    """The number of edits between a text and its transcript, and the number of units of the text.

    A unit is a word or a character.
    """

    edits: int
    units: int

    @property
    def rate(self) -> float:
        """Edits per unit; it can exceed 1. For an empty text, 0 if the transcript is empty and 1 otherwise."""
        return self.edits / self.units if self.units else float(self.edits > 0)


def word_errors(text: str, transcript: str, language: str = "en") -> ErrorCount:
    """Count word errors after Whisper's normalisation of both texts."""
    counts = load_extra("jiwer").process_words(normalise(text, language), normalise(transcript, language))
    return _error_count(counts)


def character_errors(text: str, transcript: str, language: str = "en") -> ErrorCount:
    """Count character errors after Whisper's normalisation of both texts; a space between words is a character."""
    counts = load_extra("jiwer").process_characters(normalise(text, language), normalise(transcript, language))
    return _error_count(counts)


def _error_count(counts: object) -> ErrorCount:
    """Return the error count from the output of jiwer.

    The output contains the hits and the three kinds of edits of the cheapest alignment.
    """
    hits, substitutions, deletions, insertions = (
        getattr(counts, name) for name in ("hits", "substitutions", "deletions", "insertions")
    )
    return ErrorCount(substitutions + deletions + insertions, hits + substitutions + deletions)


def normalise(text: str, language: str = "en") -> str:
    """Return the text in the form that Whisper's authors use to compare texts.

    This form has lower case, no punctuation, and unified numbers and spelling. Source: appendix C of Radford et al.
    2022 (arXiv 2212.04356). Languages other than English get their basic form, which keeps numbers and spelling; those
    without spaces between words are split into characters.
    """
    return " ".join(_normaliser(language)(text).split())


@cache
def _normaliser(language: str) -> Callable[[str], str]:
    if language != "en":
        return load_extra("whisper_normalizer.basic").BasicTextNormalizer(split_letters=language in _WITHOUT_SPACES)
    normaliser = load_extra("whisper_normalizer.english").EnglishTextNormalizer()
    # Whisper's own normaliser does not have these rules. They are removed for comparison with published error rates.
    for word in ("kinda", "sorta", "dunno", "cause"):
        normaliser.replacers.pop(rf"\b{word}\b", None)
    return normaliser


def _load(settings: Settings) -> MetricFunction:
    transcribe = Transcriber(settings.whisper, settings.device, settings.language)

    def score(sample: Sample) -> dict[str, Measure | str]:
        assert sample.text is not None
        transcript = transcribe(sample.waveform, sample.rate)
        words = word_errors(sample.text, transcript, settings.language)
        characters = character_errors(sample.text, transcript, settings.language)
        return {
            "wer": Measure(words.rate, max(words.units, 1)),
            "cer": Measure(characters.rate, max(characters.units, 1)),
            "transcript": transcript,
        }

    return score


METRIC = Metric(
    (Column("wer", "WER", 3, "lower"), Column("cer", "CER", 3, "lower")),
    _load,
    needs=("text",),
    packages=("faster_whisper", "whisper_normalizer", "jiwer"),
    model=lambda settings: whisper_identity(settings.whisper),
)
