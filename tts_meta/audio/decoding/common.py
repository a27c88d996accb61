"""Shared by all readers of containers: their result, their error and their limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 2**27
"""Limit of samples times channels in memory: half a gigabyte."""
_MIN_INTEGER_PEAK = 32.0
"""Floats with a higher peak are integers that were stored as floats."""
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)


class DecodingError(Exception):
    """A recording cannot be decoded. The message gives the reason and what to do, without the name of the file."""


@dataclass(frozen=True)
class DecodedAudio:
    """A decoded recording. samples: float32 `(S, channels)`. rate: Hz."""

    samples: NDArray[np.float32]
    rate: int


@dataclass(frozen=True)
class DurationLimit:
    """The duration in seconds of the longest recording that is decoded."""

    seconds: float

    def check(self, frames: int, channels: int, rate: int) -> None:
        """Raise DecodingError if a recording of this length is too long or too large."""
        if frames > self.seconds * rate:
            raise DecodingError(f"{frames / rate:.0f} s long, at most {self.seconds:.0f} s are allowed; {_CUT}")
        if frames * channels > MAX_VALUES:
            raise DecodingError(f"{frames * channels:.1e} samples in {channels} channels are too many; {_CUT}")

    def check_decoded(self, frames: int, channels: int, rate: int) -> None:
        """Raise DecodingError if the samples decoded so far exceed the limit."""
        if frames > self.seconds * rate:
            raise DecodingError(f"longer than {self.seconds:.0f} s, the limit for a recording; {_CUT}")
        self.check(frames, channels, rate)


_CUT = "cut it into sentences"


def truncated() -> DecodingError:
    """Return the error for a file that ends before its content does."""
    return DecodingError("truncated, its header declares more data than the file holds; copy it again")


def damaged(reason: str) -> DecodingError:
    """Return the error for a file with damaged content."""
    return DecodingError(f"truncated or damaged ({reason}); copy it again")


def join(parts: list[DecodedAudio]) -> DecodedAudio:
    """Concatenate the recordings that were joined in one file.

    Raises DecodingError if their sample rates or numbers of channels differ.
    """
    if len({(part.rate, part.samples.shape[1]) for part in parts}) > 1:
        raise DecodingError("several recordings of different formats are joined in one file; split it")
    return (
        parts[0] if len(parts) == 1 else DecodedAudio(np.concatenate([part.samples for part in parts]), parts[0].rate)
    )


def scale_floats(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale samples beyond full scale into [-1, 1].

    Integers that were stored as floats are divided by the full scale of their type, other samples by their peak.
    Samples within [-1, 1], and recordings with NaN or infinity, are not changed.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if 1.0 < peak < np.inf:
        scales = [] if peak < _MIN_INTEGER_PEAK else [scale for scale in _INTEGER_SCALES if scale >= peak]
        samples = samples / (scales[0] if scales else peak)
    # Recordings with infinity were not scaled. The caller refuses them.
    with np.errstate(over="ignore"):
        return samples.astype(np.float32)
