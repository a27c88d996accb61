"""The recipe that measures `speak --pitch` and `--pitch-range`, on a model whose F0 is known."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from helpers import tiny_base

from recipes.librispeech_mini import prosody_control
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.synth import Speech

RATE = 22050


def exact_speech(*arguments: Any, options: SynthesisOptions, **others: Any) -> Speech:
    """The speech of a model that follows its options exactly: F0 swings by one semitone around 150 Hz, for a second."""
    time = np.arange(RATE) / RATE
    frequency = 150 * 2 ** ((options.pitch + options.pitch_range * np.sin(2 * np.pi * 2 * time)) / 12)
    phase = 2 * np.pi * frequency.cumsum() / RATE
    harmonics = np.arange(1, 6)[:, None]
    samples = (np.cos(harmonics * phase) / harmonics).sum(0)
    return Speech((0.1 * samples).astype(np.float32), RATE, [])


def test_the_measured_f0_of_a_model_that_follows_its_options_follows_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prosody_control, "speak_text", exact_speech)
    monkeypatch.setattr(prosody_control, "load_base", lambda path: tiny_base())
    monkeypatch.setattr(prosody_control, "load_vocoder", lambda name: GriffinLim())
    monkeypatch.setattr(prosody_control, "VOICES", 1)
    monkeypatch.setattr(prosody_control, "SENTENCES", ("Abc.",))
    monkeypatch.setattr(sys, "argv", ["prosody_control"])
    prosody_control.main()
    _, _, *lines = capsys.readouterr().out.strip().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = {name: [float(cell.split()[0]) for cell in cells] for name, *cells in table}
    assert list(rows) == [name for name, _ in prosody_control.SETTINGS]
    default_range = rows["as predicted"][1]
    assert rows["as predicted"][0] == 0 and default_range == pytest.approx(1.9, abs=0.2)
    for name, (shift, range_in_semitones) in rows.items():
        option, _, value = name.partition(" ")
        assert shift == pytest.approx(float(value) if option == "--pitch" else 0.0, abs=0.15)
        factor = float(value) if option == "--pitch-range" else 1.0
        assert range_in_semitones == pytest.approx(default_range * factor, abs=0.25)
