"""Recordings in every container, made in memory, and functions that damage them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from tts_meta.audio.io import Waveform, decode_audio
from tts_meta.errors import TtsMetaError

RATE = 16000
DURATION = 19200
"""Number of samples of `speech_like()`."""
BY_LIBSNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "wav_float": ("WAV", "FLOAT"),
    "wav_double": ("WAV", "DOUBLE"),
    "wav_8bit": ("WAV", "PCM_U8"),
    "wav_mulaw": ("WAV", "ULAW"),
    "wav_gsm": ("WAV", "GSM610"),
    "wav_adpcm": ("WAV", "IMA_ADPCM"),
    "wavex": ("WAVEX", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
BY_LIBAV = {
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "mov_alac": ("mov", "alac"),
    "webm": ("webm", "libopus"),
    "adts": ("adts", "aac"),
    "asf": ("asf", "libmp3lame"),
    "avi": ("avi", "libmp3lame"),
    "mka": ("matroska", "flac"),
    "wav_mp3": ("wav", "libmp3lame"),
}
CONTAINERS = (*BY_LIBSNDFILE, *BY_LIBAV)
MAX_ERROR = {"wav": 1e-4, "wav24": 1e-6, "wav_float": 1e-6, "wav_double": 1e-6, "wav_8bit": 0.01, "wav_mulaw": 0.02,
         "wavex": 1e-4, "rf64": 1e-4, "aiff": 1e-4, "au": 1e-4, "caf": 1e-4, "w64": 1e-4, "flac": 1e-4,
         "mov_alac": 1e-4, "mka": 1e-4}  # fmt: skip
"""Largest error of lossless containers; the others are lossy."""


def speech_like(seconds: float = 1.2, rate: int = RATE, seed: int = 0) -> Waveform:
    """Return a signal similar to speech: a tone of varying pitch and loudness, with a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    glide = np.sin(2 * np.pi * (180 * time + 20 * np.sin(2 * np.pi * 1.3 * time)))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return ((0.25 * glide + 0.03 * noise) * (1.1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def encode(samples: Waveform, container: str, rate: int = RATE) -> bytes:
    """Return the content of a file with `samples (S,)`."""
    if container in BY_LIBSNDFILE:
        form, subtype = BY_LIBSNDFILE[container]
        content = io.BytesIO()
        soundfile.write(content, samples, rate, format=form, subtype=subtype)
        return content.getvalue()
    return _by_libav(samples, *BY_LIBAV[container], rate)


@cache
def undamaged(container: str, seconds: float = 1.2) -> bytes:
    """Return the content of a file with `speech_like(seconds)`."""
    return encode(speech_like(seconds), container)


def _by_libav(samples: Waveform, form: str, codec: str, rate: int) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=48000 if codec == "libopus" else rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        context = stream.codec_context
        context.open()
        resampler = av.AudioResampler(context.format, "mono", context.sample_rate, context.frame_size or 1024)
        for block in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return content.getvalue()


def video_without_audio() -> bytes:
    """Return a short MP4 of grey pictures."""
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return content.getvalue()


def with_bytes(content: bytes, offset: int, value: bytes) -> bytes:
    """Return the content with `value` written at byte `offset`."""
    return content[:offset] + value + content[offset + len(value) :]


def with_data_length(wav: bytes, length: int) -> bytes:
    """Return a WAV whose header declares `length` bytes of samples."""
    return with_bytes(wav, wav.index(b"data") + 4, length.to_bytes(4, "little"))


def decode(folder: Path, content: bytes, name: str = "a.wav") -> tuple[Waveform, int]:
    """Return the samples `(S, channels)` and rate of a file with this content."""
    (folder / name).write_bytes(content)
    return decode_audio(folder / name)


def error_of(folder: Path, content: bytes, name: str = "a.wav") -> str:
    """Return the error of decoding, without the path of the file; it must have one line."""
    with pytest.raises(TtsMetaError) as error:
        decode(folder, content, name)
    assert str(error.value).startswith(f"{folder / name}: ") and "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{folder / name}: ")
