"""What all readers of containers share: their result, their refusal and their limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 2**27
"""Samples times channels that are held in memory: half a gigabyte."""
_HOT = 32.0
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)


class DecodingError(Exception):
    """A recording that cannot be used; the message says why and what to do, without the file's name."""


@dataclass(frozen=True)
class DecodedAudio:
    """Samples float32 `(S, channels)` and their rate in Hz."""

    samples: NDArray[np.float32]
    rate: int


@dataclass(frozen=True)
class DurationLimit:
    """The longest recording that is decoded, in seconds."""

    seconds: float

    def check(self, frames: int, channels: int, rate: int) -> None:
        """Raise DecodingError where so many samples are too many."""
        if frames > self.seconds * rate:
            raise DecodingError(f"{frames / rate:.0f} s long, at most {self.seconds:.0f} s a recording; {_CUT}")
        if frames * channels > MAX_VALUES:
            raise DecodingError(f"{frames * channels:.1e} samples in {channels} channels are too many; {_CUT}")

    def exceeded(self, frames: int, channels: int, rate: int) -> None:
        """Raise DecodingError where so many samples were decoded and more follow."""
        if frames > self.seconds * rate:
            raise DecodingError(f"longer than {self.seconds:.0f} s, the most that a recording may be; {_CUT}")
        self.check(frames, channels, rate)


_CUT = "cut it into sentences"


def truncated() -> DecodingError:
    """The refusal of a file that ends before its content does."""
    return DecodingError("truncated, its header promises more than the file holds; copy it again")


def damaged(reason: str) -> DecodingError:
    """The refusal of a file whose content is faulty."""
    return DecodingError(f"truncated or damaged ({reason}); copy it again")


def join(sounds: list[DecodedAudio]) -> DecodedAudio:
    """One recording of several that stand one after the other in a file.

    Raises DecodingError where their rates or numbers of channels differ.
    """
    if len({(sound.rate, sound.samples.shape[1]) for sound in sounds}) > 1:
        raise DecodingError("several recordings of unlike formats joined in one file; split it")
    return sounds[0] if len(sounds) == 1 else DecodedAudio(np.concatenate([s.samples for s in sounds]), sounds[0].rate)


def scale_floats(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Bring floats into full scale: those a little above by their peak, integers that were stored as floats by theirs.

    Samples within [-1, 1], and any that hold NaN or infinity, stay as they are.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if 1.0 < peak < np.inf:
        scales = [] if peak < _HOT else [scale for scale in _INTEGER_SCALES if scale >= peak]
        samples = samples / (scales[0] if scales else peak)
    # Where infinity is among them nothing was scaled, and the caller refuses them.
    with np.errstate(over="ignore"):
        return samples.astype(np.float32)
