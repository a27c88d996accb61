"""The HTML of a listening page, rendered by jinja2 from `page.html.j2`."""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tts_meta.report.figures import png_bytes
from tts_meta.report.mel_figures import frequency_ticks, mel_png, time_ticks
from tts_meta.report.page_elements import Cell, Clip, Row, Section, Table

if TYPE_CHECKING:
    from jinja2 import Environment

    from tts_meta.audio.mel import MelConfig


@dataclass(frozen=True)
class AudioSource:
    """The URL of a clip and its length in seconds."""

    url: str
    seconds: float


def render(
    title: str, intro: str, sections: Sequence[Section], sources: Mapping[Clip, AudioSource], mel_config: MelConfig
) -> str:
    """Return the whole page; `sources` has an entry for every clip of every section."""

    def mel_seconds(clip: Clip) -> float:
        return 0.0 if clip.mel is None else len(clip.mel) * mel_config.frame_seconds

    def longest_seconds(row: Row) -> float:
        return max(max(sources[clip].seconds, mel_seconds(clip)) for clip in row.clips)

    environment = _environment()
    environment.filters["mel_uri"] = lambda mel: _data_uri(mel_png(mel, mel_config))
    return environment.get_template("page.html.j2").render(
        title=title,
        intro=intro,
        sections=sections,
        sources=sources,
        mel_config=mel_config,
        mel_seconds=mel_seconds,
        longest_seconds=longest_seconds,
        numeric_columns=_numeric_columns,
        most_clips=_most_clips,
        # The labels of the page's mels are small: 500 Hz would overlap its neighbours.
        frequency_ticks=[(place, label) for place, label in frequency_ticks(mel_config) if label != "500"],
        time_ticks=functools.partial(time_ticks, most=6),
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("tts_meta", "report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["png_uri"] = lambda pixels: _data_uri(png_bytes(pixels))
    environment.filters["number"] = _number
    environment.tests["row"] = lambda item: isinstance(item, Row)
    environment.tests["table"] = lambda item: isinstance(item, Table)
    return environment


def _number(cell: Cell, digits: int) -> str:
    """The text of a cell; a dash for no value and for values that are not finite."""
    if isinstance(cell, float):
        return f"{cell:.{digits}f}" if math.isfinite(cell) else "–"
    return "–" if cell is None else str(cell)


def _numeric_columns(table: Table) -> list[bool]:
    """Which columns hold numbers, and nothing else but missing values."""
    columns = [[row[number] for row in table.rows] for number in range(len(table.header))]
    return [
        any(isinstance(cell, int | float) for cell in column)
        and all(cell is None or isinstance(cell, int | float) for cell in column)
        for column in columns
    ]


def _most_clips(section: Section) -> int:
    """The number of clips of the longest row."""
    return max((len(item.clips) for item in section.items if isinstance(item, Row)), default=1)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
