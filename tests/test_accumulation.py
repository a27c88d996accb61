"""Micro-batches: a step on several, in one or two processes, is the step on all of their data at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from faults import error_line
from helpers import random_example, tiny_base, tone_sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import in_two_processes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from toy_training import SETTINGS, replace_optimiser, toy

from tts_meta.audio.mel import MelConfig
from tts_meta.config import dump_config, parse_config
from tts_meta.corpus import Batch, Example, collate
from tts_meta.errors import TtsMetaError
from tts_meta.models.vocoders.pitch_predictor import PitchConfig, PitchPredictor
from tts_meta.train import vocoder_losses
from tts_meta.train.aligner_loss import aligner_loss
from tts_meta.train.datasets import BatchStream
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import BatchSize, OptimiserConfig
from tts_meta.train.pretrain import acoustic_objective
from tts_meta.train.training_config import FitSettings
from tts_meta.train.vocoder_data import VocoderBatch

SPEAKERS = {"ann": 0, "ben": 1}
FRAMES, ACCUMULATE = 120, 3
Loss = Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]


def sentences() -> list[Example]:
    base = tiny_base()
    texts = [tone_sentence(number, words=1 + number % 4) for number in range(31)]
    return [random_example(base, text, number, ("ann", "ben")[number % 2]) for number, text in enumerate(texts)]


def models() -> dict[str, tuple[nn.Module, Loss, int]]:
    """Each model without dropout, its loss, and the number of which the frames of a batch are a multiple."""
    base = tiny_base()
    for model in (base.acoustic, base.aligner):
        model.requires_grad_(True)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    base.acoustic.decoder.dropout = 0.0
    return {
        "acoustic": (base.acoustic, acoustic_objective(base.acoustic), base.acoustic.reduction),
        "aligner": (base.aligner, lambda batch, step: (aligner_loss(base.aligner, batch), {}), 1),
    }


class Recorder(nn.Module):
    """A module that takes steps of gradient descent and keeps the gradient of each, and the ids of its data."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model, self.loss, self.multiple_of = models()[name]
        self.gradients: list[Tensor] = []
        self.ids: list[tuple[str, ...]] = []

    def objective(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        self.ids.append(batch.ids)
        return self.loss(batch, step)


def settings_of(steps: int) -> FitSettings:
    optimiser = replace_optimiser(steps=steps, warmup=0, clip=1e9, learning_rate=1e-30)
    return FitSettings(**{**vars(SETTINGS), "optimiser": optimiser, "save_every": 1000, "log_every": 1000})


def run(name: str, size: BatchSize, folder: Path, steps: int = 2) -> dict[str, Any]:
    """Train, and return the gradient of each step, the sentences that this process had, and its all-reduces."""
    recorder, reduced = Recorder(name), list[int]()
    stream = BatchStream(sentences(), SPEAKERS, size, recorder.multiple_of, seed=0)

    def hook(optimiser: torch.optim.Optimizer, *_: object) -> None:
        grads = [p.grad.flatten().clone() for p in recorder.model.parameters() if p.grad is not None]
        recorder.gradients.append(torch.cat(grads))

    def all_reduce(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        reduced.append(tensor.numel())
        return plain_all_reduce(tensor, *args, **kwargs)

    plain_all_reduce = dist.all_reduce
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_reduce", all_reduce)
        patch.setattr(
            "tts_meta.train.loop.build_optimiser",
            lambda model, config: hooked(torch.optim.SGD(model.parameters()), hook),
        )
        fit(name, recorder.model, recorder.objective, stream, settings_of(steps), folder, MelConfig())
    model_size = sum(p.numel() for p in recorder.model.parameters() if p.requires_grad)
    return {"gradients": recorder.gradients, "ids": recorder.ids, "large": reduced.count(model_size), "all": reduced}


def hooked(optimiser: torch.optim.Optimizer, hook: Any) -> torch.optim.Optimizer:
    optimiser.register_step_pre_hook(hook)
    return optimiser


def assert_gradient_of_union(name: str, gradient: Tensor, ids: list[str]) -> None:
    """Assert that a gradient is that of one batch of all these sentences."""
    by_id = {example.id: example for example in sentences()}
    model, loss, multiple_of = models()[name]
    model.train()
    batch = collate([by_id[id] for id in ids], SPEAKERS, multiple_of)
    loss(batch, 0)[0].backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6 * float(expected.norm()))
    assert float(expected.norm()) > 0


@pytest.mark.parametrize("name", ["acoustic", "aligner"])
def test_a_step_on_k_micro_batches_is_one_step_on_their_union(name: str, tmp_path: Path) -> None:
    found = run(name, BatchSize(FRAMES, per_device=True, accumulate=ACCUMULATE), tmp_path)
    assert len(found["ids"]) == 2 * ACCUMULATE
    lengths = [sum(len(e.mel) for e in sentences() if e.id in ids) for ids in found["ids"]]
    assert len(set(lengths)) > 1, "micro-batches of one size would not show a mean of means"
    for step, gradient in enumerate(found["gradients"]):
        parts = found["ids"][step * ACCUMULATE : (step + 1) * ACCUMULATE]
        assert_gradient_of_union(name, gradient, [id for ids in parts for id in ids])


@pytest.mark.parametrize("name", ["acoustic", "aligner"])
def test_accumulation_divides_the_batch_of_frames_per_batch_and_takes_the_same_step(name: str, tmp_path: Path) -> None:
    whole = run(name, BatchSize(4 * FRAMES), tmp_path / "whole")
    parts = run(name, BatchSize(4 * FRAMES, accumulate=ACCUMULATE), tmp_path / "parts")
    assert [sorted(ids) for ids in whole["ids"]] == [
        sorted(sum(parts["ids"][at : at + ACCUMULATE], ())) for at in range(0, len(parts["ids"]), ACCUMULATE)
    ]
    for gradient, expected in zip(parts["gradients"], whole["gradients"], strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6 * float(expected.norm()))


def everything() -> dict[str, Any]:
    """The steps of one of two processes."""
    sizes = {"device": BatchSize(FRAMES, per_device=True, accumulate=2), "batch": BatchSize(4 * FRAMES, accumulate=2)}
    folder = Path(os.environ["RUN_FOLDERS"])
    return {
        f"{name} {mode}": run(name, size, folder / f"{name}_{mode}")
        for name in ("acoustic", "aligner")
        for mode, size in sizes.items()
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each of two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN_FOLDERS", str(tmp_path_factory.mktemp("folders")))
        return in_two_processes(everything, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("mode", ["device", "batch"])
@pytest.mark.parametrize("name", ["acoustic", "aligner"])
def test_two_processes_with_two_micro_batches_each_take_the_step_on_the_union(
    name: str, mode: str, both: list[dict[str, Any]]
) -> None:
    first, second = (results[f"{name} {mode}"] for results in both)
    for step, gradient in enumerate(first["gradients"]):
        assert torch.equal(gradient, second["gradients"][step])
        ids = [id for found in (first, second) for part in found["ids"][2 * step : 2 * step + 2] for id in part]
        assert len(set(ids)) == len(ids)
        assert_gradient_of_union(name, gradient, ids)


def test_a_step_has_one_all_reduce_of_the_gradients_after_its_last_micro_batch(both: list[dict[str, Any]]) -> None:
    for results in both:
        for found in results.values():
            assert len(found["ids"]) == 4 and len(found["gradients"]) == 2
            assert found["large"] == 2, "one for each of two steps of two micro-batches"
            assert all(size <= 1 for size in found["all"] if size != max(found["all"])), "else only votes and the loss"


EXAMPLES = [
    Example(str(n), "ann", torch.ones(1 + n % 3).long(), torch.ones(1 + n % 3).long(), torch.zeros(1 + 7 * n % 11, 1))
    for n in range(23)
]


def epoch_of(rank: int, world: int, size: BatchSize, position: int, group: int) -> list[tuple[int, Any]]:
    """The (position, batch) of a process in the rest of epoch 0."""
    stream = BatchStream(EXAMPLES, {"ann": 0}, size, 1, seed=0)
    stream._rank_and_world = (rank, world)
    items = takewhile(lambda item: item[0] == 0, islice(stream.batches(0, position, group), 500))
    return [(position, batch) for _, position, batch in items]


@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(8, 40), st.integers(0, 30), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_every_process_takes_the_same_steps_and_every_utterance_is_in_one_micro_batch(
    world: int, accumulate: int, per_device: bool, frames: int, resumed: int, group: int
) -> None:
    size = BatchSize(frames, per_device, accumulate)
    ranks = [epoch_of(rank, world, size, 0, group) for rank in range(world)]
    positions = [[position for position, _ in items] for items in ranks]
    assert all(found == positions[0] for found in positions) and len(positions[0]) % accumulate == 0
    ids = [id for items in ranks for _, batch in items if batch is not None for id in batch.ids]
    assert sorted(ids) == sorted(example.id for example in EXAMPLES)
    for step in range(0, len(positions[0]), accumulate):
        batches = [batch for items in ranks for _, batch in items[step : step + accumulate] if batch is not None]
        frames_of_step = sum(int(batch.mel_lengths.sum()) for batch in batches)
        assert {int(batch.all_frames) for batch in batches} == {frames_of_step}
        assert {int(batch.all_symbols) for batch in batches} == {sum(int(b.token_lengths.sum()) for b in batches)}
    # A run that stops after a step continues with another number of processes and loses or repeats nothing.
    stop = positions[0][min(resumed, len(positions[0]) // accumulate - 1) * accumulate]
    before = [id for items in ranks for position, b in items if position <= stop and b is not None for id in b.ids]
    later = [epoch_of(rank, 3, size, stop, group) for rank in range(3)]
    after = [id for items in later for _, batch in items if batch is not None for id in batch.ids]
    assert sorted(before + after) == sorted(ids)


def test_processes_that_compute_at_the_same_time_have_similar_lengths() -> None:
    size = BatchSize(12, per_device=True, accumulate=1)
    ranks = [epoch_of(rank, 4, size, 0, 4) for rank in range(4)]
    full_steps = [[b.mel.shape[1] for _, b in parts] for parts in zip(*ranks, strict=True) if all(b for _, b in parts)]
    assert len(full_steps) > 2 and np.mean([max(step) - min(step) for step in full_steps]) < 4


def test_the_mean_of_voiced_frames_is_over_the_step_and_not_a_mean_of_means(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LEVEL_STD", "_NOISE_STD"):
        monkeypatch.setattr(vocoder_losses, name, 0.0)
    torch.manual_seed(0)
    loss = vocoder_losses.pitch_loss(PitchPredictor(PitchConfig(channels=8, layers=1), MelConfig()))
    mel, voiced = torch.randn(2, 20, 80), torch.zeros(2, 20)
    voiced[0, :3], voiced[1, :17] = 1, 1

    def crops(rows: slice) -> VocoderBatch:
        log_f0 = torch.full((2, 20), 5.0)[rows]
        return VocoderBatch(mel[rows], log_f0, voiced[rows], torch.zeros(2, 1)[rows], torch.tensor(40), voiced.sum())

    whole, first, second = (loss(crops(rows), 0)[0] for rows in (slice(2), slice(1), slice(1, 2)))
    torch.testing.assert_close(first + second, whole)


def test_the_loss_in_the_log_is_that_of_the_whole_step(tmp_path: Path) -> None:
    def losses(size: BatchSize, folder: Path) -> list[float]:
        model = toy()
        stream = BatchStream(sentences(), SPEAKERS, size, 1, 0)
        one = FitSettings(**{**vars(SETTINGS), "optimiser": replace_optimiser(steps=1), "log_every": 1})
        fit("toy", model, lambda b, step: (b.mel[:, :, 0].sum() / b.all_frames + 0 * model(b.mel).sum(), {}), stream,
            one, folder, MelConfig())  # fmt: skip
        events = EventAccumulator(str(folder))
        events.Reload()
        return [event.value for event in events.Scalars("toy/loss")]

    whole = losses(BatchSize(4 * FRAMES), tmp_path / "whole")
    assert losses(BatchSize(4 * FRAMES, accumulate=4), tmp_path / "parts") == pytest.approx(whole, rel=1e-2)


def test_the_size_of_a_batch_has_one_setting_and_old_recipes_keep_theirs() -> None:
    old = parse_config({"steps": 3, "frames_per_batch": 500}, OptimiserConfig, "recipe")
    assert old.batch_size == BatchSize(500, False, 1)
    assert parse_config({"steps": 3}, OptimiserConfig, "recipe").frames_per_batch == 12000
    data = {"steps": 3, "frames_per_device": 400, "accumulate": 2, "frames_per_batch": None}
    new = parse_config(data, OptimiserConfig, "recipe")
    assert new.batch_size == BatchSize(400, True, 2)
    assert parse_config(new.model_dump(), OptimiserConfig, dump_config(new)) == new
    data["frames_per_batch"] = 500
    line = error_line(lambda: parse_config(data, OptimiserConfig, "recipe"), TtsMetaError)
    assert line == ("recipe: give frames_per_batch or frames_per_device, not both; set the other one to null"), line


@pytest.mark.parametrize("setting", ["accumulate", "frames_per_batch", "frames_per_device"])
def test_a_size_of_zero_is_refused(setting: str) -> None:
    assert setting in error_line(lambda: parse_config({"steps": 1, setting: 0}, OptimiserConfig, "r"), TtsMetaError)
