"""Tests of damaged and hostile voice files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cases import case_folder
from commands import Result
from faults import error_line
from helpers import tiny_source_filter
from safetensors.torch import load_file, save_file

from tts_meta.adapt import Voice
from tts_meta.models.low_rank import expand_factors
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.synth import speak_text

REFUSED = {
    "deep.voice.safetensors": "modules: nested deeper than 32 levels",
    "escape.voice.safetensors": "a text contains a control character",
    "nan.voice.safetensors": "postnet.output.bias contains values that are not finite",
    "nan_duration.voice.safetensors": "duration.output.bias contains values that are not finite",
    "packed_empty_shape.voice.safetensors": "packed.decoder.output.weight: List should have at least 2 items",
    "packed_list.voice.safetensors": "packed: Input should be a valid dictionary",
    "packed_zero_rows.voice.safetensors": "packed.decoder.output.weight.0: Input should be greater than 0",
    "scores_list.voice.safetensors": "scores: Input should be a valid dictionary",
    "scores_nan.voice.safetensors": "scores: NaN is not a finite number",
}
"""Voices that are refused as files."""


UNFIT = {
    "endless.voice.safetensors": "symbols would last",
    "product_bomb.voice.safetensors": "the factors of decoder.output.weight do not multiply to the delta's shape",
}


@pytest.mark.parametrize("name", REFUSED | UNFIT)
def test_a_hostile_voice_is_refused_before_anything_is_written(run_cli, tmp_path: Path, name: str) -> None:
    voice, out = case_folder("fuzz") / name, tmp_path / "out.wav"
    fault = (REFUSED | UNFIT)[name]
    result: Result = run_cli("speak", voice, "Good morning.", "-o", out, "--vocoder", "griffin-lim")
    assert result.failed(1, fault) and not out.exists()
    assert run_cli("inspect", voice).failed(1, str(voice), fault)
    if name in REFUSED:
        assert result.failed(1, str(voice))


@pytest.fixture
def voice(base: Base, tmp_path: Path) -> Path:
    path = tmp_path / "a.voice.safetensors"
    Voice({"postnet.output.bias": torch.full((80,), 0.1)}, base.hash, ("postnet.output.bias",), 1).save(path)
    return path


def rewrite(path: Path, metadata: dict[str, str] | None = None, tensors: dict[str, torch.Tensor] | None = None) -> None:
    """Change tensors and entries of the header of a safetensors file, as anyone can."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    save_file(load_file(path) | (tensors or {}), path, header.get("__metadata__", {}) | (metadata or {}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_voice_with_a_non_finite_number_is_refused(voice: Path, value: float, dtype: torch.dtype) -> None:
    bias = torch.zeros(80, dtype=dtype)
    bias[3] = value
    rewrite(voice, tensors={"postnet.output.bias": bias})
    assert f"{voice}: postnet.output.bias contains values that are not finite" in error_line(lambda: Voice.load(voice))


def test_a_number_that_overflows_float32_is_refused(voice: Path) -> None:
    rewrite(voice, tensors={"postnet.output.bias": torch.full((80,), 1e300, dtype=torch.float64)})
    assert "contains values that are not finite" in error_line(lambda: Voice.load(voice))


def test_integer_deltas_are_refused(voice: Path) -> None:
    rewrite(voice, tensors={"postnet.output.bias": torch.ones(80, dtype=torch.int64)})
    assert "postnet.output.bias holds I64" in error_line(lambda: Voice.load(voice))


