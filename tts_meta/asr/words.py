"""Words and segments of a transcript with their times, and slices of a recording."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation, and where it is spoken, in seconds from the start of the recording.

    probability: that of the recogniser, 0 to 1. segment: number of the segment that contains the word. is_anchored:
    whether the times were measured; the times of other words are estimates, so no recording is cut next to them.
    """

    text: str
    start: float
    end: float
    probability: float
    segment: int = 0
    is_anchored: bool = True

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a transcript, with the measures by which Whisper's errors are recognised.

    log_probability: mean of its tokens, nats. no_speech: probability that there is no speech. compression: ratio of the
    sizes of the text before and after compression; it is large if the text repeats itself. language: the code that
    Whisper detects, with language_probability.
    """

    words: tuple[Word, ...]
    log_probability: float
    no_speech: float
    compression: float
    language: str = "en"
    language_probability: float = 0.0

    @property
    def text(self) -> str:
        return join_words(self.words)


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a recording with its text.

    start, end: seconds from the start of the recording. confidence: 0 to 1. fault: reason why the slice is not used.
    """

    start: float
    end: float
    text: str
    confidence: float
    fault: str | None = None


def join_words(words: tuple[Word, ...] | list[Word]) -> str:
    """Return the text of words, with single spaces. Words of languages without spaces are joined as they are."""
    return " ".join("".join(word.text for word in words).split())
