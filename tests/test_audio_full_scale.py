"""Samples at and beyond full scale: scaling of floating-point samples, and detection of clipping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import RATE, speech_like
from cases import case_folder

from tts_meta.audio import load_speech
from tts_meta.audio.clipping import clipped_fraction
from tts_meta.audio.decoding.common import scale_floats
from tts_meta.audio.io import decode_audio
from tts_meta.audio.trimming import AudioConfig

CONFIG = AudioConfig()


@pytest.mark.parametrize("factor", [1.0001, 2.5, 30.0, 32768.0, 2.0**23, 2.0**31, 1e37, 1e38])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_of_any_scale_give_the_same_speech(tmp_path: Path, factor: float, subtype: str) -> None:
    speech = speech_like() / np.abs(speech_like()).max()
    soundfile.write(tmp_path / "a.wav", speech * factor, RATE, subtype=subtype)
    loaded = load_speech(tmp_path / "a.wav", CONFIG).waveform
    soundfile.write(tmp_path / "b.wav", speech, RATE, subtype=subtype)
    np.testing.assert_allclose(loaded, load_speech(tmp_path / "b.wav", CONFIG).waveform, atol=1e-5)


def test_doubles_beyond_single_precision_are_scaled_before_the_cast(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech_like().astype(np.float64) * 1e200, RATE, subtype="DOUBLE")
    expected = speech_like() / np.abs(speech_like()).max()
    np.testing.assert_allclose(decode_audio(tmp_path / "a.wav")[0][:, 0], expected, rtol=1e-4, atol=1e-6)


def test_floats_within_full_scale_are_not_changed() -> None:
    np.testing.assert_array_equal(scale_floats(np.array([-1.0, 0.5])), np.array([-1.0, 0.5], np.float32))


def test_floats_beyond_full_scale_in_real_files_give_the_speech_of_the_integer_file() -> None:
    expected = load_speech(case_folder("audio_wav_header_plus") / "plus1.wav", CONFIG).waveform
    for name in ("hot.wav", "int16asfloat.wav"):
        waveform = load_speech(case_folder("audio_float_hot") / name, CONFIG).waveform
        np.testing.assert_allclose(waveform, expected, atol=2e-4)


@pytest.mark.parametrize("audio_format", ["MP3", "OGG"])
def test_clipping_is_detected_after_lossy_codecs_and_loud_speech_is_not_clipped(
    tmp_path: Path, audio_format: str
) -> None:
    loud = speech_like(3.0) / np.abs(speech_like(3.0)).max() * 2.5
    for name, samples in (("loud", loud), ("clipped", np.clip(loud, -1, 1))):
        soundfile.write(tmp_path / name, samples, RATE, format=audio_format)
    assert clipped_fraction(decode_audio(tmp_path / "loud")[0]) == 0
    assert clipped_fraction(decode_audio(tmp_path / "clipped")[0]) > 0.01


def test_a_pure_tone_at_full_scale_is_not_clipped() -> None:
    for frequency in (100, 200, 440):
        tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
        assert clipped_fraction((np.round(tone * 32767) / 32768)[:, None].astype(np.float32)) == 0
