"""The contents of a listening page: rows of clips, tables and images, grouped in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tts_meta.errors import UsageError
from tts_meta.report.arrays import to_array

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tts_meta.report.figures import Rgb

Cell = str | float | int | None


@dataclass(frozen=True, eq=False)
class Clip:
    """One audio clip: either `samples` `(S,)` in [-1, 1] at `rate` Hz, or the path of a `file` that a browser can play.

    The page shows `mel` `(T, M)` above the player and `scores` below it. seconds: duration of a `file` that is referred
    to without being read; it may be missing, or a part of a recording such as `long.flac#t=1,2`. Raises UsageError if
    both or neither of `samples` and `file` are given, or `samples` are empty or not one-dimensional.
    """

    label: str
    samples: NDArray[np.floating] | Tensor | None = None
    rate: int = 22050
    file: Path | None = None
    mel: NDArray[np.floating] | Tensor | None = None
    caption: str = ""
    scores: Mapping[str, Cell] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.samples is None) == (self.file is None):
            raise UsageError(f"clip '{self.label}' needs either samples or a file")
        if self.samples is not None and (self.samples.ndim != 1 or len(self.samples) == 0):
            raise UsageError(f"clip '{self.label}' needs samples (S,), got {tuple(self.samples.shape)}")

    def waveform(self) -> NDArray[np.float32]:
        """The samples as a float32 array `(S,)` within [-1, 1]. Raises UsageError for a clip that is a file."""
        if self.samples is None:
            raise UsageError(f"clip '{self.label}' is a file and has no samples")
        return np.clip(np.nan_to_num(to_array(self.samples).astype(np.float32)), -1.0, 1.0)


@dataclass(frozen=True)
class Row:
    """Clips to compare, side by side under one heading, usually the spoken sentence."""

    heading: str
    clips: tuple[Clip, ...]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; columns of numbers are aligned on the right. `digits` are the decimals of the floats of each column."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: tuple[int, ...]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Image:
    """An image `(H, W, 3)` and the text that describes it to readers who cannot see it."""

    pixels: Rgb
    alt: str
    caption: str = ""


class Section:
    """A part of the page under its own heading. The page shows rows, tables and images in the order of their calls."""

    def __init__(self, heading: str, text: str = "") -> None:
        self.heading = heading
        self.text = text
        self.items: list[Row | Table | Image] = []

    def row(self, heading: str, clips: Sequence[Clip], note: str = "") -> None:
        """Add clips side by side. Raises UsageError if there are none."""
        if not clips:
            raise UsageError(f"row '{heading}' needs at least one clip")
        self.items.append(Row(heading, tuple(clips), note))

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        caption: str = "",
        digits: int | Sequence[int] = 3,
    ) -> None:
        """Add a table; `digits` are the decimals of floats, one number for all columns or one per column.

        Raises UsageError if a row or `digits` does not have one entry per column.
        """
        decimals = (digits,) * len(header) if isinstance(digits, int) else tuple(digits)
        if any(len(entries) != len(header) for entries in (decimals, *rows)):
            raise UsageError(f"table '{caption}': every row, and digits, need {len(header)} entries, one per column")
        self.items.append(Table(tuple(header), tuple(tuple(row) for row in rows), decimals, caption))

    def image(self, pixels: Rgb, alt: str, caption: str = "") -> None:
        """Add an image `(H, W, 3)`; `alt` describes what it shows."""
        self.items.append(Image(pixels, alt, caption))
