"""Level of a waveform in overlapping frames, in dB of full scale."""

from __future__ import annotations

import numpy as np

from tts_meta.audio.io import Waveform

FRAME, STEP = 1024, 256
"""Length and hop, in samples, of the frames whose level is measured."""


def levels_db(samples: Waveform) -> Waveform:
    """Return the root mean square of each frame in dB of full scale, `(frames,)`."""
    if len(samples) < FRAME:
        samples = np.pad(samples, (0, FRAME - len(samples)))
    squares = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, len(samples) - FRAME + 1, STEP)
    power = (squares[starts + FRAME] - squares[starts]) / FRAME
    return (10 * np.log10(np.maximum(power, 1e-12))).astype(np.float32)
