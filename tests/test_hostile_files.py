"""The hostile voices, bases and recipes of ../shared/cases/fuzz, and others of their kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_headers
import pytest
import torch
from cases import case_folder
from commands import Result
from faults import error_line
from helpers import tiny_base, tiny_source_filter
from safetensors.torch import load_file, save_file

from tts_meta.adapt import Voice
from tts_meta.models.low_rank import expand_factors
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
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
    "product_bomb.voice.safetensors": "the factors of decoder.output.weight do not multiply to its shape",
}
"""Voices that are refused where they meet the base."""


@pytest.mark.parametrize("name", REFUSED | UNFIT)
def test_a_hostile_voice_is_refused_before_anything_is_written(run_cli, tmp_path: Path, name: str) -> None:
    voice, out = case_folder("fuzz") / name, tmp_path / "out.wav"
    fault = (REFUSED | UNFIT)[name]
    result: Result = run_cli("speak", voice, "Good morning.", "-o", out, "--vocoder", "griffin-lim")
    assert result.failed(1, fault) and not out.exists()
    assert run_cli("inspect", voice).failed(1, str(voice), fault)
    if name in REFUSED:
        assert result.failed(1, str(voice))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("base_speakers_null", "state.json: speakers: Input should be a valid list"),
        ("base_symbols_null", "symbols.json: Input should be a valid list"),
    ],
)
def test_a_base_with_null_in_place_of_a_list(run_cli, name: str, fault: str) -> None:
    folder = case_folder("fuzz") / name
    assert run_cli("inspect", folder).failed(1, str(folder), fault)
    assert run_cli("speak", "base", "abc", "-o", "x.wav", "--base", folder).failed(1, str(folder), fault)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("date.yaml", "output: Field required"),  # the date is the name of a file
        ("deep.yaml", "nested deeper than 32 levels (line 1)"),
        ("digits.yaml", "a number does not fit 64 bits (line 1)"),
        ("timestamp.yaml", "not YAML"),
        ("list.yaml", "contains no keys"),
    ],
)
def test_a_hostile_recipe(run_cli, name: str, fault: str) -> None:
    path = case_folder("fuzz") / name
    assert run_cli("pretrain", path).failed(1, str(path), fault)


def test_a_misspelt_setting_of_a_learner_is_named_with_the_valid_ones(run_cli) -> None:
    path = case_folder("fuzz") / "learner_typo.yaml"
    result = run_cli("benchmark", path)
    assert result.failed(1, str(path), "unknown key 'learners.clone.setled'", "prior_scale")


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
def test_a_voice_with_a_number_that_is_none(voice: Path, value: float, dtype: torch.dtype) -> None:
    bias = torch.zeros(80, dtype=dtype)
    bias[3] = value
    rewrite(voice, tensors={"postnet.output.bias": bias})
    assert f"{voice}: postnet.output.bias contains values that are not finite" in error_line(lambda: Voice.load(voice))


def test_a_number_that_overflows_in_single_precision(voice: Path) -> None:
    rewrite(voice, tensors={"postnet.output.bias": torch.full((80,), 1e300, dtype=torch.float64)})
    assert "contains values that are not finite" in error_line(lambda: Voice.load(voice))


def test_whole_numbers_are_no_deltas(voice: Path) -> None:
    rewrite(voice, tensors={"postnet.output.bias": torch.ones(80, dtype=torch.int64)})
    assert "postnet.output.bias holds I64" in error_line(lambda: Voice.load(voice))


@pytest.mark.parametrize("size", [60000.0, -60000.0, 3e38])
def test_finite_values_that_overflow_in_the_model_make_no_sound(base: Base, voice: Path, size: float) -> None:
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
def test_a_header_of_other_types(voice: Path, changes: dict[str, str], fault: str) -> None:
    rewrite(voice, changes)
    line = error_line(lambda: Voice.load(voice))
    assert line.startswith(f"{voice}: ") and fault in line and line.isprintable()


def test_codes_that_are_not_as_many_as_the_shape_says(voice: Path) -> None:
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
    assert "the factors of w do not multiply to its shape" in error_line(lambda: expand_factors(factors, {"w": (2, 2)}))
    scalar = factors | {"w:down": torch.ones(())}
    assert "do not multiply" in error_line(lambda: expand_factors(scalar, {"w": (10**9, 1)}))
    for shapes in ({}, {"w": (10**9,)}):
        assert "do not multiply" in error_line(lambda shapes=shapes: expand_factors(factors, shapes))
    assert "w:down has no matching factor ':up'" in error_line(lambda: expand_factors({"w:down": down}, {"w": (2, 2)}))


def edit(path: Path, key: str, value: object) -> None:
    """Set a dotted key of a JSON file."""
    data = json.loads(path.read_text())
    *sections, last = key.split(".")
    section = data
    for name in sections:
        section = section[name]
    section[last] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("acoustic.encoder.channels", 8000, "weights that do not fit config.json"),
        ("acoustic.encoder.channels", 2**40, "acoustic.encoder.channels: Input should be less than or equal to 8192"),
        ("acoustic.encoder.channels", 15, "acoustic.encoder.channels: must be even, not 15"),
        ("acoustic.encoder.layers", 10**9, "acoustic.encoder.layers: Input should be less than or equal to 64"),
        ("acoustic.encoder.layers", True, "acoustic.encoder.layers: must be a number, not true"),
        ("acoustic.decoder.reduction", 0, "acoustic.decoder.reduction: Input should be greater than 0"),
        ("acoustic.postnet.kernel", 4, "acoustic.postnet.kernel: must be odd, not 4"),
        ("aligner.channels", None, "aligner.channels: Input should be a valid integer"),
        ("audio.mel.hop", 2000, "audio.mel: hop is 2000, longer than the window"),
        ("audio.mel.f_max", 1e300, "audio.mel: f_max must lie above f_min"),
        ("audio.mel", [1], "audio.mel: Input should be a valid dictionary"),
        ("phonemizer", "no\x1bne", "a text contains a control character"),
    ],
)
def test_sizes_of_a_base_are_bounded_and_compared_with_the_weights(
    tmp_path: Path, key: str, value: object, fault: str
) -> None:
    save_base(tiny_base(), tmp_path)
    edit(tmp_path / "config.json", key, value)
    assert fault in error_line(lambda: load_base(tmp_path))


def test_a_base_or_vocoder_that_diverged_is_not_written(tmp_path: Path) -> None:
    base, light = tiny_base(), tiny_source_filter()
    assert base.acoustic.postnet.output.bias is not None
    base.acoustic.postnet.output.bias[3] = 1e6  # infinite in half precision
    light.net.output.bias.detach()[3] = float("nan")
    assert "acoustic.postnet.output.bias contains values" in error_line(lambda: save_base(base, tmp_path / "base"))
    assert "net.output.bias contains values" in error_line(lambda: save_source_filter(light, tmp_path / "light", {}))
    assert list(tmp_path.iterdir()) == []


def replace_weights(folder: Path, name: str, value: float) -> None:
    """Put a value into the weights of a base or vocoder, and its new SHA-256 into the state."""
    import hashlib

    path = folder / "model.safetensors"
    weights = load_file(path)
    weights[name].view(-1)[0] = value
    save_file(weights, path)
    edit(folder / "state.json", "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_base_or_vocoder_with_a_number_that_is_none(tmp_path: Path) -> None:
    save_base(tiny_base(), tmp_path / "base")
    save_source_filter(tiny_source_filter(), tmp_path / "light", {})
    replace_weights(tmp_path / "base", "aligner.log_prior", float("inf"))
    replace_weights(tmp_path / "light", "pitch.net.output.bias", float("nan"))
    assert "aligner.log_prior contains values that are not finite" in error_line(lambda: load_base(tmp_path / "base"))
    assert "pitch.net.output.bias contains values" in error_line(lambda: load_source_filter(tmp_path / "light"))


def test_loading_draws_nothing_from_the_generator_of_the_caller(tmp_path: Path) -> None:
    save_base(tiny_base(), tmp_path / "base")
    save_source_filter(tiny_source_filter(), tmp_path / "light", {})
    before = torch.get_rng_state()
    load_base(tmp_path / "base")
    load_source_filter(tmp_path / "light")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_longest_speech_that_is_believed() -> None:
    base = tiny_base()
    model, tokens = base.acoustic, base.symbols.encode("abcdefgh")
    seconds = model.mel_config.frame_seconds
    assert len(tokens) == 10

    def lasts(each: float) -> None:
        """Every symbol is predicted to last so many seconds."""
        with torch.no_grad():
            model.duration.output.weight.zero_()
            model.duration.output.bias.fill_(1 + each / seconds).log_()

    lasts(0.95)
    assert len(model.generate(tokens)) == pytest.approx(9.5 / seconds, abs=1)
    lasts(1.05)  # 10 symbols may take 5 s and .5 s each
    assert "a sentence of 10 symbols would last 10.5 s" in error_line(lambda: model.generate(tokens))
    assert "10.5 s" in error_line(lambda: next(model.stream(tokens)))
    assert "10.5 s" in error_line(lambda: model.generate_batch([tokens, tokens[:5]]))
    short = tokens[[0, 1, 9]]
    lasts(2.1)
    assert len(model.generate(short)) == pytest.approx(6.3 / seconds, abs=1)
    lasts(300.0)
    assert "one symbol 300 s" in error_line(lambda: model.generate(short))


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (fuzz_headers.speak_voice, fuzz_headers.voice_file),
        (fuzz_headers.use_base, fuzz_headers.base_files),
        (fuzz_headers.use_light, fuzz_headers.light_files),
        (fuzz_headers.use_hifigan, lambda: (fuzz_headers.hifigan_file(), fuzz_headers.hifigan_config())),
        (fuzz_headers.use_prior, fuzz_headers.prior_file),
        (fuzz_headers.use_forecast, fuzz_headers.forecast_file),
        (fuzz_headers.resume, fuzz_headers.checkpoint_files),
        (fuzz_headers.open_store, fuzz_headers.store_files),
        (
            fuzz_headers.read_recipe,
            lambda: next((kind, path.read_bytes()) for kind, path in fuzz_headers.RECIPES.items()),
        ),
    ],
)
def test_what_the_fuzz_suite_damages_is_accepted_when_whole(
    call: Callable[[Any], None], value: Callable[[], Any]
) -> None:
    call(value())
