from __future__ import annotations

import numpy as np
import pytest

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.pretrained import Base, load_base
from tts_meta.report.figures import Rgb
from tts_meta.report.module_figure import _threshold, draw_modules, layer_of
from tts_meta.report.module_report import draw_base_modules

ADAPTED = (0, 114, 178)
SIGMAS = {"speaker.mean": 0.05, "encoder.lstm.weight": 0.02, "encoder.lstm.bias": 0.08, "output.weight": 0.01}
SIZES = dict.fromkeys(SIGMAS, 1_000_000)


def pixels(picture: Rgb, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def test_only_the_modules_that_clone_adapts_are_coloured() -> None:
    counts = [
        pixels(draw_modules(SIGMAS, adapted, SIZES), ADAPTED)
        for adapted in ([], ["speaker.mean"], ["speaker.mean", "encoder.lstm.weight"])
    ]
    assert counts[0] == 0 and 0 < counts[1] < counts[2]


def test_the_figure_fits_a_readme() -> None:
    picture = draw_base_modules(load_base())
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert picture.shape[1] == 1800 and pixels(picture, ADAPTED) > 0


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("encoder.convs.0.conv.weight", ("encoder", "convs.0")),
        ("encoder.convs.0.conv.bias", ("encoder", "convs.0")),
        ("speaker.mean", ("speaker", "mean")),
        ("speaker_projection.bias", ("speaker", "projection")),
        ("output.weight", ("output", "output")),
    ],
)
def test_a_layer_is_named_within_its_sub_network(module: str, layer: tuple[str, str]) -> None:
    assert layer_of(module) == layer


def test_the_threshold_lies_between_adapted_and_shared_modules() -> None:
    threshold = _threshold(SIGMAS, ["speaker.mean", "encoder.lstm.bias"])
    assert threshold is not None and 0.02 < threshold < 0.05
    assert _threshold(SIGMAS, ["encoder.lstm.weight"]) is None  # another module has a larger σ and is not adapted
    assert _threshold(SIGMAS, list(SIGMAS)) is None and _threshold(SIGMAS, []) is None


@pytest.mark.parametrize("sigmas", [{}, {"a": 0.0}])
def test_a_figure_of_modules_needs_positive_sigmas(sigmas: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="at least one σ"):
        draw_modules(sigmas, [], {})


def test_a_base_without_a_prior_has_no_figure(base: Base) -> None:
    with pytest.raises(TtsMetaError, match="has no prior to draw"):
        draw_base_modules(base)
