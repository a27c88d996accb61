"""Measured prosody agrees with synthetic tones of known pitch and loudness."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tts_meta.audio import MelSpec
from tts_meta.audio.mel import MelConfig
from tts_meta.models.prosody import PITCH_SCALE, change_prosody, measure_prosody

CONFIG = MelConfig()
FRAMES = 12
"""Frames of each symbol."""


def voice(frequencies: list[float], levels: list[float] | None = None, tilt: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-mel `(1, T, M)` of a buzz with one pitch per symbol, in Hz (0: noise), and durations `(1, N)`."""
    size = FRAMES * CONFIG.hop
    pitch = torch.tensor(frequencies).repeat_interleave(size)
    phase = 2 * math.pi * (pitch / CONFIG.sample_rate).double().cumsum(0)
    harmonics = range(1, 60)
    buzz = sum((h * phase).cos() * (h * pitch < 8000) / h**tilt for h in harmonics)
    assert isinstance(buzz, Tensor)
    noise = torch.randn(len(pitch), generator=torch.Generator().manual_seed(0))
    gain = torch.tensor(levels or [0.1] * len(frequencies)).repeat_interleave(size)
    samples = gain * torch.where(pitch > 0, buzz.float() + 1e-3 * noise, noise)
    return MelSpec(CONFIG)(samples[None]), torch.full((1, len(frequencies)), FRAMES)


def measured(mel: Tensor, durations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pitch in semitones relative to the sentence, voicing and energy of a batch of one sentence, each `(N,)`."""
    pitch, voicing, energy = measure_prosody(mel, durations, CONFIG)[0].unbind(-1)
    return pitch / PITCH_SCALE / voicing.clamp(min=1e-9) * 12 / math.log(2), voicing, energy


@pytest.mark.parametrize("middle", [95.0, 110.0, 160.0, 220.0, 300.0])
@pytest.mark.parametrize("tilt", [0.5, 1.5])
def test_the_pitch_of_a_buzz_is_found_within_half_a_semitone(middle: float, tilt: float) -> None:
    steps = [-2.0, 0.0, 3.0, -1.0, 0.0]
    mel, durations = voice([middle * 2 ** (step / 12) for step in steps], tilt=tilt)
    semitones, voicing, _ = measured(mel, durations)
    assert voicing.min() > 0.3
    true = torch.tensor(steps)
    true = true - (true * voicing).sum() / voicing.sum()
    assert float((semitones - true).abs().max()) < 0.5


def test_noise_is_less_voiced_than_a_buzz() -> None:
    voicing = measured(*voice([150.0, 0.0, 150.0, 0.0, 150.0]))[1]
    assert float(voicing[0::2].min()) > 0.8 and float(voicing[1::2].max()) < 0.6


def test_energy_is_the_loudness_of_a_symbol_relative_to_the_sentence() -> None:
    energy = measured(*voice([150.0] * 4, [0.02, 0.02 * math.e, 0.02, 0.02 * math.e]))[2]
    torch.testing.assert_close(energy[1::2] - energy[0::2], torch.full((2,), 0.5), atol=0.1, rtol=0)
    assert float(energy.sum()) == pytest.approx(0.0, abs=1e-3)


def test_prosody_does_not_depend_on_the_level_of_the_recording() -> None:
    mel, durations = voice([120.0, 150.0, 0.0, 180.0])
    louder = measure_prosody(mel + 0.7, durations, CONFIG)
    torch.testing.assert_close(louder, measure_prosody(mel, durations, CONFIG), atol=1e-4, rtol=0)


def test_silence_symbols_without_frames_and_padding_have_zero_prosody() -> None:
    mel, durations = voice([120.0, 150.0])
    silence = torch.full_like(mel, math.log(CONFIG.floor))
    assert float(measure_prosody(silence, durations, CONFIG).abs().max()) < 1e-4
    gaps = torch.tensor([[0, FRAMES, 0, FRAMES, 0, 0]])
    prosody = measure_prosody(torch.cat([mel, silence], 1), gaps, CONFIG)
    assert (prosody[0, [0, 2, 4, 5]] == 0).all()
    torch.testing.assert_close(prosody[0, [1, 3]], measure_prosody(mel, durations, CONFIG)[0])


def test_sentences_of_a_batch_are_independent() -> None:
    low, high = voice([120.0, 150.0, 130.0])[0], voice([250.0, 0.0, 260.0])[0]
    durations = torch.full((2, 3), FRAMES)
    together = measure_prosody(torch.cat([low, high]), durations, CONFIG)
    for number, mel in enumerate((low, high)):
        torch.testing.assert_close(together[number], measure_prosody(mel, durations[:1], CONFIG)[0])


def test_a_change_of_prosody_shifts_voiced_pitch_and_widens_its_range() -> None:
    prosody = torch.tensor([[0.8, 1.0, 0.3], [0.0, 0.0, -0.2], [-0.4, 0.5, 0.1]])
    changed = change_prosody(prosody, semitones=12.0, pitch_range=2.0)
    octave = PITCH_SCALE * math.log(2)
    expected = torch.tensor([[1.6 + octave, 1.0, 0.3], [0.0, 0.0, -0.2], [-0.8 + 0.5 * octave, 0.5, 0.1]])
    torch.testing.assert_close(changed, expected)
    assert torch.equal(change_prosody(prosody), prosody)
