"""A toy model, its loss, its batches and its training, for tests of the training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from helpers import random_example, tiny_base
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Batch
from tts_meta.report.log import Log
from tts_meta.train.datasets import BatchStream
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.training_config import FitSettings

OPTIMISER = OptimiserConfig(steps=10, warmup=3, frames_per_batch=120, learning_rate=1e-2)
SETTINGS = FitSettings(
    optimiser=OPTIMISER,
    ema_decay=0.9,
    device="cpu",
    precision="float32",
    log_every=2,
    save_every=4,
    sample_every=100,
    deadline=math.inf,
)


class Toy(nn.Module):
    """A model with dropout, a matrix, a vector and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(80, 80)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, mel: Tensor) -> Tensor:
        return self.layer(self.dropout(mel))


def toy(seed: int = 0) -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy()


def stream(seed: int = 0) -> BatchStream:
    base = tiny_base()
    texts = ["abc de", "hg fed", "bad cab", "head", "fab gab", "bead", "cafe dg"]
    examples = [random_example(base, text, number) for number, text in enumerate(texts)]
    return BatchStream(examples, {"ann": 0}, OPTIMISER.batch_size, 1, seed)


def toy_loss(model: Toy) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        model.get_buffer("calls").add_(1)
        value = (model(batch.mel) - batch.mel).abs().mean()
        return value, {"twice": 2 * value}

    return loss


def train(
    folder: Path, settings: FitSettings = SETTINGS, sample: Callable[[Log, int], float | None] | None = None
) -> Toy:
    """Start or resume a run in `folder` with the random state of a new process."""
    model = toy()
    torch.manual_seed(1)
    fit("toy", model, toy_loss(model), stream(), settings, folder, MelConfig(), sample or (lambda log, step: None))
    return model


def replace_optimiser(**changes: object) -> OptimiserConfig:
    return OPTIMISER.model_copy(update=changes)
