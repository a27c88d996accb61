"""Synthesis refuses wrong arguments, damaged models and hostile voices with one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cases import case_folder
from faults import error_line
from helpers import tiny_base

from tts_meta import SynthesisOptions, Synthesizer, UsageError, Voice, speak
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim

TEXT = "Abc de. Fgh head."


WRONG_ARGUMENTS: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "no voice": ((None, TEXT), {}, "the voice must be a Voice, a voice file, or 'base', not NoneType"),
    "a number": ((5, TEXT), {}, "the voice must be a Voice, a voice file, or 'base', not int"),
    "None as text": (("base", None), {}, "the text must be a string, not NoneType"),
    "bytes as text": (("base", b"abc"), {}, "the text must be a string, not bytes"),
    "lines as text": (("base", ["abc"]), {}, "the text must be a string, not list"),
    "a dict as options": (("base", TEXT), {"options": {"speed": 2}}, "options must be SynthesisOptions"),
    "a number as base": (("base", TEXT), {"base": 5}, "base must be a path, not int"),
    "a number as vocoder": (("base", TEXT), {"vocoder": 5}, "vocoder must be a loaded vocoder"),
}


@pytest.mark.parametrize("kind", WRONG_ARGUMENTS)
def test_an_argument_of_the_wrong_type_is_refused_in_one_line(base: Base, kind: str) -> None:
    arguments, options, message = WRONG_ARGUMENTS[kind]
    given = {"base": base, "vocoder": "griffin-lim"} | options
    assert message in error_line(lambda: speak(*arguments, **given), UsageError)
    if len(arguments) == 2 and arguments[0] == "base" and "options" not in options:
        assert message in error_line(lambda: Synthesizer("base", **given).speak(*arguments[1:]), UsageError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": "fast"}, "speed must be a number, not str 'fast'"),
        ({"pitch": None}, "pitch must be a number, not NoneType None"),
        ({"speed": True}, "speed must be a number, not bool True"),
        ({"seed": 0.5}, "seed must be a whole number, not float 0.5"),
        ({"seed": 2**64}, "seed must be from"),
    ],
)
def test_an_option_of_the_wrong_type_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    assert message in error_line(lambda: SynthesisOptions(**options), UsageError)


@pytest.mark.parametrize("name", ["absent", "a\0b", "x" * 300, "\ud800", ""])
def test_an_impossible_path_is_refused_in_one_line(base: Base, name: str) -> None:
    error_line(lambda: speak(name, TEXT, base=base, vocoder="griffin-lim"))
    error_line(lambda: speak("base", TEXT, base=base, vocoder=name))
    error_line(lambda: speak("base", TEXT, base=name, vocoder="griffin-lim"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, 1e6])
def test_a_damaged_acoustic_model_is_reported_in_one_line(value: float) -> None:
    base = tiny_base()
    with torch.no_grad():
        base.acoustic.postnet.output.weight.mul_(value)
    synthesizer = Synthesizer(base=base, vocoder="griffin-lim")
    assert "not that of a sound" in error_line(lambda: synthesizer.speak(TEXT))
    assert "not that of a sound" in error_line(lambda: [*synthesizer.stream(TEXT)])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.0, -3.0])
def test_a_damaged_vocoder_is_reported_in_one_line(base: Base, value: float) -> None:
    class Broken(GriffinLim):
        def __call__(self, mel: torch.Tensor) -> torch.Tensor:
            return torch.full((1, mel.shape[1] * self.hop), value)

    synthesizer = Synthesizer(base=base, vocoder=Broken())
    assert "the vocoder output is not audio" in error_line(lambda: synthesizer.speak(TEXT))
    assert "the vocoder output is not audio" in error_line(lambda: [*synthesizer.stream(TEXT)])


@pytest.mark.parametrize("name", ["nan", "nan_duration", "endless", "product_bomb", "escape"])
def test_hostile_voice_files_are_refused_in_one_line(name: str) -> None:
    folder = case_folder("fuzz")
    error_line(lambda: speak(folder / f"{name}.voice.safetensors", "Good morning."))


def test_a_voice_that_overflows_is_reported_in_one_line(tmp_path: Path) -> None:
    """The numbers are finite in half precision but give impossible mels."""
    base = load_base()
    name = "postnet.output.bias"
    voice = Voice({name: torch.full_like(base.acoustic.state_dict()[name], 6e4)}, base.hash, (name,), 1)
    voice.save(tmp_path / "a.voice.safetensors")
    for given in (voice, tmp_path / "a.voice.safetensors"):
        assert "not that of a sound" in error_line(lambda given=given: speak(given, "Good morning.", base=base))
