"""`slice_recording` and `transcribe_sentence`: from the samples of a recording to slices with transcripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tts_meta.asr.faults import segment_fault, words_fault
from tts_meta.asr.known_text import MIN_AGREEMENT, agreement, place_text
from tts_meta.asr.slicing import MAX_SLICE_SECONDS, WordGroup, cut_words
from tts_meta.asr.voice_activity import Interval, pack_intervals, speech_intervals
from tts_meta.asr.words import Segment, Slice, Word, join_words
from tts_meta.audio.io import Waveform
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.errors import TtsMetaError

WINDOW_SECONDS = 28.0
"""Longest part that is recognised at once. Whisper takes 30 s."""
_MARGIN = 0.2
"""Seconds before and after the speech of a window."""

_DOUBTFUL = 0.3
"""A slice is recognised once more, alone, if one of its words has a lower probability."""

NO_SPEECH = "no speech was found, only music, noise or silence; leave it out"
NO_WORDS = "no words were recognised in its speech; leave it out, or write its text"

Report = Callable[[float, float], None]
"""Receives the seconds of speech that are recognised, and all seconds of speech."""


class Recogniser(Protocol):
    """Speech recognition, such as `Transcriber`."""

    def segments(self, samples: Waveform, language: str | None) -> list[Segment]:
        """Return the transcript of at most 30 s of samples `(S,)` at 16 kHz. language: None if it is not known."""
        ...


def slice_recording(
    samples: Waveform,
    recogniser: Recogniser,
    language: str | None = None,
    text: str | None = None,
    report: Report = lambda done, total: None,
) -> list[Slice]:
    """Cut a long recording into slices, each about one sentence with its transcript.

    samples: `(S,)` at 16 kHz. text: the whole text of the recording, if it is known; the slices then have its words.
    Slices that are not usable have a fault. Raises TtsMetaError if there is no speech, or no word of the text is
    recognised.
    """
    speech, segments = _recognise(samples, recogniser, language, report)
    recognised = [word for segment in segments for word in segment.words]
    faults = [segment_fault(segment, language) for segment in segments]
    duration = len(samples) / SPEECH_RATE
    if text is None:
        slices = list[Slice]()
        for group in cut_words(recognised, speech, duration):
            part = _recognised_slice(group, [faults[word.segment] for word in group.words])
            if part.fault is not None or min(word.probability for word in group.words) < _DOUBTFUL:
                part = _recognised_again(samples, part, recogniser, language)
            slices.append(part)
        return slices
    words = place_text(text, recognised)
    if not words:
        raise TtsMetaError("no word of its text was recognised in the recording; check that the text belongs to it")
    return [_known_slice(group, recognised) for group in cut_words(words, speech, duration)]


def transcribe_sentence(samples: Waveform, recogniser: Recogniser, language: str | None = None) -> Slice:
    """Return the transcript of a short recording as one slice.

    samples: `(S,)` at 16 kHz. Raises TtsMetaError if there is no speech.
    """
    _, segments = _recognise(samples, recogniser, language, lambda done, total: None)
    words = [word for segment in segments for word in segment.words]
    group = WordGroup(tuple(words), 0.0, len(samples) / SPEECH_RATE)
    return _recognised_slice(group, [segment_fault(segment, language) for segment in segments])


def _recognise(
    samples: Waveform, recogniser: Recogniser, language: str | None, report: Report
) -> tuple[list[Interval], list[Segment]]:
    """Return the intervals of speech, and the segments with times of the whole recording and their numbers in words.

    Raises TtsMetaError if there is no speech, or no words are recognised.
    """
    speech = speech_intervals(samples)
    if not speech:
        raise TtsMetaError(NO_SPEECH)
    segments, total, done = list[Segment](), sum(end - start for start, end in speech), 0.0
    for start, end in pack_intervals(speech, WINDOW_SECONDS):
        first, last = max(0.0, start - _MARGIN), min(len(samples) / SPEECH_RATE, end + _MARGIN)
        window = samples[round(first * SPEECH_RATE) : round(last * SPEECH_RATE)]
        for segment in recogniser.segments(window, language):
            segments.append(_moved(segment, first, len(segments)))
        done += end - start
        report(min(done, total), total)
    if not any(segment.words for segment in segments):
        raise TtsMetaError(NO_WORDS)
    return speech, segments


def _moved(segment: Segment, seconds: float, number: int) -> Segment:
    words = (
        Word(word.text, word.start + seconds, word.end + seconds, word.probability, number) for word in segment.words
    )
    return Segment(
        tuple(words),
        segment.log_probability,
        segment.no_speech,
        segment.compression,
        segment.language,
        segment.language_probability,
    )


def _recognised_again(samples: Waveform, part: Slice, recogniser: Recogniser, language: str | None) -> Slice:
    """Return a slice with the transcript of its samples alone, if that is usable and more certain.

    Whisper recognises the rest of a window after its last mark of time with little context, and invents words there.
    """
    if part.end - part.start > WINDOW_SECONDS:
        return part
    alone = samples[round(part.start * SPEECH_RATE) : round(part.end * SPEECH_RATE)]
    segments = recogniser.segments(alone, language)
    words = tuple(word for segment in segments for word in segment.words)
    faults = [segment_fault(segment, language) for segment in segments]
    again = _recognised_slice(WordGroup(words, part.start, part.end), faults)
    is_better = again.fault is None and (part.fault is not None or again.confidence > part.confidence)
    return again if is_better else part


def _recognised_slice(group: WordGroup, faults: Sequence[str | None]) -> Slice:
    seconds = group.end - group.start
    confidence = sum(word.probability for word in group.words) / max(1, len(group.words))
    fault = next((fault for fault in faults if fault is not None), None)
    fault = fault or words_fault(group.words, seconds, confidence) or _length_fault(seconds)
    return Slice(group.start, group.end, join_words(group.words), round(confidence, 3), fault)


def _known_slice(group: WordGroup, recognised: Sequence[Word]) -> Slice:
    inside = [word for word in recognised if group.start <= word.middle <= group.end]
    confidence = round(agreement(group.words, inside), 3)
    fault = _length_fault(group.end - group.start)
    if confidence < MIN_AGREEMENT:
        fault = f"the text does not agree with the speech ({confidence:.2f}), which was recognised as "
        fault += f'"{join_words(inside)}"'
    return Slice(group.start, group.end, join_words(group.words), confidence, fault)


def _length_fault(seconds: float) -> str | None:
    if seconds <= MAX_SLICE_SECONDS:
        return None
    return f"{seconds:.1f} s without a pause to cut at; the limit is {MAX_SLICE_SECONDS:.0f} s"
