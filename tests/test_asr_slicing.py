"""Slices of long recordings: where they are cut, which text they have, and which are not used."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from faults import error_line
from spoken_tones import RATE, ToneRecogniser, spoken, tone_intervals, tone_speech_activity, write_spoken

from tts_meta.asr.files import needs_slices, slice_file, transcribe_file
from tts_meta.asr.known_text import place_text
from tts_meta.asr.recording import slice_recording
from tts_meta.asr.slicing import MAX_SLICE_SECONDS, cut_words
from tts_meta.asr.voice_activity import pack_intervals
from tts_meta.asr.words import Slice, Word
from tts_meta.errors import TtsMetaError

SENTENCES = ("abc de fgh, bad cafe.", "had a bag bee, a deaf cab.", "fed a cad, he gabe.", "dab chef, a bead age.")
TEXT = " ".join(SENTENCES)
pytestmark = pytest.mark.usefixtures("tone_speech_activity")
assert tone_speech_activity


def sliced(
    text: str = TEXT, known: str | None = None, recogniser: ToneRecogniser | None = None, **options
) -> list[Slice]:
    samples, _ = spoken(text)
    return slice_recording(samples, recogniser or ToneRecogniser(), text=known, **options)


def test_a_long_recording_is_cut_at_the_ends_of_sentences() -> None:
    assert [part.text for part in sliced()] == list(SENTENCES)
    assert [part.fault for part in sliced()] == [None] * 4
    assert all(part.confidence == 0.9 for part in sliced())


def test_slices_contain_their_words_and_parts_of_the_pauses_around_them() -> None:
    samples, starts = spoken(TEXT)
    parts = slice_recording(samples, ToneRecogniser())
    speech = tone_intervals(samples)
    first_words = np.cumsum([0, *(len(sentence.split()) for sentence in SENTENCES[:-1])])
    for part, number in zip(parts, first_words, strict=True):
        assert starts[number] - 0.16 <= part.start <= starts[number] - 0.13
    for part, following in pairwise(parts):
        assert part.end <= following.start
    assert parts[-1].end == pytest.approx(speech[-1][1] + 0.15, abs=0.02)


def test_windows_of_recognition_change_neither_words_nor_times(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sliced()
    monkeypatch.setattr("tts_meta.asr.recording.WINDOW_SECONDS", 3.0)
    recogniser = ToneRecogniser()
    windowed = sliced(recogniser=recogniser)
    assert len(recogniser.calls) >= 3
    without_marks = [[part.text.translate({44: "", 46: ""}) for part in parts] for parts in (windowed, whole)]
    assert without_marks[0] == without_marks[1]
    assert [part.start for part in windowed] == pytest.approx([part.start for part in whole], abs=0.03)


def test_intervals_are_packed_into_windows_and_a_long_one_is_divided() -> None:
    intervals = [(0.0, 4.0), (5.0, 9.0), (10.0, 12.0), (20.0, 45.0)]
    windows = pack_intervals(intervals, 10.0)
    assert windows[:2] == [(0.0, 9.0), (10.0, 12.0)]
    assert windows[2][0] == 20.0 and windows[-1][1] == 45.0
    assert all(end - start <= 10 for start, end in windows)


def test_a_long_pause_is_in_no_slice() -> None:
    words = [Word(" One.", 0.0, 3.0, 1.0), Word(" Two.", 60.0, 63.0, 1.0)]
    groups = cut_words(words, [(0.0, 3.0), (60.0, 63.0)], 63.0)
    assert [(group.start, group.end) for group in groups] == [(0.0, 3.15), (59.85, 63.0)]


def test_short_sentences_are_joined_and_long_ones_are_cut_within_clauses() -> None:
    short = [Word(f" {number}.", number, number + 0.6, 1.0) for number in range(6)]
    groups = cut_words(short, [(word.start, word.end) for word in short], 6.0)
    assert all(len(group.words) >= 2 for group in groups)
    long = [Word(f" word{number}", number, number + 0.7, 1.0) for number in range(90)]
    groups = cut_words(long, [(word.start, word.end) for word in long], 90.0)
    assert max(group.end - group.start for group in groups) <= 20
    assert [word for group in groups for word in group.words] == long


def test_speech_without_a_pause_is_one_slice_with_a_fault() -> None:
    words = ["abcdefgh"[number % 7 :] + "abcdefgh"[: number % 5] for number in range(40)]
    samples, _ = spoken(" ".join(words))
    (part,) = slice_recording(samples, ToneRecogniser())
    assert part.end - part.start > MAX_SLICE_SECONDS and part.fault is not None
    assert "without a pause" in part.fault


def test_a_known_text_is_distributed_with_its_own_words_and_punctuation() -> None:
    wrong = ToneRecogniser(recognised={"deaf": "def", "bag": "bagger"})
    parts = sliced(known=TEXT.replace(".", "!"), recogniser=wrong)
    assert [part.text for part in parts] == [sentence.replace(".", "!") for sentence in SENTENCES]
    assert [part.fault for part in parts] == [None] * 4
    assert parts[1].confidence < parts[0].confidence == 1.0


def test_a_slice_whose_known_text_was_not_spoken_is_not_used() -> None:
    known = TEXT.replace(SENTENCES[2], "h g f e d c b g h e d c.")
    parts = sliced(known=known)
    faults = [part.fault for part in parts if part.fault is not None]
    assert len(faults) == 1 and "does not agree" in faults[0] and "fed a cad" in faults[0]
    assert next(part.text for part in parts if part.fault is None) == SENTENCES[0]


def test_a_known_text_of_another_recording_is_refused() -> None:
    with pytest.raises(TtsMetaError, match="no word of its text was recognised"):
        sliced(known="gggg hhhh ffff")


def test_words_of_a_known_text_keep_their_order_and_times_between_their_neighbours() -> None:
    recognised = [Word(" a", 1.0, 1.2, 0.9), Word(" x", 1.3, 1.5, 0.9), Word(" d", 2.0, 2.2, 0.9)]
    words = place_text("0 a b c d 9", recognised)
    assert [word.text.strip() for word in words] == ["0", "a", "b", "c", "d", "9"]
    assert [word.is_anchored for word in words] == [False, True, False, False, True, False]
    assert all(first.start <= second.start for first, second in pairwise(words))
    assert words[1].start == 1.0 and 1.2 <= words[2].start < words[3].start <= 2.0


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ({"no_speech": 0.7, "log_probability": -1.1}, "no speech"),
        ({"log_probability": -1.1}, "not certain"),
        ({"compression": 2.6}, "repeats itself"),
    ],
)
def test_an_unreliable_segment_is_not_used(marks: dict[str, float], reason: str) -> None:
    assert all(reason in str(part.fault) for part in sliced(recogniser=ToneRecogniser(marks=marks)))


def test_a_segment_with_one_good_measure_is_used() -> None:
    assert [part.fault for part in sliced(recogniser=ToneRecogniser(marks={"no_speech": 0.9}))] == [None] * 4


def test_a_repeated_phrase_is_not_used() -> None:
    (part,) = sliced("abc de abc de abc de abc de.")
    assert "repeats itself" in str(part.fault)
    (part,) = sliced("abc de abc de abc de fa ga.")
    assert part.fault is None


def test_another_language_than_the_expected_one_is_not_used() -> None:
    german = ToneRecogniser(language="de")
    faults = [part.fault for part in sliced(recogniser=german, language="en")]
    assert faults == ["the language seems to be 'de' (0.95), not 'en'"] * 4 and set(german.calls) == {"en"}
    assert [part.fault for part in sliced(recogniser=german, language="de")] == [None] * 4
    assert [part.fault for part in sliced(recogniser=german)] == [None] * 4


def test_a_recording_without_speech_gives_one_line_that_names_the_file(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "music.wav", np.zeros(RATE * 40, np.float32), RATE)
    line = error_line(lambda: slice_file(tmp_path / "music.wav", ToneRecogniser()))
    assert line == f"{tmp_path / 'music.wav'}: no speech was found, only music, noise or silence; leave it out"
    assert line == error_line(lambda: transcribe_file(tmp_path / "music.wav", ToneRecogniser()))


def test_a_file_of_which_no_slice_can_be_used_gives_the_reason(tmp_path: Path) -> None:
    write_spoken(tmp_path / "a.wav", TEXT)
    line = error_line(lambda: slice_file(tmp_path / "a.wav", ToneRecogniser(marks={"compression": 3.0})))
    assert "none of 4 slices can be used" in line and "repeats itself" in line


def test_a_short_recording_is_transcribed_as_one_slice(tmp_path: Path) -> None:
    write_spoken(tmp_path / "a.wav", "abc de. fgh.")
    part = transcribe_file(tmp_path / "a.wav", ToneRecogniser())
    assert (part.text, part.confidence, part.start) == ("abc de. fgh.", 0.9, 0.0)


def test_recordings_are_long_above_half_a_minute_or_with_a_text_above_a_minute(tmp_path: Path) -> None:
    import soundfile

    for seconds in (20, 40, 70):
        soundfile.write(tmp_path / f"{seconds}.wav", np.zeros(seconds * RATE, np.float32), RATE)
    is_long = {seconds: needs_slices(tmp_path / f"{seconds}.wav", False) for seconds in (20, 40, 70)}
    assert is_long == {20: False, 40: True, 70: True}
    assert not needs_slices(tmp_path / "40.wav", True) and needs_slices(tmp_path / "70.wav", True)


class WrongInWindows(ToneRecogniser):
    """Recognises a word wrongly in windows of several sentences, as Whisper does at the end of a window."""

    def segments(self, samples, language):
        (segment,) = super().segments(samples, language)
        if len(samples) < 6 * RATE:
            return [segment]
        words = [replace(word, text=" hcd", probability=0.1) if "deaf" in word.text else word for word in segment.words]
        return [replace(segment, words=tuple(words))]


def test_a_slice_with_a_doubtful_word_is_recognised_once_more_alone() -> None:
    recogniser = WrongInWindows()
    assert [part.text for part in sliced(recogniser=recogniser)] == list(SENTENCES)
    assert len(recogniser.calls) == 2
