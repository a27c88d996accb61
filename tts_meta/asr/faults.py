"""Reasons to leave out a part of a transcript: Whisper invents words for music, noise and silence."""

from __future__ import annotations

from collections.abc import Sequence

from tts_meta.asr.words import Segment, Word, join_words

MAX_NO_SPEECH, MIN_LOG_PROBABILITY = 0.6, -1.0
"""Limits of Radford et al. 2022, section 4.5: no speech if the first is exceeded and the second is not reached."""
MAX_COMPRESSION = 2.4
"""Largest compression ratio of a text that does not repeat itself, from the same source."""
MIN_CONFIDENCE = 0.6
"""Lowest mean probability of the words of a slice."""
MIN_LANGUAGE_PROBABILITY = 0.8
"""Probability of another language at which a part is left out."""
_MAX_WORDS_PER_SECOND = 7.0
_MIN_REPEATED_WORDS, _MIN_REPEATS = 8, 4


def segment_fault(segment: Segment, language: str | None) -> str | None:
    """Return the reason why the words of a segment are not usable, or None. language: the expected one, if known."""
    if segment.no_speech > MAX_NO_SPEECH and segment.log_probability < MIN_LOG_PROBABILITY:
        return f"probably no speech ({segment.no_speech:.2f})"
    if segment.compression > MAX_COMPRESSION or _repeats(segment.words):
        return f"the transcript repeats itself (compression ratio {segment.compression:.1f})"
    if segment.log_probability < MIN_LOG_PROBABILITY:
        return f"the recogniser is not certain (mean log probability {segment.log_probability:.2f})"
    detected, probability = segment.language, segment.language_probability
    if language is not None and detected != language and probability >= MIN_LANGUAGE_PROBABILITY:
        return f"the language seems to be {detected!r} ({probability:.2f}), not {language!r}"
    return None


def words_fault(words: Sequence[Word], seconds: float, confidence: float) -> str | None:
    """Return the reason why a slice with these words is not usable, or None. seconds: its duration."""
    text = join_words(list(words))
    if not any(character.isalnum() for character in text):
        return "no words"
    if confidence < MIN_CONFIDENCE:
        return f"the recogniser is not certain (mean word probability {confidence:.2f})"
    if len(words) > _MAX_WORDS_PER_SECOND * seconds:
        return f"{len(words)} words in {seconds:.1f} s are more than a speaker says"
    if _repeats(words):
        return "the transcript repeats itself"
    return None


def _repeats(words: Sequence[Word]) -> bool:
    """Return whether a phrase occurs four times or more in succession, in eight words or more."""
    tokens = [word.text.strip(" .,!?;:").casefold() for word in words]
    for length in range(1, len(tokens) // _MIN_REPEATS + 1):
        needed, count = max(length * _MIN_REPEATS, _MIN_REPEATED_WORDS) - length, 0
        for first, second in zip(tokens, tokens[length:], strict=False):
            count = count + 1 if first == second else 0
            if count >= needed:
                return True
    return False
