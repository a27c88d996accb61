"""`prepare`, training and `clone` accept the same recordings, and refuse the others for the same reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from audio_files import undamaged
from cases import case_folder
from corpora import checked_recording

from data_prep import Recording, prepare
from tts_meta.adapt.recordings import load_recording
from tts_meta.audio import FeatureCache
from tts_meta.audio.io import decode_audio
from tts_meta.audio.trimming import AudioConfig
from tts_meta.errors import TtsMetaError

CONFIG = AudioConfig()
CASES = {
    "audio_flac_piped": {"piped.flac": 46160, "piped2.flac": 46160},
    "audio_float_hot": {"hot.wav": 46160, "int16asfloat.wav": 46160},
    "audio_m4a": {"m4a_named.wav": 46160, "voice.m4a": 46160, "voice2.webm": 138688},
    "audio_wav_header_plus": {f"plus{extra}.wav": 46160 for extra in (1, 8, 16, 44)},
    "audio_wav_piped": {"arecord.wav": 46160, "espeak.wav": 62758, "sox.wav": 46160, "x80000000.wav": 46160},
    "audio_wav_short_header": {"short.wav": 46160},
    "audio_wav_zero_length": {"zero.wav": 46160},
    "fuzz": {"gsm.wav": 59280},
}
"""Number of samples of each file."""


@pytest.mark.parametrize("case", CASES)
def test_prepare_training_and_clone_read_real_files_to_their_end(tmp_path: Path, case: str) -> None:
    for name, length in CASES[case].items():
        path = case_folder(case) / name
        samples, rate = decode_audio(path)
        assert len(samples) == length
        utterance = checked_recording(Recording("a", "ann", path, "Some text."))
        assert not isinstance(utterance, str) and utterance.seconds == pytest.approx(length / rate)
        assert len(load_recording(path, CONFIG)) // 256 + 1 >= len(FeatureCache(tmp_path, CONFIG).mel(path)) > 100


def test_training_reads_every_recording_that_prepare_accepts(tmp_path: Path) -> None:
    manifest = prepare("folder", case_folder("prepare_accepts_train_refuses") / "corpus", tmp_path / "out")
    cache = FeatureCache(tmp_path / "cache", CONFIG)
    assert len(manifest) == 6 and all(len(cache.mel(utterance.audio)) > 100 for utterance in manifest)


def test_prepare_training_and_clone_agree_on_damaged_files(tmp_path: Path) -> None:
    """The fuzz target `audio agreement` tries many more files."""
    random = np.random.default_rng(0)
    accepted = refused = 0
    for container in ("wav", "wav_float", "flac", "ogg", "mp3", "m4a", "webm"):
        content = undamaged(container, 0.6)
        for offset in random.integers(0, len(content), 12):
            kind = offset % 3
            damaged = bytearray(content[:offset] if kind == 0 else content)
            if kind:
                damaged[offset % 64 if kind == 1 else offset] ^= 1 + int(random.integers(255))
            path = tmp_path / "a.wav"
            path.write_bytes(damaged)
            errors = {training_error(path, tmp_path / "cache"), clone_error(path), prepare_error(path)}
            assert len(errors) == 1, errors
            accepted, refused = accepted + (None in errors), refused + (None not in errors)
    assert accepted > 5 and refused > 20


def training_error(path: Path, cache: Path) -> str | None:
    try:
        FeatureCache(cache, CONFIG).compute(path)
    except TtsMetaError as error:
        return str(error)
    return None


def clone_error(path: Path) -> str | None:
    try:
        load_recording(path, CONFIG)
    except TtsMetaError as error:
        return str(error)
    return None


def prepare_error(path: Path) -> str | None:
    prepared = checked_recording(Recording("a", "ann", path, "Some text."))
    return f"{path}: {prepared.removeprefix('unusable audio: ')}" if isinstance(prepared, str) else None
