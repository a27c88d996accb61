"""Decoding: the bytes of a recording to samples, for any container, also if the lengths in its header are wrong.

`decode` selects the reader by the content of the file, never by its name. The reader of a container (`riff`, `flac`,
`ogg`, `mpeg`) locates the samples and passes them to libsndfile or to libav (PyAV). `truncation` checks the
containers that need no reader of this package. `decode_part` reads some seconds of a long recording.
"""

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError
from tts_meta.audio.decoding.dispatch import decode
from tts_meta.audio.decoding.part import decode_part

__all__ = ["DecodedAudio", "DecodingError", "decode", "decode_part"]
