"""Figures of log-mels and of alignments, drawn by matplotlib, and the ticks of their axes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tts_meta.errors import UsageError
from tts_meta.report.arrays import default_mel_config, to_array
from tts_meta.report.figures import DPI, Rgb, rasterize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from torch import Tensor

    from tts_meta.audio.mel import MelConfig

NOT_FINITE = (0, 160, 160)
"""Colour of NaN and infinite values, which the colour map does not contain."""
LOUDEST = 1.5
"""Log magnitude drawn brightest. The darkest is the floor of the features, so that figures can be compared."""
LEFT, RIGHT, TOP, BOTTOM = 44, 20, 28, 28
"""Margins of a mel in pixels."""

_LABELS_HEIGHT = 32
"""Pixels of the two lines of symbols over an alignment."""
_MAX_MEL_WIDTH = 400
"""Pixels: the widest mel whose labels are legible on a card of TensorBoard, which is about 340 pixels wide."""
_MAX_ALIGNMENT_WIDTH = 2400
_TICKS_HZ = (0, 500, 1000, 2000, 4000, 8000, 16000)


def draw_mel(mel: NDArray[np.floating] | Tensor, config: MelConfig | None = None, title: str = "") -> Rgb:
    """Draw a log-mel `(T, M)` over time in seconds and frequency in Hz; values that are not finite show in teal.

    The colours span the same range in every figure. Raises UsageError if `mel` is empty or does not have the bands of
    `config`.
    """
    config = config or default_mel_config()
    figure, _ = _mel_axes(_check_mel(mel, config), config, title, TOP, _MAX_MEL_WIDTH)
    return rasterize(figure)


def draw_alignment(
    mel: NDArray[np.floating] | Tensor,
    durations: Sequence[int] | NDArray[np.integer] | Tensor,
    symbols: Sequence[str],
    config: MelConfig | None = None,
    title: str = "",
) -> Rgb:
    """Draw token boundaries and symbols over a log-mel `(T, M)`; `durations` `(N,)` are in frames.

    Durations whose sum is not T are drawn as they are, so that the error is visible. Raises UsageError if the numbers
    of durations and symbols differ, `mel` is empty, or it does not have the bands of `config`.
    """
    lengths = to_array(durations).astype(np.int64)
    if lengths.shape != (len(symbols),):
        raise UsageError(f"an alignment needs one duration per symbol, got {lengths.shape} for {len(symbols)} symbols")
    config = config or default_mel_config()
    values = _check_mel(mel, config)
    figure, axes = _mel_axes(values, config, title, TOP + _LABELS_HEIGHT, _MAX_ALIGNMENT_WIDTH)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    bottom, top = axes.get_ylim()
    inside = [number for number in range(len(symbols)) if starts[number] < len(values)]
    axes.vlines(starts[inside], bottom, top, color="white", linewidth=72 / DPI, antialiaseds=False)
    for number in inside:
        middle = (starts[number] + min(ends[number], len(values))) / 2
        # Neighbours use two lines, so that the symbols of short tokens do not overlap.
        offset = (2 + 14 * (number % 2)) * 72 / DPI
        place = {"xytext": (0, offset), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes.annotate(symbols[number], (middle, top), fontsize=9, **place)
    return rasterize(figure)


def mel_png(mel: NDArray[np.floating] | Tensor, config: MelConfig | None = None) -> bytes:
    """Return a log-mel `(T, M)` without axes as a PNG file of T x M pixels with a palette."""
    from PIL import Image

    config = config or default_mel_config()
    values = _check_mel(mel, config)
    quietest = math.log(config.floor)
    level = np.clip((np.nan_to_num(values) - quietest) / (LOUDEST - quietest), 0.0, 1.0)
    indices = np.where(np.isfinite(values), level * 254.0, 255.0).round().astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(indices.T[::-1]))
    image.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def palette() -> NDArray[np.uint8]:
    """Return the colours of `mel_png`, `(256, 3)`: 255 from dark to bright, then the colour of values not finite."""
    colours = _colour_map()(np.linspace(0.0, 1.0, 255), bytes=True)[:, :3]
    return np.concatenate([colours, np.array([NOT_FINITE], dtype=np.uint8)])


def frequency_ticks(config: MelConfig) -> list[tuple[float, str]]:
    """Return (height above the bottom, as a fraction of the whole, label) of the ticks of the mel axis (Slaney)."""
    low, high = _hz_to_mel(config.f_min), _hz_to_mel(config.f_max)
    ticks = []
    for hertz in _TICKS_HZ:
        if config.f_min <= hertz <= config.f_max:
            label = f"{hertz / 1000:g}k" if hertz >= 1000 else f"{hertz}"
            ticks.append(((_hz_to_mel(hertz) - low) / (high - low), label))
    return ticks


def time_ticks(seconds: float, most: int = 8) -> list[tuple[float, str]]:
    """Return (position as a fraction of `seconds`, label) of round times, at most `most` of them."""
    from matplotlib.ticker import MaxNLocator

    times = MaxNLocator(nbins=most - 1, steps=[1, 2, 5, 10]).tick_values(0.0, seconds)
    return [(float(t) / seconds, f"{t:.6g}") for t in times if 0 <= t <= seconds * (1 + 1e-6)]


def _colour_map() -> Colormap:
    from matplotlib import colormaps

    return colormaps["magma"].with_extremes(bad="#{:02x}{:02x}{:02x}".format(*NOT_FINITE))


def _hz_to_mel(hertz: float) -> float:
    """Slaney's mel scale (1998): linear below 1,000 Hz, logarithmic above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _check_mel(mel: NDArray[np.floating] | Tensor, config: MelConfig) -> NDArray[np.float32]:
    values = to_array(mel).astype(np.float32)
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] != config.n_mels:
        raise UsageError(f"a mel to draw is (frames, {config.n_mels} bands), got {values.shape}")
    return values


def _mel_axes(mel: NDArray[np.float32], config: MelConfig, title: str, top: int, max_width: int) -> tuple[Figure, Axes]:
    """Return a figure with the mel, its axes and its title; x is in frames. A frame has a whole number of pixels."""
    from matplotlib.figure import Figure

    frames, bands = mel.shape
    zoom = next((zoom for zoom in (4, 3, 2) if frames * zoom <= min(1200, max_width)), 1)
    width = min(max(frames * zoom, 240), max_width)
    height = 240 if bands >= 40 else 6 * bands
    full_width, full_height = LEFT + width + RIGHT, top + height + BOTTOM
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI)
    box = (LEFT / full_width, BOTTOM / full_height, width / full_width, height / full_height)
    axes = figure.add_axes(box)
    finite = np.ma.masked_invalid(mel.T)
    axes.imshow(
        finite,
        _colour_map(),
        vmin=math.log(config.floor),
        vmax=LOUDEST,
        origin="lower",
        aspect="auto",
        extent=(0, frames, 0, bands),
        interpolation="nearest" if width >= frames else "auto",
    )
    ticks = time_ticks(frames * config.frame_seconds, most=max(2, width // 60))
    axes.set_xticks([place * frames for place, _ in ticks], [f"{label} s" for _, label in ticks], fontsize=8)
    ticks = frequency_ticks(config)
    axes.set_yticks([place * bands for place, _ in ticks], [label for _, label in ticks], fontsize=8)
    axes.spines[:].set_visible(False)
    figure.text(LEFT / full_width, 1 - 8 / full_height, title, fontsize=9, va="top")
    return figure, axes
