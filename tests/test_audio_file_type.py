"""Files that are not recordings: the error describes the type of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from audio_files import error_of, undamaged, video_without_audio

NOT_AUDIO = [
    ("web page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "a web page (HTML)"),
    ("MIDI", b"MThd\0\0\0\x06\0\1\0\1\0\x60MTrk" + bytes(50), "a MIDI file, which holds notes but no audio"),
    ("video", video_without_audio(), "a video without audio"),
    ("zip", b"PK\x03\x04" + bytes(range(200)), "a ZIP archive"),
    ("picture", b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "a picture (PNG)"),
    ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(200)), "a picture (JPEG)"),
    ("playlist", b"#EXTM3U\nhttp://example.com/a.ts\n", "a playlist"),
    ("LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1\n", "a Git LFS pointer"),
    ("text", "Être ou ne pas être.\n".encode() * 300, "a text file"),
    ("JSON", b'{"a": [1, 2]}', "a JSON document"),
    ("zeros", bytes(5000), "nothing but zeros"),
    ("macOS", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(100), "a macOS resource file"),
]


@pytest.mark.parametrize(
    ("content", "description"),
    [pytest.param(content, description, id=name) for name, content, description in NOT_AUDIO],
)
def test_the_error_describes_a_file_that_is_not_audio(tmp_path: Path, content: bytes, description: str, capfd) -> None:
    assert description in error_of(tmp_path, content)
    assert capfd.readouterr() == ("", "")


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "real.wav").write_bytes(undamaged("wav"))
    for content in (b"ffconcat version 1.0\nfile real.wav\n", b"#EXTM3U\n#EXTINF:1,\nreal.wav\n"):
        error_of(tmp_path, content)
