"""The real Whisper and the real Silero VAD on a recording that the shipped base speaks."""

from __future__ import annotations

import numpy as np
import pytest
from spoken_sentences import PAUSE, SENTENCES, spoken_sentences

from tts_meta.asr.recording import NO_SPEECH, slice_recording
from tts_meta.asr.voice_activity import speech_intervals
from tts_meta.asr.whisper import Transcriber, find_whisper
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.wer import word_errors


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    for package in ("faster_whisper", "whisper_normalizer", "jiwer"):
        pytest.importorskip(package, reason="the extra eval is not installed")
    try:
        find_whisper()
    except TtsMetaError as error:
        pytest.skip(str(error))
    return Transcriber()


@pytest.fixture(scope="module")
def recording() -> tuple[np.ndarray, list[tuple[float, float]]]:
    return spoken_sentences()


def test_whisper_cuts_a_recording_between_its_sentences(transcriber, recording, capfd) -> None:
    samples, times = recording
    slices = slice_recording(samples, transcriber, "en")
    known = slice_recording(samples, transcriber, "en", " ".join(SENTENCES).upper())
    for parts in (slices, known):
        assert len(parts) >= 2 and [part.fault for part in parts] == [None] * len(parts)
        for part in parts:
            assert any(start - PAUSE / 2 <= part.start <= start + 0.2 for start, _ in times)
            assert any(end - 0.5 <= part.end <= end + PAUSE / 2 for _, end in times)
    assert word_errors(" ".join(SENTENCES), " ".join(part.text for part in slices)).edits <= 4
    assert " ".join(part.text for part in known) == " ".join(SENTENCES).upper()
    assert capfd.readouterr() == ("", "")


def test_music_and_noise_and_silence_are_not_speech(transcriber) -> None:
    time = np.arange(3 * SPEECH_RATE) / SPEECH_RATE
    chord = 0.1 * np.sum([np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 277.0, 330.0)], axis=0)
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(time))
    for samples in (chord, noise, 0 * time):
        assert speech_intervals(samples.astype(np.float32)) == []
        with pytest.raises(TtsMetaError, match=NO_SPEECH):
            slice_recording(samples.astype(np.float32), transcriber)
