"""Pictures as RGB arrays: a mel, an alignment over a mel, bars for values per module."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tts_meta.errors import UsageError
from tts_meta.files import atomic_file
from tts_meta.report.arrays import default_mel_config, to_array
from tts_meta.report.colormap import frequency_ticks, heat_indices, palette, time_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image, ImageFont
    from torch import Tensor

    from tts_meta.audio.mel import MelConfig

Rgb = NDArray[np.uint8]
"""A picture `(H, W, 3)`, one byte a channel."""

_INK, _FAINT, _PAPER, _BAR, _MARK = (45, 48, 56), (214, 217, 223), (255, 255, 255), (150, 45, 128), (255, 255, 255)
_SIZE = 12
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 28, 36
_CARD = 400
"""Widest mel, in pixels, whose labels can still be read on a card of TensorBoard, which is some 340 pixels wide."""


def mel_picture(mel: NDArray[np.floating] | Tensor, config: MelConfig | None = None, title: str = "") -> Rgb:
    """Draw a log-mel `(T, M)` over time in seconds and frequency in Hz; values that are not numbers show in teal.

    The colours span the same range in every picture. Raises UsageError where `mel` is empty or has not the
    bands of `config`.
    """
    config = config or default_mel_config()
    canvas, _ = _framed_mel(_as_mel(mel, config), config, title, _TOP, _CARD)
    return np.asarray(canvas)


def alignment_picture(
    mel: NDArray[np.floating] | Tensor,
    durations: Sequence[int] | NDArray[np.integer] | Tensor,
    symbols: Sequence[str],
    config: MelConfig | None = None,
    title: str = "",
) -> Rgb:
    """Draw token boundaries and symbols over a log-mel `(T, M)`; `durations` `(N,)` are in frames.

    Durations that do not add up to T are drawn as they are, for the fault to be seen. Raises UsageError where there
    are not as many durations as symbols, or `mel` is empty or has not the bands of `config`.
    """
    from PIL import ImageDraw

    lengths = to_array(durations).astype(np.int64)
    if lengths.shape != (len(symbols),):
        raise UsageError(f"an alignment needs one duration a symbol, got {lengths.shape} for {len(symbols)} symbols")
    config = config or default_mel_config()
    values = _as_mel(mel, config)
    canvas, (left, top, width, height) = _framed_mel(values, config, title, _TOP + 2 * _SIZE + 8, 2400)
    draw, font = ImageDraw.Draw(canvas), _font()
    end = 0
    for place, (symbol, length) in enumerate(zip(symbols, lengths.tolist(), strict=True)):
        start, end = end, end + length
        if start >= len(values):
            break
        x = left + width * start / len(values)
        middle = left + width * (start + min(end, len(values))) / 2 / len(values)
        # Neighbours stand on two lines, so that short tokens do not write over each other.
        line = top - _SIZE - 5 - (place % 2) * (_SIZE + 2)
        draw.text((middle, line), symbol, fill=_INK, font=font, anchor="ma")
        draw.line([(x, top - 4), (x, top + height - 1)], fill=_MARK, width=1)
        draw.line([(x, top - 4), (x, top - 1)], fill=_INK, width=1)
    return np.asarray(canvas)


def bar_picture(values: Mapping[str, float], title: str = "", logarithmic: bool = False) -> Rgb:
    """Draw one horizontal bar a name, top to bottom in the order given; a value that is not a number has no bar.

    Raises UsageError where there are no values or, on a logarithmic scale, one that is not positive.
    """
    from PIL import Image, ImageDraw

    if not values:
        raise UsageError("a bar picture needs at least one value")
    numbers = np.array([float(value) for value in values.values()])
    if logarithmic and (numbers <= 0).any():
        raise UsageError("a logarithmic bar picture needs positive values; draw it with logarithmic=False")
    places, zero, ticks = _bar_scale(numbers, logarithmic)
    font, row = _font(), _SIZE + 8
    left = 16 + math.ceil(max(font.getlength(name) for name in values))
    width, right = 420, 76
    height = row * len(values)
    canvas = Image.new("RGB", (left + width + right, _TOP + height + _BOTTOM), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((left, 8), title, fill=_INK, font=font)
    for part, label in ticks:
        x = left + part * width
        draw.line([(x, _TOP), (x, _TOP + height)], fill=_FAINT)
        draw.text((x, _TOP + height + 6), label, fill=_INK, font=font, anchor="ma")
    for line, (name, number, place) in enumerate(zip(values, numbers.tolist(), places.tolist(), strict=True)):
        middle = _TOP + row * (line + 0.5)
        draw.text((left - 8, middle), name, fill=_INK, font=font, anchor="rm")
        if math.isfinite(number):
            low, high = sorted((left + zero * width, left + place * width))
            draw.rectangle([(low, middle - 6), (high, middle + 5)], fill=_BAR)
        draw.text((left + width + 8, middle), f"{number:.3g}", fill=_INK, font=font, anchor="lm")
    draw.line([(left + zero * width, _TOP), (left + zero * width, _TOP + height)], fill=_INK)
    return np.asarray(canvas)


def rendered(figure: Figure) -> Rgb:
    """Draw a matplotlib figure that belongs to no window and return it as a picture `(H, W, 3)`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png_bytes(picture: Rgb) -> bytes:
    """Return a picture `(H, W, 3)` as a PNG file's content."""
    from PIL import Image

    return _encode(Image.fromarray(np.ascontiguousarray(picture)))


