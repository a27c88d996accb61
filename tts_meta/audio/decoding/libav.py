"""Decoding by libav (PyAV). A packet that cannot be decoded is an error, not a gap.

The caller always names the demuxer, and the demuxer reads from memory. Probing is avoided because it opens playlists,
which refer to other files.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from tts_meta.audio.decoding.common import DecodedAudio, DecodingError, DurationLimit, damaged, scale_floats

_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}
_DEMUXER_OPTIONS = {"err_detect": "crccheck+bitstream+buffer", "probesize": str(2**24)}

_MAY_HOLD_FLOATS = ("pcm_f", "wavpack")
"""Codecs that store floats without change. Other codecs decode to floats within full scale, or a little above."""


def decode_libav(content: bytes, demuxer: str, limit: DurationLimit, strict: bool = True) -> DecodedAudio:
    """Decode the first audio stream to its end. Raises DecodingError: no audio stream, damaged, or too long."""
    import av
    from av.error import FFmpegError

    blocks: list[NDArray[np.float32]] = []
    frames, rate, channels, lossless = 0, 0, 0, False
    try:
        with av.open(io.BytesIO(content), "r", format=demuxer, options=_DEMUXER_OPTIONS) as container:
            if not container.streams.audio:
                description = "a video" if container.streams.video else f"a {demuxer} file"
                raise DecodingError(f"{description} without audio; give a recording")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise damaged("unknown audio codec")
            lossless = stream.codec_context.name.startswith(_MAY_HOLD_FLOATS)
            if strict:
                stream.codec_context.options = _STRICT
            for frame in container.decode(stream):
                block = _samples(frame)
                if blocks and (frame.sample_rate, block.shape[1]) != (rate, channels):
                    raise DecodingError("its sample rate or number of channels changes inside; export it again")
                rate, channels = frame.sample_rate, block.shape[1]
                if rate <= 0:
                    raise damaged("no sample rate")
                blocks.append(block)
                frames += len(block)
                limit.check_decoded(frames, channels, rate)
            frames = min(frames, _declared_frames(demuxer, stream, rate, frames))
    except (FFmpegError, ValueError, NotImplementedError, EOFError) as error:
        raise damaged(getattr(error, "strerror", None) or str(error) or "cannot be decoded") from error
    if not blocks:
        raise DecodingError("holds no samples; record it again")
    samples = np.concatenate(blocks)[:frames]
    return DecodedAudio(scale_floats(samples) if lossless else samples.astype(np.float32), rate)


def _samples(frame) -> NDArray[np.float32]:
    """Return the samples `(S, channels)` of a decoded frame; integers are scaled to [-1, 1]."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128
    if np.issubdtype(values.dtype, np.integer):
        return (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)
    return values


def _declared_frames(demuxer: str, stream, rate: int, decoded: int) -> int:
    """Return the number of samples that an MP4 declares if its last packet is padded; otherwise `decoded`."""
    if demuxer != "mp4" or not stream.duration or not stream.time_base or not rate:
        return decoded
    declared = round(float(stream.duration * stream.time_base) * rate)
    return declared if 0 < decoded - declared < 4096 else decoded
