"""The recipe that measures the speed of a training step."""

from __future__ import annotations

import sys

import pytest
import torch

from recipes.librispeech_mini import throughput
from tts_meta.models.pretrained import load_base


def test_a_batch_has_the_size_of_the_batches_of_the_recipe() -> None:
    batch = throughput.random_batch(load_base(), throughput.SEGMENT)
    assert 0.95 * throughput.FRAMES < int(batch.all_frames) <= throughput.FRAMES
    assert torch.equal(batch.durations.sum(1), batch.mel_lengths)


def test_the_command_prints_both_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(throughput, "FRAMES", 2000)
    monkeypatch.setattr(sys, "argv", ["throughput", "--steps", "1"])
    throughput.main()
    printed = capsys.readouterr().out
    assert "| float32, whole sentences |" in printed and "| 1.00 |" in printed
    shares = [int(line.split("|")[2].strip().rstrip(" %")) for line in printed.splitlines() if line.endswith("% |")]
    assert 95 <= sum(shares) <= 105 and "| LSTM |" in printed
