"""Tests of hostile bases, vocoders and recipes: those of ../shared/cases/fuzz, and similar ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_headers
import fuzz_recipes
import pytest
import torch
import valid_files
from cases import case_folder
from faults import error_line
from helpers import tiny_base, tiny_source_filter
from safetensors.torch import load_file, save_file

from tts_meta.models.pretrained import load_base, save_base
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter


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
    """Write a value into the weights of a base or vocoder, and the new SHA-256 into its state."""
    import hashlib

    path = folder / "model.safetensors"
    weights = load_file(path)
    weights[name].view(-1)[0] = value
    save_file(weights, path)
    edit(folder / "state.json", "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_base_or_vocoder_with_a_non_finite_number_is_refused(tmp_path: Path) -> None:
    save_base(tiny_base(), tmp_path / "base")
    save_source_filter(tiny_source_filter(), tmp_path / "light", {})
    replace_weights(tmp_path / "base", "aligner.log_prior", float("inf"))
    replace_weights(tmp_path / "light", "pitch.net.output.bias", float("nan"))
    assert "aligner.log_prior contains values that are not finite" in error_line(lambda: load_base(tmp_path / "base"))
    assert "pitch.net.output.bias contains values" in error_line(lambda: load_source_filter(tmp_path / "light"))


def test_loading_does_not_use_the_generator_of_the_caller(tmp_path: Path) -> None:
    save_base(tiny_base(), tmp_path / "base")
    save_source_filter(tiny_source_filter(), tmp_path / "light", {})
    before = torch.get_rng_state()
    load_base(tmp_path / "base")
    load_source_filter(tmp_path / "light")
    assert torch.equal(torch.get_rng_state(), before)


def test_implausibly_long_predicted_speech_is_refused() -> None:
    base = tiny_base()
    model, tokens = base.acoustic, base.symbols.encode("abcdefgh")
    seconds = model.mel_config.frame_seconds
    assert len(tokens) == 10

    def set_seconds(seconds_per_symbol: float) -> None:
        """Let the model predict this number of seconds for every symbol."""
        with torch.no_grad():
            model.duration.output.weight.zero_()
            model.duration.output.bias.fill_(1 + seconds_per_symbol / seconds).log_()

    set_seconds(0.95)
    assert len(model.generate(tokens)) == pytest.approx(9.5 / seconds, abs=1)
    set_seconds(1.05)  # the limit of 10 symbols is 5 s + 10 × 0.5 s
    assert "a sentence of 10 symbols would last 10.5 s" in error_line(lambda: model.generate(tokens))
    assert "10.5 s" in error_line(lambda: next(model.stream(tokens)))
    assert "10.5 s" in error_line(lambda: model.generate_batch([tokens, tokens[:5]]))
    short = tokens[[0, 1, 9]]
    set_seconds(2.1)
    assert len(model.generate(short)) == pytest.approx(6.3 / seconds, abs=1)
    set_seconds(300.0)
    assert "one symbol 300 s" in error_line(lambda: model.generate(short))


@pytest.mark.parametrize(
    ("call", "value"),
    [
        (fuzz_headers.speak_voice, valid_files.voice_file),
        (fuzz_headers.use_base, valid_files.base_files),
        (fuzz_headers.use_source_filter, valid_files.source_filter_files),
        (fuzz_headers.use_hifigan, lambda: (valid_files.hifigan_file(), fuzz_headers.hifigan_config())),
        (fuzz_headers.use_learner, valid_files.learner_files),
        (fuzz_headers.use_forecast, valid_files.forecast_file),
        (fuzz_headers.resume, valid_files.checkpoint_files),
        (fuzz_headers.open_store, valid_files.store_files),
        (
            fuzz_recipes.read_recipe,
            lambda: next((kind, path.read_bytes()) for kind, path in fuzz_recipes.RECIPES.items()),
        ),
    ],
)
def test_undamaged_inputs_of_the_fuzz_suite_are_accepted(call: Callable[[Any], None], value: Callable[[], Any]) -> None:
    call(value())
