"""File type detection by content: the audio container, or a description of a file that is not audio."""

from __future__ import annotations

from tts_meta.audio.decoding.mpeg import adts_frame, looks_like_mp3

_EBML, _ASF = b"\x1aE\xdf\xa3", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (_EBML, "matroska"),
    (_ASF, "asf"),
    (b"#!AMR", "amr"),
    (b".snd", "sized"),
    (b"caff", "sized"),
    (b"riff.\x91\xcf\x11", "sized"),
)
_RIFF = {b"WAVE": "wav", b"AVI ": "avi"}
_MP4 = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"wvpk", "WavPack; convert it to WAV or FLAC"),
    (b"TTA1", "True Audio; convert it to WAV or FLAC"),
    (b"MAC ", "Monkey's Audio; convert it to WAV or FLAC"),
    (b"FLV\x01", "Flash video; convert its audio to WAV or FLAC"),
    (b"\x0bw", "AC-3; convert it to WAV or FLAC"),
    (b"DSD ", "DSD; convert it to WAV or FLAC"),
    (b"MThd", "a MIDI file, which holds notes but no audio"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"BZh", "a bzip2 archive; unpack it"),
    (b"\xfd7zXZ", "an xz archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"BM", "a picture (BMP)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x00\x05\x16\x07", "a macOS resource file (its name begins with ._); give the recording instead"),
    (b"\x93NUMPY", "a NumPy array; save it as WAV"),
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file with `git lfs pull`"),
    (b"#EXTM3U", "a playlist; give the recordings in it"),
    (b"[playlist]", "a playlist; give the recordings in it"),
    (b"{\\rtf", "a text document (RTF)"),
)


def detect_container(content: bytes) -> str | None:
    """Return the audio container of a file, or None if it is unknown."""
    if content[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _RIFF.get(content[8:12])
    if content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if content[4:8] in _MP4 and content[:2] == b"\0\0":
        return "mp4"
    for prefix, kind in _PREFIXES:
        if content.startswith(prefix):
            return kind
    if content[:2] != b"\xff\xd8":
        if (length := adts_frame(content, 0)) is not None and (
            length >= len(content) or adts_frame(content, length) is not None
        ):
            return "adts"
        if looks_like_mp3(content):
            return "mp3"
    return None


def describe_other(content: bytes) -> str | None:
    """Return a description of a file that is not audio, such as "a web page (HTML)"; None if it is unknown."""
    for prefix, description in _OTHERS:
        if content.startswith(prefix):
            return description
    start = content[:4096]
    if start.count(0) > len(start) * 0.99:
        return "nothing but zeros; copy or record it again"
    try:
        text = start.decode("utf-8", errors="strict" if len(content) <= 4096 else "ignore").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        return None
    if len(text.encode("utf-8")) < 0.9 * len(start.lstrip()) or not all(c.isprintable() or c.isspace() for c in text):
        return None
    lowered = text[:512].lower()
    if lowered.startswith(("<!doctype html", "<html")) or "<html" in lowered:
        return "a web page (HTML), perhaps a failed download; download the recording again"
    if lowered.startswith("<?xml") or lowered.startswith("<svg"):
        return "an XML document"
    return "a JSON document" if lowered.startswith(("{", "[")) else "a text file"
