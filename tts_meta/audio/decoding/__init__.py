"""Decoding: the bytes of a recording to samples, whatever its container and whatever its header promises.

`decode` looks at the content, never at the file's name. Each container has a reader that finds the samples that are
there (`riff`, `flac`, `ogg`, `mpeg`, `boxes`), and hands them to libsndfile or to libav (PyAV).
"""

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError
from tts_meta.audio.decoding.dispatch import decode

__all__ = ["DecodedAudio", "DecodingError", "decode"]
