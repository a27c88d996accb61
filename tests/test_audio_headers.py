"""Decoding with wrong lengths in the header: the file is read to its end, or refused if it is truncated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from audio_files import (
    DURATION,
    RATE,
    decode,
    encode,
    error_of,
    speech_like,
    undamaged,
    with_bytes,
    with_data_length,
)

WAV_LENGTHS = [0, 1, DURATION, 2 * DURATION - 2, 2 * DURATION + 1, 2 * DURATION + 8, 2 * DURATION + 36,
               2 * DURATION + 44, 0x7FFFFF00, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFEFDC, 0xFFFFFFFF,
               0xFFFFFFD3]  # fmt: skip


@pytest.mark.parametrize("length", WAV_LENGTHS)
@pytest.mark.parametrize("metadata", [b"", b"LIST\x04\0\0\0INFO"], ids=["without metadata", "with metadata"])
def test_a_wav_with_any_length_in_its_header_is_read_to_its_end(tmp_path: Path, length: int, metadata: bytes) -> None:
    samples, _ = decode(tmp_path, with_data_length(undamaged("wav"), length) + metadata)
    np.testing.assert_array_equal(samples[:, 0], decode(tmp_path, undamaged("wav"))[0][:, 0])


@pytest.mark.parametrize("length", [2 * DURATION + 1000, 4 * DURATION, 0x12345678, 0x90000000])
def test_a_wav_whose_two_lengths_exceed_the_file_is_truncated(tmp_path: Path, length: int) -> None:
    content = with_bytes(with_data_length(undamaged("wav"), length), 4, (length + 36).to_bytes(4, "little"))
    assert error_of(tmp_path, content).startswith("truncated, its header declares more data than the file holds")


def test_a_wav_whose_outer_length_matches_the_file_is_not_truncated(tmp_path: Path) -> None:
    samples, _ = decode(tmp_path, with_data_length(undamaged("wav"), 0x12345678))
    assert len(samples) == DURATION


def test_a_wav_with_metadata_but_without_samples_is_refused(tmp_path: Path) -> None:
    content = encode(speech_like(0.0), "wav") + b"LIST\x04\0\0\0INFO"
    assert error_of(tmp_path, content).startswith("holds no samples")


def test_an_aiff_with_any_length_in_its_header_is_read_to_its_end(tmp_path: Path) -> None:
    content = encode(speech_like(), "aiff")
    offset = content.index(b"SSND") + 4
    for length in (0, 1000, 0x7FFFF000, 0xFFFFFFFF):
        samples, _ = decode(tmp_path, with_bytes(content, offset, length.to_bytes(4, "big")))
        np.testing.assert_allclose(samples[:, 0], speech_like(), atol=1e-4)


@pytest.mark.parametrize("total", [0, 1, DURATION - 1, DURATION + 5_000_000_000, 2**36 - 1])
@pytest.mark.parametrize("has_digest", [True, False], ids=["with MD5", "without MD5"])
def test_a_flac_with_a_missing_or_wrong_length_is_read_to_its_end(tmp_path: Path, total: int, has_digest: bool) -> None:
    content = bytearray(undamaged("flac"))
    content[21] = content[21] & 0xF0 | total >> 32
    content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    if not has_digest:
        content[26:42] = bytes(16)
    samples, rate = decode(tmp_path, bytes(content), "a.flac")
    assert rate == RATE
    np.testing.assert_allclose(samples[:, 0], speech_like(), atol=1e-4)
