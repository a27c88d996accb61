"""Damaged recordings of every container, through the one decoder and through prepare, training and clone."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from audio_files import CONTAINERS, whole, with_bytes, with_data_length
from fuzzing import Target
from hypothesis import strategies as st

from data_prep import Recording
from data_prep.recording import to_utterance
from tts_meta.adapt.recordings import load_recording
from tts_meta.audio import FeatureCache
from tts_meta.audio.io import Waveform, decode_audio
from tts_meta.config import AudioConfig
from tts_meta.errors import TtsMetaError

CONFIG = AudioConfig()
CHECKSUMMED = ("flac", "ogg", "opus")
containers = st.sampled_from(CONTAINERS)


def read(content: bytes) -> tuple[Waveform, int]:
    """Decode content out of a file whose name says nothing of it."""
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
def whole_samples(container: str) -> Waveform:
    return read(whole(container))[0]


def cut(value: tuple[str, float]) -> None:
    container, part = value
    content = whole(container)
    end = int(part * len(content))
    samples, _ = read(content[:end])
    # Headers that count themselves are as much too large, so that the last bytes are not missed.
    assert len(content) - end <= 64, f"accepted without the last {len(content) - end} bytes"
    np.testing.assert_array_equal(samples, whole_samples(container)[: len(samples)])


def flip(value: tuple[str, list[tuple[float, int]]]) -> None:
    container, flips = value
    content = bytearray(whole(container))
    for part, mask in flips:
        content[int(part * len(content))] ^= mask
    samples, _ = read(bytes(content))
    if container in CHECKSUMMED:
        np.testing.assert_array_equal(samples, whole_samples(container), "a checksum was ignored")
    if container in ("wav", "wav24") and all(int(part * len(content)) >= 44 for part, _ in flips):
        wrong = np.sum(samples != whole_samples(container))
        assert len(samples) == len(whole_samples(container)) and wrong <= len(flips)


def wrong_length(value: tuple[int, int, bytes]) -> None:
    length, riff, behind = value
    content = with_bytes(with_data_length(whole("wav"), length), 4, riff.to_bytes(4, "little"))
    samples, _ = read(content + behind)
    np.testing.assert_array_equal(samples, whole_samples("wav"))


def floats(value: list[float]) -> None:
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
    read(value)


def agree(value: tuple[str, float | None, list[tuple[float, int]]]) -> None:
    """Prepare, training and clone take the same files, and refuse the same for the same reason."""
    container, part, flips = value
    content = bytearray(whole(container))
    for place, mask in flips:
        content[int(place * len(content))] ^= mask
    path = as_file(bytes(content[: None if part is None else int(part * len(content))]))
    outcomes = set()
    for attempt in (
        lambda: FeatureCache(_folder(), CONFIG).compute(path),
        lambda: load_recording(path, CONFIG),
        lambda: prepared(path),
    ):
        try:
            attempt()
            outcomes.add("")
        except TtsMetaError as error:
            outcomes.add(str(error).removeprefix(f"{path}: "))
    assert len(outcomes) == 1, outcomes


def prepared(path: Path) -> None:
    result = to_utterance(Recording("a", "ann", path, "Some text."))
    if isinstance(result, str):
        raise TtsMetaError(result.removeprefix("unusable audio: "))


parts = st.floats(0, 1, exclude_max=True)
flips = st.lists(st.tuples(parts | st.floats(0, 0.02), st.integers(1, 255)), min_size=1, max_size=3)
starts = st.sampled_from([whole(name)[:size] for name in ("wav", "flac", "ogg", "mp3", "m4a") for size in (4, 12, 60)])
words = st.integers(0, 2**32 - 1) | st.sampled_from([0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
TARGETS = [
    Target("audio cut", st.tuples(containers, parts), cut),
    Target("audio flipped", st.tuples(containers, flips), flip),
    Target("audio wrong length", st.tuples(words, words, st.sampled_from([b"", b"LIST\4\0\0\0INFO"])), wrong_length),
    Target("audio floats", st.lists(st.floats(width=64) | st.floats(-1, 1), min_size=20, max_size=40), floats),
    Target("audio junk", st.builds(lambda a, b: a + b, starts | st.just(b""), st.binary(max_size=3000)), junk),
    Target("audio agreement", st.tuples(containers, st.none() | parts, st.just([]) | flips), agree),
]
