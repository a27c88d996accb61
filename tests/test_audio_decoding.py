"""Decoding: every container is read by its content, truncated files are refused, and joined recordings are all read."""

from __future__ import annotations

import io
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import (
    BY_LIBAV,
    CONTAINERS,
    DURATION,
    MAX_ERROR,
    RATE,
    decode,
    encode,
    error_of,
    speech_like,
    undamaged,
    with_bytes,
)

from tts_meta.audio.decoding.mpeg import mp3_frame
from tts_meta.audio.io import Waveform, read_audio
from tts_meta.errors import TtsMetaError

PADDING = {"adts": 1280, "asf": 1536, "avi": 1536, "wav_mp3": 1110, "wav_adpcm": 130}
"""Samples of padding that remain in containers that do not store the number of samples."""


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_read_by_its_content_not_its_name(tmp_path: Path, container: str) -> None:
    samples, rate = decode(tmp_path, undamaged(container), "a.txt")
    assert samples.dtype == np.float32 and samples.shape[1] == 1
    padding = PADDING.get(container, 0)
    assert 0 <= len(samples) / rate * RATE - DURATION <= padding
    if container in MAX_ERROR:
        np.testing.assert_allclose(samples[:, 0], speech_like(), atol=MAX_ERROR[container])
    elif not padding:
        decoded, original = loudness_contour(samples[:, 0], rate), loudness_contour(speech_like(), RATE)
        assert np.corrcoef(decoded, original)[0, 1] > 0.95
        assert decoded.mean() == pytest.approx(original.mean(), rel=0.15)


def loudness_contour(samples: Waveform, rate: int) -> Waveform:
    """Return the root mean square of each tenth of the first 1.2 s."""
    return np.array([np.sqrt(np.mean(part**2)) for part in np.split(samples[: round(1.2 * rate)], 10)])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.77, 0.98])
def test_every_truncated_container_is_refused(tmp_path: Path, container: str, fraction: float) -> None:
    content = undamaged(container)
    error_of(tmp_path, content[: int(fraction * len(content))])


@pytest.mark.parametrize(("subtype", "missing"), [("IMA_ADPCM", 60), ("MS_ADPCM", 60), ("GSM610", 40)])
def test_a_truncated_block_of_a_codec_is_refused(tmp_path: Path, subtype: str, missing: int) -> None:
    """Part of a block decodes to noise. A header has as many bytes as are missing, so the length might include it."""
    content = io.BytesIO()
    soundfile.write(content, speech_like(), RATE, format="WAV", subtype=subtype)
    assert error_of(tmp_path, content.getvalue()[:-missing]).startswith("truncated")


def test_a_wav_of_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    content = with_bytes(undamaged("wav"), 20, (0x4242).to_bytes(2, "little"))
    assert "unknown audio codec" in error_of(tmp_path, content)


@pytest.mark.parametrize("total", [0, DURATION])
def test_a_flac_with_wrong_bytes_in_its_frames_is_refused(tmp_path: Path, total: int) -> None:
    content = bytearray(undamaged("flac"))
    content[22:26] = total.to_bytes(4, "big")
    content[26:42] = bytes(16)
    for fraction in (0.5, 0.6, 0.99):
        damaged = with_bytes(bytes(content), int(fraction * len(content)), b"\x55\xaa")
        assert error_of(tmp_path, damaged).startswith("trunc")


def test_an_mp3_with_missing_bytes_in_the_middle_is_refused(tmp_path: Path) -> None:
    content = undamaged("mp3", 4.0)
    assert error_of(tmp_path, content[:5000] + content[5300:]).startswith("truncated or damaged (no MP3 frame at byte")


@pytest.mark.parametrize("damage", ["byte", "page"])
def test_an_ogg_with_a_wrong_byte_or_a_missing_page_is_refused(tmp_path: Path, damage: str) -> None:
    content = undamaged("ogg", 6.0)
    pages = [offset for offset in range(len(content)) if content[offset : offset + 4] == b"OggS"]
    if damage == "byte":
        damaged = with_bytes(content, len(content) - 500, bytes([content[-500] ^ 1]))
    else:
        damaged = content[: pages[-2]] + content[pages[-1] :]
    assert error_of(tmp_path, damaged).startswith("truncated or damaged")


@pytest.mark.parametrize("container", ["wav", "flac", "ogg", "mp3", "opus"])
def test_all_recordings_joined_in_one_file_are_read(tmp_path: Path, container: str) -> None:
    single = decode(tmp_path, undamaged(container))[0]
    joined = decode(tmp_path, undamaged(container) * 3)[0]
    np.testing.assert_array_equal(joined, np.concatenate([single] * 3))


def test_joined_recordings_with_different_rates_are_refused(tmp_path: Path) -> None:
    content = undamaged("wav") + encode(speech_like(rate=8000), "wav", 8000)
    assert "different formats" in error_of(tmp_path, content)


def test_an_mp3_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    content = undamaged("mp3", 6.0)
    first = mp3_frame(content, 0)
    assert first is not None and (b"Xing" in content[:60] or b"Info" in content[:60])
    samples, _ = decode(tmp_path, content[first.length :], "a.mp3")
    assert 6.0 * RATE <= len(samples) <= 6.2 * RATE


def test_mp3_tags_at_both_ends_are_accepted(tmp_path: Path) -> None:
    tags = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)
    samples, _ = decode(tmp_path, tags + undamaged("mp3") + b"TAG" + bytes(125), "a.mp3")
    assert len(samples) == DURATION


def test_libsndfile_does_not_read_the_containers_that_libav_decodes() -> None:
    for container in ("m4a", "webm", "adts", "asf"):
        assert container in BY_LIBAV
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.SoundFile(io.BytesIO(undamaged(container)))


def test_resampling_keeps_the_duration_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(undamaged("m4a"))
    assert len(read_audio(tmp_path / "a.m4a", 22050)) == pytest.approx(1.2 * 22050, abs=1)


@pytest.mark.parametrize("container", ["mp3", "flac", "ogg", "m4a", "adts", "webm"])
def test_no_decoder_writes_to_the_terminal(tmp_path: Path, container: str, capfd) -> None:
    content = undamaged(container)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for variant in (content, content[:-700], with_bytes(content, 3000, bytes(300))):
            try:
                decode(tmp_path, variant)
            except TtsMetaError:
                continue
    assert capfd.readouterr() == ("", "")


def test_a_small_file_of_many_hours_is_refused_in_little_time_and_memory(tmp_path: Path) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format="FLAC") as handle:
        for _ in range(40):
            handle.write(np.zeros(60 * RATE, np.int16))
    content = file.getvalue()
    without_length = bytearray(content)
    without_length[21] &= 0xF0
    without_length[22:26], without_length[26:42] = bytes(4), bytes(16)
    tracemalloc.start()
    start = time.process_time()
    assert "2400 s long, at most 60 s" in error_of(tmp_path, content)
    assert "longer than 60 s" in error_of(tmp_path, bytes(without_length))
    assert tracemalloc.get_traced_memory()[1] < 100e6 and time.process_time() - start < 5
    tracemalloc.stop()