@pytest.mark.parametrize("size", [60000.0, -60000.0, 3e38])
def test_finite_values_that_overflow_in_the_model_are_refused(base: Base, voice: Path, size: float) -> None:
    rewrite(voice, tensors={"postnet.output.bias": torch.full((80,), size)})
    model = Voice.load(voice).apply(base)
    fault = error_line(lambda: speak_text(base, model, SourceFilterVocoder(tiny_source_filter()), "abc."))
    assert "the predicted spectrum is not that of a sound" in fault


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"steps": "-1"}, "steps: Input should be greater than or equal to 0"),
        ({"steps": "1.5"}, "steps: Input should be a valid integer"),
        ({"steps": '"1"'}, "steps: Input should be a valid integer"),
        ({"steps": "9" * 400}, "steps: a number does not fit 64 bits"),
        ({"modules": '{"a": 1}'}, "modules: Input should be a valid list"),
        ({"modules": "[1]"}, "modules.0: Input should be a valid string"),
        ({"modules": "null"}, "modules: Input should be a valid list"),
        ({"scores": '{"a": 1, "a": 2}'}, "scores: the key 'a' is repeated"),
        ({"scores": '{"a": 1e999}'}, "scores: 1e999 is not a finite number"),
        ({"scores": '{"a": "\\u001b[2J"}'}, "scores: a text contains a control character"),
        ({"packed": '{"postnet.output.bias": [80]}'}, "packed.postnet.output.bias: List should have at least 2 items"),
        (
            {"packed": '{"postnet.output.bias": [40, true]}'},
            "packed.postnet.output.bias.1: Input should be a valid int",
        ),
        ({"packed": '{"postnet.output.bias": [40, 2]}'}, "postnet.output.bias holds F16"),
        ({"base": "\x1b[31m"}, "a text contains a control character"),
        ({"consent": "Ann\x9b agreed"}, "a text contains a control character"),
        ({"consent": "Ann \u202e agreed"}, "a text contains a control character"),
        ({"vocoder": "x" * 65}, "vocoder: String should have at most 64 characters"),
    ],
)
def test_a_header_with_wrong_types_is_refused(voice: Path, changes: dict[str, str], fault: str) -> None:
    rewrite(voice, changes)
    line = error_line(lambda: Voice.load(voice))
    assert line.startswith(f"{voice}: ") and fault in line and line.isprintable()


def test_a_number_of_codes_that_does_not_fit_the_shape_is_refused(voice: Path) -> None:
    scales, codes = torch.ones(40).half(), torch.zeros(29, dtype=torch.uint8)
    name = "postnet.output.bias"
    for rows, changes in ((40, {}), (10**15, {}), (40, {name: codes.float()}), (40, {f"{name}:scales": scales[1:]})):
        tensors = {name: codes, f"{name}:scales": scales} | changes
        rewrite(voice, {"packed": json.dumps({name: [rows, 2]})}, tensors)
        line = error_line(lambda: Voice.load(voice))
        assert "a quantized matrix does not fit its shape" in line or "postnet.output.bias holds F32" in line


def test_a_consent_note_of_several_lines_is_one_line_in_the_voice(base: Base, tmp_path: Path) -> None:
    path = tmp_path / "a.voice.safetensors"
    Voice({}, base.hash, (), 1, "Ann agreed,\n\t1 May.").save(path)
    assert Voice.load(path).consent == "Ann agreed, 1 May."
    fault = error_line(lambda: Voice({}, base.hash, (), 1, "Ann \x1b[2J").save(tmp_path / "b"))
    assert "not written" in fault and not (tmp_path / "b").exists()


def test_factors_are_compared_with_their_matrix_before_they_are_multiplied() -> None:
    up, down = torch.ones(1).expand(10**9, 1), torch.ones(1).expand(1, 10**9)  # a product of 4 EB
    factors = {"w:up": up, "w:down": down}
    assert "the factors of w do not multiply to the delta's shape" in error_line(
        lambda: expand_factors(factors, {"w": (2, 2)})
    )
    scalar = factors | {"w:down": torch.ones(())}
    assert "do not multiply" in error_line(lambda: expand_factors(scalar, {"w": (10**9, 1)}))
    for shapes in ({}, {"w": (10**9,)}):
        assert "do not multiply" in error_line(lambda shapes=shapes: expand_factors(factors, shapes))
    assert "w:down has no matching factor ':up'" in error_line(lambda: expand_factors({"w:down": down}, {"w": (2, 2)}))


"""Voices that are refused where they meet the base."""
