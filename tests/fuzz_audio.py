"""Fuzzing of recordings: damaged files of every container for the decoder, and for prepare, training and clone."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from audio_files import CONTAINERS, undamaged, with_bytes, with_data_length
from corpora import checked_recording
from fuzzing import Target
from hypothesis import strategies as st

from data_prep import Recording
from tts_meta.adapt.recordings import load_recording
from tts_meta.audio import FeatureCache
from tts_meta.audio.io import Waveform, decode_audio
from tts_meta.audio.trimming import AudioConfig
from tts_meta.errors import TtsMetaError

CONFIG = AudioConfig()
CHECKSUMMED = ("flac", "ogg", "opus")
containers = st.sampled_from(CONTAINERS)


def read(content: bytes) -> tuple[Waveform, int]:
    """Decode content from a file whose name does not depend on the container."""
    samples, rate = decode_audio(as_file(content))
    assert samples.ndim == 2 and len(samples) and np.isfinite(samples).all() and rate >= 4000
    return samples, rate


def as_file(content: bytes) -> Path:
    path = _folder() / "recording.wav"
    path.write_bytes(content)
    return path


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz_audio"))


@cache
def undamaged_samples(container: str) -> Waveform:
    return read(undamaged(container))[0]


def truncate(value: tuple[str, float]) -> None:
    """A truncated file is refused, or the decoder returns the start of the samples."""
    container, fraction = value
    content = undamaged(container)
    end = int(fraction * len(content))
    samples, _ = read(content[:end])
    # A header that includes itself in its length looks like a file without its last 64 bytes.
    assert len(content) - end <= 64, f"accepted without the last {len(content) - end} bytes"
    np.testing.assert_array_equal(samples, undamaged_samples(container)[: len(samples)])


def flip(value: tuple[str, list[tuple[float, int]]]) -> None:
    """Changed bytes are detected by checksums; in PCM they change only their own samples."""
    container, flips = value
    content = bytearray(undamaged(container))
    for position, mask in flips:
        content[int(position * len(content))] ^= mask
    samples, _ = read(bytes(content))
    if container in CHECKSUMMED:
        np.testing.assert_array_equal(samples, undamaged_samples(container), "a checksum was ignored")
    if container in ("wav", "wav24") and all(int(position * len(content)) >= 44 for position, _ in flips):
        wrong = np.sum(samples != undamaged_samples(container))
        assert len(samples) == len(undamaged_samples(container)) and wrong <= len(flips)


def wrong_length(value: tuple[int, int, bytes]) -> None:
    """A WAV with wrong lengths in its header is refused or read to its end."""
    data_length, riff_length, metadata = value
    content = with_bytes(with_data_length(undamaged("wav"), data_length), 4, riff_length.to_bytes(4, "little"))
    samples, _ = read(content + metadata)
    np.testing.assert_array_equal(samples, undamaged_samples("wav"))


def floats(value: list[float]) -> None:
    """Floating-point samples are scaled into [-1, 1], and NaN and infinity are refused."""
    content = io.BytesIO()
    soundfile.write(content, np.array(value * 20), 16000, format="WAV", subtype="DOUBLE")
    samples, _ = read(content.getvalue())
    assert np.isfinite(value).all() and np.abs(samples).max() <= 1
    loudest = np.abs(value).max()
    if loudest > 1:
        assert np.abs(samples).max() > 0.02 or 2 < loudest < 2**31
    else:
        np.testing.assert_allclose(samples[:, 0], np.array(value * 20), atol=1e-7)


def junk(value: bytes) -> None:
    """Bytes without a format are refused or decoded."""
    read(value)


def agree(value: tuple[str, float | None, list[tuple[float, int]]]) -> None:
    """Prepare, training and clone accept the same files, and refuse the others for the same reason."""
    container, fraction, flips = value
    content = bytearray(undamaged(container))
    for position, mask in flips:
        content[int(position * len(content))] ^= mask
    path = as_file(bytes(content[: None if fraction is None else int(fraction * len(content))]))
    outcomes = set()
    for attempt in (
        lambda: FeatureCache(_folder(), CONFIG).compute(path),
        lambda: load_recording(path, CONFIG),
        lambda: prepare_one(path),
    ):
        try:
            attempt()
            outcomes.add("")
        except TtsMetaError as error:
            outcomes.add(str(error).removeprefix(f"{path}: "))
    assert len(outcomes) == 1, outcomes


def prepare_one(path: Path) -> None:
    """Raise the reason for which `prepare` drops the recording."""
    result = checked_recording(Recording("a", "ann", path, "Some text."))
    if isinstance(result, str):
        raise TtsMetaError(result.removeprefix("unusable audio: "))


fractions = st.floats(0, 1, exclude_max=True)
flips = st.lists(st.tuples(fractions | st.floats(0, 0.02), st.integers(1, 255)), min_size=1, max_size=3)
starts = st.sampled_from(
    [undamaged(name)[:size] for name in ("wav", "flac", "ogg", "mp3", "m4a") for size in (4, 12, 60)]
)
lengths = st.integers(0, 2**32 - 1) | st.sampled_from([0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
METADATA = b"LIST\4\0\0\0INFO"
TARGETS = [
    Target("audio truncated", st.tuples(containers, fractions), truncate),
    Target("audio flipped", st.tuples(containers, flips), flip),
    Target("audio wrong length", st.tuples(lengths, lengths, st.sampled_from([b"", METADATA])), wrong_length),
    Target("audio floats", st.lists(st.floats(width=64) | st.floats(-1, 1), min_size=20, max_size=40), floats),
    Target("audio junk", st.builds(lambda a, b: a + b, starts | st.just(b""), st.binary(max_size=3000)), junk),
    Target("audio agreement", st.tuples(containers, st.none() | fractions, st.just([]) | flips), agree),
]
