from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import error_line, full_disk
from helpers import same_weights
from torch import nn
from torch.optim.swa_utils import AveragedModel
from toy_training import OPTIMISER, SETTINGS, Toy, toy, train

from tts_meta.errors import TtsMetaError
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.optimiser import (
    build_optimiser,
    update_average,
    weight_average,
)


def checkpoint(folder: Path) -> tuple[Toy, torch.optim.Optimizer, AveragedModel]:
    model = toy()
    optimiser, average = build_optimiser(model, OPTIMISER), weight_average(model, 0.5)
    model(torch.randn(2, 80)).sum().backward()
    optimiser.step()
    update_average(average, model, 0)
    save_checkpoint(folder, model, optimiser, average, {"step": 1, "note": "x"})
    return model, optimiser, average


def test_a_checkpoint_restores_weights_moments_average_and_random_state(tmp_path: Path) -> None:
    model, optimiser, average = checkpoint(tmp_path / "c")
    drawn = torch.randn(5)
    other = toy(seed=9)
    restored, mean = build_optimiser(other, OPTIMISER), weight_average(other, 0.5)
    assert load_checkpoint(tmp_path / "c", other, restored, mean) == {"step": 1, "note": "x"}
    assert torch.equal(torch.randn(5), drawn)
    assert same_weights(other, model) and same_weights(mean.module, average.module)
    before, after = optimiser.state_dict()["state"], restored.state_dict()["state"]
    assert before.keys() == after.keys() and all(same_weights(before[n], after[n]) for n in before)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["state.json", "tensors.safetensors"]


def set_state(folder: Path, **changes: object) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: (folder / "tensors.safetensors").write_bytes(b"x"),
            "the file is truncated or not a safetensors file",
        ),
        (lambda folder: (folder / "tensors.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "state.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "state.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "state.json").write_text("[1]"), "checkpoint of another version"),
        (lambda folder: (folder / "state.json").write_text('{"format": 9}'), "checkpoint of another version"),
        (lambda folder: set_state(folder, step=-3), "step: Input should be greater than or equal to 0"),
        (lambda folder: set_state(folder, step=1.5), "step: Input should be a valid integer"),
        (lambda folder: set_state(folder, step=None), "step: Input should be a valid integer"),
        (lambda folder: set_state(folder, step=10**30), "a number does not fit 64 bits"),
        (lambda folder: set_state(folder, step=0), "damaged checkpoint"),
        (lambda folder: set_state(folder, position=7), "damaged checkpoint"),
        (lambda folder: set_state(folder, sha256="0" * 64), "damaged checkpoint"),
        (lambda folder: flip_byte(folder / "tensors.safetensors", -5), "damaged checkpoint"),
        (lambda folder: flip_byte(folder / "tensors.safetensors", 200), "damaged"),
    ],
)
def test_a_damaged_checkpoint_is_one_line_that_names_it(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    checkpoint(tmp_path / "c")
    damage(tmp_path / "c")
    other, random = toy(seed=5), torch.get_rng_state()
    average = weight_average(other, 0.5)
    line = error_line(lambda: load_checkpoint(tmp_path / "c", other, build_optimiser(other, OPTIMISER), average))
    assert line.startswith(str(tmp_path / "c")) and said in line and line.endswith("; delete it to start again")
    assert same_weights(other, toy(seed=5)) and torch.equal(torch.get_rng_state(), random)


def test_a_state_beyond_the_end_of_the_run_is_refused(tmp_path: Path) -> None:
    train(tmp_path, replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 12})))
    assert "at step 12 of 10" in error_line(lambda: train(tmp_path))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    other = nn.Linear(2, 2)
    with pytest.raises(TtsMetaError, match="checkpoint of another model"):
        load_checkpoint(tmp_path / "c", other, build_optimiser(other, OPTIMISER), weight_average(other, 0.5))


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    model, optimiser, average = checkpoint(tmp_path / "c")
    content = (tmp_path / "c" / "tensors.safetensors").read_bytes()
    with pytest.raises(TtsMetaError, match="File too large"), full_disk(5000):
        save_checkpoint(tmp_path / "c", model, optimiser, average, {"step": 2})
    assert (tmp_path / "c" / "tensors.safetensors").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