def heatmap_png(mel: NDArray[np.floating] | Tensor, config: MelConfig | None = None) -> bytes:
    """Return a log-mel `(T, M)` alone as a PNG of T x M pixels, for a page that draws the axes itself."""
    from PIL import Image

    config = config or default_mel_config()
    image = Image.fromarray(heat_indices(_as_mel(mel, config), config))
    image.putpalette(palette().tobytes())
    return _encode(image)


def write_png(path: str | Path, picture: Rgb) -> None:
    """Write a picture `(H, W, 3)` as PNG, whole or not at all. Raises TtsMetaError where it cannot be written."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(png_bytes(picture))


def _framed_mel(
    mel: NDArray[np.float32], config: MelConfig, title: str, top: int, widest: int
) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return the canvas with mel, axes and title, and the mel's own box (left, top, width, height) on it."""
    from PIL import Image, ImageDraw

    frames, bands = mel.shape
    zoom = next((zoom for zoom in (4, 3, 2) if frames * zoom <= min(1200, widest)), 1)
    width = min(max(frames * zoom, 240), widest)
    height = 240 if bands >= 40 else 6 * bands
    heat = Image.fromarray(palette()[heat_indices(mel, config)]).resize((width, height), Image.Resampling.BOX)
    canvas = Image.new("RGB", (_LEFT + width + _RIGHT, top + height + _BOTTOM), _PAPER)
    canvas.paste(heat, (_LEFT, top))
    draw, font = ImageDraw.Draw(canvas), _font()
    draw.text((_LEFT, 8), title, fill=_INK, font=font)
    for part, label in frequency_ticks(config):
        y = top + (1 - part) * (height - 1)
        draw.line([(_LEFT - 5, y), (_LEFT - 1, y)], fill=_INK)
        draw.text((_LEFT - 8, y), label, fill=_INK, font=font, anchor="rm")
    ticks = time_ticks(frames * config.frame_seconds, most=max(2, width // 70))
    for place, (part, label) in enumerate(ticks):
        x = _LEFT + part * (width - 1)
        draw.line([(x, top + height), (x, top + height + 4)], fill=_INK)
        draw.text((x, top + height + 7), label + (" s" if place == len(ticks) - 1 else ""), _INK, font, anchor="ma")
    return canvas, (_LEFT, top, width, height)


def _bar_scale(
    numbers: NDArray[np.float64], logarithmic: bool
) -> tuple[NDArray[np.float64], float, list[tuple[float, str]]]:
    """Return where each number ends on a scale from 0 to 1, where the bars start, and ticks (place, label)."""
    finite = numbers[np.isfinite(numbers)]
    if logarithmic:
        smallest, largest = (finite.min(), finite.max()) if finite.size else (1.0, 1.0)
        # The scale starts below the smallest value, which would have no bar otherwise.
        low, high = math.ceil(np.log10(smallest)) - 1, math.ceil(np.log10(largest))
        every = math.ceil((high - low) / 8)
        ticks = [((power - low) / (high - low), f"1e{power}") for power in range(low, high + 1, every)]
        return (np.log10(numbers) - low) / (high - low), 0.0, ticks
    low, high = min(0.0, *finite), max(0.0, *finite)
    span = (high - low) or 1.0
    step = _round_step(span / 5)
    first, last = math.ceil(low / step - 1e-9), math.floor((low + span) / step + 1e-9)
    ticks = [((k * step - low) / span, f"{k * step:.6g}") for k in range(first, last + 1)]
    return (numbers - low) / span, -low / span, ticks


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _as_mel(mel: NDArray[np.floating] | Tensor, config: MelConfig) -> NDArray[np.float32]:
    values = to_array(mel).astype(np.float32)
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] != config.n_mels:
        raise UsageError(f"a mel to draw is (frames, {config.n_mels} bands), got {values.shape}")
    return values


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """The shipped labels font: Pillow's own has no phonetic symbols."""
    from PIL import ImageFont

    return ImageFont.truetype(io.BytesIO(files(__package__ or "").joinpath("labels.ttf").read_bytes()), _SIZE)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
