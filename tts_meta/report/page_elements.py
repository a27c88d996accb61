"""What stands on a listening page: clips in rows, tables and pictures, grouped in sections."""

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
    """One sound: either `samples` `(S,)` in [-1, 1] at `rate`, or the path of a `file` that a browser can play.

    `mel` `(T, M)` is drawn above the player; `scores` stand below it. Raises UsageError where there is not exactly one
    of `samples` and `file`, or `samples` are empty or not one-dimensional.
    """

    label: str
    samples: NDArray[np.floating] | Tensor | None = None
    rate: int = 22050
    file: Path | None = None
    mel: NDArray[np.floating] | Tensor | None = None
    caption: str = ""
    scores: Mapping[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.samples is None) == (self.file is None):
            raise UsageError(f"clip '{self.label}' needs either samples or a file")
        if self.samples is not None and (self.samples.ndim != 1 or len(self.samples) == 0):
            raise UsageError(f"clip '{self.label}' needs samples (S,), got {tuple(self.samples.shape)}")

    def waveform(self) -> NDArray[np.float32]:
        """The samples as a float32 array `(S,)` within [-1, 1]."""
        if self.samples is None:
            raise UsageError(f"clip '{self.label}' is a file and has no samples here")
        return np.clip(np.nan_to_num(to_array(self.samples).astype(np.float32)), -1.0, 1.0)


@dataclass(frozen=True)
class Row:
    """Clips to compare, side by side under one heading, usually the sentence that is spoken."""

    heading: str
    clips: tuple[Clip, ...]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Figures; columns whose cells are numbers are set flush right."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: tuple[int, ...]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Figure:
    """A picture `(H, W, 3)` with the words that stand for it where it cannot be seen."""

    picture: Rgb
    alt: str
    caption: str = ""


class Section:
    """A part of the page under its own heading; what is added stays in that order."""

    def __init__(self, heading: str, text: str = "") -> None:
        self.heading = heading
        self.text = text
        self.items: list[Row | Table | Figure] = []

    def row(self, heading: str, clips: Sequence[Clip], note: str = "") -> None:
        """Add clips side by side. Raises UsageError where there is none."""
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
        """Add a table; floats are shown with `digits` decimals, one number for all columns or one each.

        Raises UsageError where a row or `digits` has other than one entry a column.
        """
        decimals = (digits,) * len(header) if isinstance(digits, int) else tuple(digits)
        if any(len(entries) != len(header) for entries in (decimals, *rows)):
            raise UsageError(f"every row of table '{caption}' and its digits need {len(header)} entries, one a column")
        self.items.append(Table(tuple(header), tuple(tuple(row) for row in rows), decimals, caption))

    def picture(self, picture: Rgb, alt: str, caption: str = "") -> None:
        """Add a picture `(H, W, 3)`; `alt` says in words what it shows."""
        self.items.append(Figure(picture, alt, caption))
