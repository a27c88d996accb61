"""A known text is distributed over a long recording by the aligner of the shipped base."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from faults import error_line
from spoken_sentences import PAUSE, SENTENCES, spoken_sentences

from tts_meta.adapt import Recording, long_text
from tts_meta.adapt.long_text import divide_recordings, slice_by_text
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.models.pretrained import Base, load_base


@pytest.fixture(scope="module")
def shipped() -> Base:
    return load_base()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[float, float]]]:
    samples, times = spoken_sentences()
    path = tmp_path_factory.mktemp("long") / "long.wav"
    soundfile.write(path, samples, SPEECH_RATE)
    return path, times


@pytest.mark.parametrize("has_punctuation", [True, False])
def test_a_text_is_cut_at_the_pauses_between_sentences(shipped: Base, recording, has_punctuation: bool) -> None:
    path, times = recording
    sentences = [text if has_punctuation else text.lower().replace(".", "") for text in SENTENCES]
    slices = slice_by_text(path, "\n".join(sentences), shipped)
    assert [part.text for part in slices] == sentences and [part.fault for part in slices] == [None] * 3
    for part, (start, end) in zip(slices, times, strict=True):
        assert start - PAUSE / 2 <= part.start <= start + 0.2 and end - 0.4 <= part.end <= end + PAUSE / 2
        assert 0.1 < part.confidence <= 1


def test_a_sentence_that_was_not_spoken_is_not_used(shipped: Base, recording) -> None:
    other = "Nobody remembers where those yellow boxes belong, she said."
    slices = slice_by_text(recording[0], " ".join([SENTENCES[0], other, SENTENCES[2]]), shipped)
    assert slices[0].text == SENTENCES[0] and slices[0].fault is None
    assert all(part.fault == "the text does not agree with the speech" for part in slices if "Nobody" in part.text)


def test_the_library_divides_long_recordings_and_warns_of_slices_that_it_leaves_out(
    shipped: Base, recording, monkeypatch
) -> None:
    path, lines = recording[0], list[str]()
    monkeypatch.setattr(long_text, "needs_slices", lambda audio, has_text: audio == path)
    other = Recording(path.with_name("short.wav"), "Short.")
    wrong = " ".join([*SENTENCES[:2], "Nobody remembers where those yellow boxes belong, she said."])
    found = divide_recordings([other, Recording(path, wrong)], shipped, lines.append)
    assert found[0] == other and [part.text for part in found[1:]] == list(SENTENCES[:2])
    assert all(str(part.audio).startswith(f"{path}#t=") for part in found[1:])
    assert [line.partition(": ")[2] for line in lines] == ["not used, the text does not agree with the speech"]


def test_words_without_letters_belong_to_the_word_before_them() -> None:
    assert long_text._units("Tom & I - no... “What?”") == ["Tom &", "I -", "no...", "“What?”"]


def test_a_recording_that_is_too_long_for_an_alignment_names_asr(shipped: Base, recording, monkeypatch) -> None:
    monkeypatch.setattr(long_text, "MAX_CELLS", 1000)
    line = error_line(lambda: slice_by_text(recording[0], " ".join(SENTENCES), shipped))
    assert line.startswith(f"{recording[0]}: ") and line.endswith("add --asr")
