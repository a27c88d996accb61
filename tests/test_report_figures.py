from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tts_meta.errors import UsageError
from tts_meta.evaluate.confidence import Interval
from tts_meta.report import draw_bars, png_bytes, write_png
from tts_meta.report.figures import BAR_COLOUR, Panel, Rgb, draw_curves, spaced_ticks


def bar_lengths(image: Rgb) -> list[int]:
    """Pixels of the longest row of each bar, top to bottom."""
    rows = [int((row == BAR_COLOUR).all(axis=-1).sum()) for row in image]
    starts = [n for n, pixels in enumerate(rows) if pixels and (n == 0 or rows[n - 1] == 0)]
    return [max(rows[start : start + 8]) for start in starts]


def test_the_length_of_a_bar_is_its_value() -> None:
    lengths = bar_lengths(draw_bars({"a": 0.25, "b": 0.5, "c": 1.0}))
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=3) and lengths[2] == pytest.approx(4 * lengths[0], abs=6)


def test_equal_ratios_are_equal_steps_on_a_logarithmic_scale() -> None:
    lengths = bar_lengths(draw_bars({"a": 1e-4, "b": 1e-3, "c": 1e-2}, logarithmic=True))
    assert lengths[0] > 10 and lengths[2] - lengths[1] == pytest.approx(lengths[1] - lengths[0], abs=2)


def test_a_value_that_is_not_finite_has_a_line_but_no_bar() -> None:
    both = draw_bars({"a": math.nan, "b": 1.0})
    assert len(bar_lengths(both)) == 1 and both.shape[0] > draw_bars({"b": 1.0}).shape[0]


def test_zeros_and_negative_values_can_be_drawn() -> None:
    assert draw_bars({"a": 0.0}).ndim == 3
    assert len(bar_lengths(draw_bars({"a": -1.0, "b": 1.0}))) == 2
    assert draw_bars({"a": math.nan}, logarithmic=True).ndim == 3


def test_a_bar_chart_without_values_or_with_a_logarithm_of_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one value"):
        draw_bars({})
    with pytest.raises(UsageError, match="positive values"):
        draw_bars({"a": 0.0}, logarithmic=True)


def test_png_bytes_hold_the_image(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(image)))), image)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)


def test_labels_of_steps_that_would_overlap_are_omitted() -> None:
    assert spaced_ticks([1000, 0, 150, 10, 100, 100]) == [0, 10, 100, 1000]
    assert spaced_ticks([1, 2, 4, 5]) == [1, 2, 4]
    assert spaced_ticks([]) == []


def test_panels_are_drawn_in_rows_of_so_many_columns() -> None:
    curve = [(x, Interval(x, x - 1, x + 1, 3)) for x in (0.0, 10.0, 100.0)]
    panel = Panel("title", "steps", "score", {"a": curve}, {"real": 50.0})
    one, three = draw_curves([panel], 2), draw_curves([panel] * 3, 2)
    assert one.shape[1] == three.shape[1] and one.shape[0] < three.shape[0]
