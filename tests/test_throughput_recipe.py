from __future__ import annotations

import sys

import pytest
import torch

from recipes.librispeech_mini import throughput
from tts_meta.models.pretrained import load_base


def test_a_batch_holds_what_the_recipe_trains_on() -> None:
    batch = throughput.random_batch(load_base(), throughput.PIECE)
    assert 0.95 * throughput.FRAMES < int(batch.all_frames) <= throughput.FRAMES
    assert torch.equal(batch.durations.sum(1), batch.mel_lengths)


def test_the_command_prints_both_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(throughput, "FRAMES", 2000)
    monkeypatch.setattr(sys, "argv", ["throughput", "--steps", "1"])
    throughput.main()
    said = capsys.readouterr().out
    assert "| float32, whole sentences |" in said and "| 1.00 |" in said
    shares = [int(line.split("|")[2].strip().rstrip(" %")) for line in said.splitlines() if line.endswith("% |")]
    assert 95 <= sum(shares) <= 105 and "| LSTM |" in said
