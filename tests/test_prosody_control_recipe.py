from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import tiny_base

from recipes.librispeech_mini import control
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.synth import Speech

RATE = 22050


def tone(*said: Any, options: SynthesisOptions, **others: Any) -> Speech:
    """What a model that follows its options to the letter says: a second that swings by two semitones around 150 Hz."""
    time = np.arange(RATE) / RATE
    frequency = 150 * 2 ** ((options.pitch + options.pitch_range * np.sin(2 * np.pi * 2 * time)) / 12)
    phase = 2 * np.pi * frequency.cumsum() / RATE
    harmonics = np.arange(1, 6)[:, None]
    samples = (np.cos(harmonics * phase) / harmonics).sum(0)
    return Speech((0.1 * samples).astype(np.float32), RATE, [])


def test_what_follows_its_options_is_measured_to_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "speak_text", tone)
    monkeypatch.setattr(control, "VOICES", 1)
    monkeypatch.setattr(control, "SENTENCES", ("Abc.",))
    rows = {
        name: [float(cell.split()[0]) for cell in cells] for name, *cells in control.control(tiny_base(), GriffinLim())
    }
    plain = rows["as predicted"][1]
    assert rows["as predicted"][0] == 0 and plain == pytest.approx(1.9, abs=0.2)
    for name, (higher, wide) in rows.items():
        option, _, value = name.partition(" ")
        assert higher == pytest.approx(float(value) if option == "--pitch" else 0.0, abs=0.15)
        assert wide == pytest.approx(plain * (float(value) if option == "--pitch-range" else 1.0), abs=0.25)
