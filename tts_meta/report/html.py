"""The words and players of a listening page as HTML; `page.css` and `page.js` stand in it whole."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from tts_meta.report.colormap import frequency_ticks, time_ticks
from tts_meta.report.figures import heatmap_png, png_bytes
from tts_meta.report.page_elements import Cell, Clip, Figure, Row, Section, Table

if TYPE_CHECKING:
    from tts_meta.audio.mel import MelConfig


@dataclass(frozen=True)
class Sound:
    """Where the browser finds a clip, and how long it is."""

    source: str
    seconds: float


def render(
    title: str, intro: str, sections: Sequence[Section], sounds: Mapping[Clip, Sound], mel_config: MelConfig
) -> str:
    """Return the whole page; `sounds` holds an entry for every clip of every section."""
    links = "".join(f'<a href="#part-{k}">{escape(s.heading)}</a>' for k, s in enumerate(sections, start=1))
    contents = f'<nav aria-label="Parts of this page">{links}</nav>' if len(sections) > 1 else ""
    body = "\n".join(_section(k, section, sounds, mel_config) for k, section in enumerate(sections, start=1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="tts_meta">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{_paragraphs(intro)}
{contents}
</header>
<main>
{body}
</main>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


def _section(place: int, section: Section, sounds: Mapping[Clip, Sound], config: MelConfig) -> str:
    columns = max((len(item.clips) for item in section.items if isinstance(item, Row)), default=1)
    parts: list[str] = []
    for item in section.items:
        if isinstance(item, Row):
            parts.append(_row(item, columns, sounds, config))
        elif isinstance(item, Table):
            parts.append(_table(item))
        else:
            parts.append(_figure(item))
    return (
        f'<section id="part-{place}" aria-labelledby="title-{place}">\n'
        f'<h2 id="title-{place}">{escape(section.heading)}</h2>\n{_paragraphs(section.text)}\n'
        + "\n".join(parts)
        + "\n</section>"
    )


def _row(row: Row, columns: int, sounds: Mapping[Clip, Sound], config: MelConfig) -> str:
    # One time scale for the row: a slower reading is seen to be longer.
    longest = max(max(sounds[clip].seconds, _mel_seconds(clip, config)) for clip in row.clips)
    clips = "\n".join(_clip(clip, row.heading, sounds[clip], longest, config) for clip in row.clips)
    note = f'<p class="note">{escape(row.note)}</p>' if row.note else ""
    return (
        f'<article class="row">\n<h3>{escape(row.heading)}</h3>{note}\n'
        f'<div class="clips" style="--columns:{columns}">\n{clips}\n</div>\n</article>'
    )


def _clip(clip: Clip, heading: str, sound: Sound, longest: float, config: MelConfig) -> str:
    name, source = escape(f"{clip.label}: {heading}"), escape(sound.source)
    picture = _mel(clip, longest, config) if clip.mel is not None else ""
    scores = "".join(f"<div><dt>{escape(k)}</dt><dd>{_cell(v, 3)}</dd></div>" for k, v in clip.scores.items())
    scores = f"<dl>{scores}</dl>" if scores else ""
    caption = f"<p>{escape(clip.caption)}</p>" if clip.caption else ""
    return (
        f'<figure class="clip">\n<figcaption>{escape(clip.label)}</figcaption>\n{picture}'
        f'<audio controls preload="metadata" src="{source}" aria-label="{name}">'
        f'<a href="{source}">Download {name}</a></audio>\n{scores}{caption}</figure>'
    )


def _mel(clip: Clip, longest: float, config: MelConfig) -> str:
    assert clip.mel is not None
    seconds = _mel_seconds(clip, config)
    image = _data_uri(heatmap_png(clip.mel, config))
    frequencies = _ticks("bottom", ((part, label) for part, label in frequency_ticks(config) if label != "500"))
    times = time_ticks(longest, most=6)
    times[-1] = (times[-1][0], f"{times[-1][1]} s")
    alt = escape(f"Mel spectrogram of {clip.label}, {seconds:.1f} s, {config.f_min:g} to {config.f_max:g} Hz")
    return (
        f'<div class="mel" role="img" aria-label="{alt}">'
        f'<div class="frequency" aria-hidden="true">{frequencies}</div>'
        f'<div class="plot">'
        f'<div class="heat" data-seconds="{seconds:.4f}" style="width:{100 * seconds / longest:.2f}%">'
        f'<img src="{image}" alt=""><i></i></div></div>'
        f'<div class="time" aria-hidden="true">{_ticks("left", times)}</div></div>\n'
    )


def _ticks(side: str, ticks: Iterable[tuple[float, str]]) -> str:
    return "".join(f'<span style="{side}:{100 * part:.2f}%">{label}</span>' for part, label in ticks)


def _table(table: Table) -> str:
    numeric = [
        any(isinstance(row[k], int | float) for row in table.rows)
        and all(row[k] is None or isinstance(row[k], int | float) for row in table.rows)
        for k in range(len(table.header))
    ]
    side = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(f'<th scope="col"{s}>{escape(name)}</th>' for name, s in zip(table.header, side, strict=True))
    lines = []
    for row in table.rows:
        kinds = ['th scope="row"', *["td"] * (len(row) - 1)]
        cells = [
            f"<{kind}{s}>{_cell(cell, digits)}</{kind[:2]}>"
            for kind, s, cell, digits in zip(kinds, side, row, table.digits, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    label = escape(table.caption or "Table")
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{label}"><table>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _figure(figure: Figure) -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    image = _data_uri(png_bytes(figure.picture))
    return f'<figure class="picture"><img src="{image}" alt="{escape(figure.alt)}" loading="lazy">{caption}</figure>'


def _cell(cell: Cell, digits: int) -> str:
    if isinstance(cell, float):
        return f"{cell:.{digits}f}" if math.isfinite(cell) else "&ndash;"
    return "&ndash;" if cell is None else escape(str(cell))


def _paragraphs(text: str) -> str:
    return "\n".join(f"<p>{escape(' '.join(part.split()))}</p>" for part in text.split("\n\n") if part.strip())


def _mel_seconds(clip: Clip, config: MelConfig) -> float:
    return 0.0 if clip.mel is None else len(clip.mel) * config.frame_seconds


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _asset(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text("utf-8")
