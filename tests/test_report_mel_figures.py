from __future__ import annotations

import io
import math

import librosa
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image

from tts_meta.audio.mel import MelConfig
from tts_meta.errors import UsageError
from tts_meta.report import draw_alignment, draw_mel
from tts_meta.report.figures import Rgb
from tts_meta.report.mel_figures import LEFT, LOUDEST, NOT_FINITE, TOP, frequency_ticks, mel_png, palette, time_ticks
from tts_meta.text import HibariPhonemizer

CONFIG = MelConfig()
QUIETEST = math.log(CONFIG.floor)


def quiet_mel(frames: int = 100) -> np.ndarray:
    return np.full((frames, CONFIG.n_mels), QUIETEST, dtype=np.float32)


def mel_pixels(mel: np.ndarray) -> Rgb:
    return np.asarray(Image.open(io.BytesIO(mel_png(mel))).convert("RGB"))


def columns_of(image: Rgb, colour: tuple[int, int, int], row: int) -> np.ndarray:
    return np.flatnonzero((image[row] == colour).all(axis=-1))


def test_a_png_of_a_mel_has_one_pixel_per_frame_and_band() -> None:
    mel = quiet_mel(30)
    mel[7, 60] = LOUDEST
    pixels = mel_pixels(mel)
    assert pixels.shape == (CONFIG.n_mels, 30, 3)
    assert np.argwhere((pixels == palette()[254]).all(axis=-1)).tolist() == [[CONFIG.n_mels - 1 - 60, 7]]
    assert (pixels == palette()[0]).all(axis=-1).sum() == 30 * CONFIG.n_mels - 1


def test_values_that_are_not_finite_have_a_colour_of_their_own() -> None:
    mel = quiet_mel(4)
    mel[1, 3], mel[2, 5] = np.nan, np.inf
    assert (palette()[:255] != NOT_FINITE).any(axis=1).all()
    places = np.argwhere((mel_pixels(mel) == NOT_FINITE).all(axis=-1)).tolist()
    assert places == [[CONFIG.n_mels - 1 - 5, 2], [CONFIG.n_mels - 1 - 3, 1]]
    assert (draw_mel(mel) == NOT_FINITE).all(axis=-1).any()
    assert not (draw_mel(quiet_mel(4)) == NOT_FINITE).all(axis=-1).any()


def test_a_value_has_the_same_colour_in_every_figure() -> None:
    quiet, loud = quiet_mel(4), np.full((4, CONFIG.n_mels), LOUDEST, dtype=np.float32)
    loud[0, 0] = quiet[0, 0] = -3.0
    np.testing.assert_array_equal(mel_pixels(quiet)[-1, 0], mel_pixels(loud)[-1, 0])


def test_frequency_ticks_agree_with_the_slaney_scale_of_librosa() -> None:
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
    bright = np.argwhere((draw_mel(mel) == palette()[254]).all(axis=-1))
    rows, columns = bright[:, 0], bright[:, 1]
    assert (rows.min() - TOP, rows.max() - TOP) == (19 * 3, 20 * 3 - 1)
    assert (columns.min() - LEFT, columns.max() - LEFT) == (25 * 4, 26 * 4 - 1)


@pytest.mark.parametrize("frames", [1, 50, 1500, 6000])
def test_figures_of_any_length_have_a_bounded_size(frames: int) -> None:
    image = draw_mel(quiet_mel(frames))
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert 240 < image.shape[1] < 2500


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_tensor_of_any_precision_with_gradients_draws_as_its_array(kind: torch.dtype) -> None:
    mel = torch.randn(20, CONFIG.n_mels, dtype=kind, requires_grad=True)
    np.testing.assert_array_equal(draw_mel(mel), draw_mel(mel.detach().float().numpy()))


def test_token_boundaries_lie_at_the_sums_of_durations() -> None:
    image = draw_alignment(quiet_mel(100), torch.tensor([10, 30, 60]), ["h", "ə", "l"])
    middle = image.shape[0] // 2
    inside = [x for x in columns_of(image, (255, 255, 255), middle) if LEFT <= x < LEFT + 400]
    assert [x - LEFT for x in inside] == pytest.approx([0, 40, 160], abs=1)


def test_durations_beyond_the_mel_are_cut_at_its_end() -> None:
    image = draw_alignment(quiet_mel(100), [90, 30, 60], ["a", "b", "c"])
    inside = [x - LEFT for x in columns_of(image, (255, 255, 255), image.shape[0] // 2) if x < LEFT + 400]
    assert [x for x in inside if x >= 0] == pytest.approx([0, 360], abs=1)


def test_the_font_of_figures_has_every_symbol_of_the_text_front_end() -> None:
    characters = set("".join(HibariPhonemizer().alphabet())) | set("σ²φθˈˌ.,;:!?—…“”'")
    font = FT2Font(font_manager.findfont("DejaVu Sans"))
    assert [character for character in sorted(characters) if ord(character) not in font.get_charmap()] == []


@pytest.mark.parametrize("shape", [(0, 80), (80,), (80, 100), (1, 20, 80)])
def test_an_array_that_is_not_a_mel_is_refused_with_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\(frames, 80 bands\), got"):
        draw_mel(np.zeros(shape, dtype=np.float32))


def test_an_alignment_needs_one_duration_per_symbol() -> None:
    with pytest.raises(UsageError, match="one duration per symbol"):
        draw_alignment(quiet_mel(10), [5, 5], ["a"])
