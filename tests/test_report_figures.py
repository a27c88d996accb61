from __future__ import annotations

import io
import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tts_meta.audio.mel import MelConfig
from tts_meta.errors import UsageError
from tts_meta.report import alignment_picture, bar_picture, mel_picture, png_bytes, write_png
from tts_meta.report.colormap import LOUDEST, NOT_A_NUMBER, frequency_ticks, heat_indices, palette, time_ticks
from tts_meta.report.curves import places_apart
from tts_meta.report.figures import _BAR, _LEFT, _TOP, _font, heatmap_png
from tts_meta.text import HibariPhonemizer

CONFIG = MelConfig()
QUIETEST = math.log(CONFIG.floor)


def quiet_mel(frames: int = 100) -> np.ndarray:
    return np.full((frames, CONFIG.n_mels), QUIETEST, dtype=np.float32)


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB (IEC 61966-2-1)."""
    level = colours / 255.0
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def columns_of(picture: np.ndarray, colour: tuple[int, int, int], row: int) -> np.ndarray:
    return np.flatnonzero((picture[row] == colour).all(axis=-1))


def test_the_colour_map_grows_brighter_from_end_to_end() -> None:
    # L* rises nearly evenly, which is what makes a map perceptually uniform.
    lightness = 116 * np.cbrt(luminance(palette()[:255].astype(float))) - 16
    assert (np.diff(lightness[8:]) > 0).all()
    assert np.abs(np.diff(lightness[16:]) - np.diff(lightness[16:]).mean()).max() < 0.5


def test_nan_has_a_colour_that_no_value_has() -> None:
    mel = quiet_mel(4)
    mel[1, 3], mel[2, 5] = np.nan, np.inf
    colours = palette()[heat_indices(mel, CONFIG)]
    assert (palette()[:255] != NOT_A_NUMBER).any(axis=1).all()
    places = np.argwhere((colours == NOT_A_NUMBER).all(axis=-1)).tolist()
    assert places == [[CONFIG.n_mels - 1 - 5, 2], [CONFIG.n_mels - 1 - 3, 1]]


def test_one_value_has_one_colour_in_every_picture() -> None:
    quiet, loud = quiet_mel(4), np.full((4, CONFIG.n_mels), LOUDEST, dtype=np.float32)
    loud[0, 0] = quiet[0, 0] = -3.0
    assert heat_indices(quiet, CONFIG)[-1, 0] == heat_indices(loud, CONFIG)[-1, 0]


def test_frequency_ticks_stand_where_librosas_slaney_scale_has_them() -> None:
    expected = [librosa.hz_to_mel(hertz) / librosa.hz_to_mel(8000) for hertz in (0, 500, 1000, 2000, 4000, 8000)]
    ticks = frequency_ticks(CONFIG)
    assert [label for _, label in ticks] == ["0", "500", "1k", "2k", "4k", "8k"]
    assert [part for part, _ in ticks] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seconds", [0.05, 0.4, 1.0, 3.2, 11.0, 95.0])
def test_time_ticks_are_few_round_and_inside(seconds: float) -> None:
    ticks = time_ticks(seconds, most=6)
    assert 2 <= len(ticks) <= 6
    assert all(0 <= part <= 1 and float(label) == pytest.approx(part * seconds) for part, label in ticks)


def test_a_loud_frame_and_band_show_at_their_time_and_frequency() -> None:
    mel = quiet_mel(100)
    mel[25, 60] = LOUDEST
    picture = mel_picture(mel)
    bright = np.argwhere((picture == palette()[254]).all(axis=-1))
    rows, columns = bright[:, 0], bright[:, 1]
    assert (rows.min() - _TOP, rows.max() - _TOP) == (19 * 3, 20 * 3 - 1)
    assert (columns.min() - _LEFT, columns.max() - _LEFT) == (25 * 4, 26 * 4 - 1)


def test_numbers_of_steps_whose_labels_would_run_into_each_other_go_unlabelled() -> None:
    assert places_apart([1000, 0, 150, 10, 100, 100]) == [0, 10, 100, 1000]
    assert places_apart([1, 2, 4, 5]) == [1, 2, 4]
    assert places_apart([]) == []


@pytest.mark.parametrize("frames", [1, 50, 1500, 6000])
def test_pictures_of_any_length_have_a_bounded_size(frames: int) -> None:
    picture = mel_picture(quiet_mel(frames))
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert 240 < picture.shape[1] < 2500


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_tensor_of_any_precision_with_gradients_draws_as_its_array(kind: torch.dtype) -> None:
    mel = torch.randn(20, CONFIG.n_mels, dtype=kind, requires_grad=True)
    np.testing.assert_array_equal(mel_picture(mel), mel_picture(mel.detach().float().numpy()))


def test_token_boundaries_stand_at_the_summed_durations() -> None:
    picture = alignment_picture(quiet_mel(100), torch.tensor([10, 30, 60]), ["h", "ə", "l"])
    middle = picture.shape[0] // 2
    inside = [x for x in columns_of(picture, (255, 255, 255), middle) if _LEFT <= x < _LEFT + 400]
    assert [x - _LEFT for x in inside] == [0, 40, 160]


def test_durations_beyond_the_mel_are_cut_at_its_end() -> None:
    picture = alignment_picture(quiet_mel(100), [90, 30, 60], ["a", "b", "c"])
    inside = [x - _LEFT for x in columns_of(picture, (255, 255, 255), picture.shape[0] // 2) if x < _LEFT + 400]
    assert [x for x in inside if x >= 0] == [0, 360]


def glyph(character: str) -> bytes:
    image = Image.new("L", (32, 32))
    ImageDraw.Draw(image).text((8, 8), character, fill=255, font=_font())
    return image.tobytes()


def test_every_symbol_of_the_text_front_end_has_a_glyph() -> None:
    characters = set("".join(HibariPhonemizer().alphabet())) | set("σ²φθˈˌ.,;:!?—…“”'")
    blanks = {glyph("\uffff"), glyph(" ")}
    assert [character for character in sorted(characters) if glyph(character) in blanks] == []


def bar_lengths(picture: np.ndarray) -> list[int]:
    rows = [int((line == _BAR).all(axis=-1).sum()) for line in picture]
    return [n for place, n in enumerate(rows) if n and (place == 0 or rows[place - 1] == 0)]


def test_bars_are_as_long_as_their_values() -> None:
    lengths = bar_lengths(bar_picture({"a": 0.25, "b": 0.5, "c": 1.0}))
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=2) and lengths[2] == pytest.approx(4 * lengths[0], abs=4)


def test_equal_ratios_are_equal_steps_on_a_logarithmic_scale() -> None:
    lengths = bar_lengths(bar_picture({"a": 1e-4, "b": 1e-3, "c": 1e-2}, logarithmic=True))
    assert lengths[0] > 10 and lengths[2] - lengths[1] == pytest.approx(lengths[1] - lengths[0], abs=2)


def test_a_value_that_is_not_a_number_has_a_line_but_no_bar() -> None:
    both = bar_picture({"a": math.nan, "b": 1.0})
    assert len(bar_lengths(both)) == 1 and both.shape[0] > bar_picture({"b": 1.0}).shape[0]


def test_bars_of_zeros_and_of_negative_values_are_drawn() -> None:
    assert bar_picture({"a": 0.0}).ndim == 3
    assert len(bar_lengths(bar_picture({"a": -1.0, "b": 1.0}))) == 2
    assert bar_picture({"a": math.nan}, logarithmic=True).ndim == 3


def test_png_bytes_are_the_picture(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(picture)))), picture)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)


def test_a_heatmap_has_one_pixel_a_frame_and_band() -> None:
    mel = np.random.default_rng(0).uniform(QUIETEST, LOUDEST, (30, CONFIG.n_mels)).astype(np.float32)
    image = Image.open(io.BytesIO(heatmap_png(mel)))
    assert image.size == (30, CONFIG.n_mels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette()[heat_indices(mel, CONFIG)])


@pytest.mark.parametrize("shape", [(0, 80), (80,), (80, 100), (1, 20, 80)])
def test_what_is_not_a_mel_is_refused_with_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\(frames, 80 bands\), got"):
        mel_picture(np.zeros(shape, dtype=np.float32))


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(UsageError, match="one duration a symbol"):
        alignment_picture(quiet_mel(10), [5, 5], ["a"])
    with pytest.raises(UsageError, match="at least one value"):
        bar_picture({})
    with pytest.raises(UsageError, match="positive values"):
        bar_picture({"a": 0.0}, logarithmic=True)
