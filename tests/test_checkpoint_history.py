"""The checkpoints that a run keeps: how many, which ones, and what is left after a kill or damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from faults import error_line, interrupted
from helpers import same_weights
from toy_training import SETTINGS, Toy, replace_optimiser, train

from tts_meta.errors import TtsMetaWarning, UsageError
from tts_meta.report.log import Log
from tts_meta.train.checkpoint_history import CheckpointHistory, resumed_stage
from tts_meta.train.training_config import FitSettings

LOSSES = {3: 2.0, 6: 0.5, 9: 1.0}
KEEP = replace(SETTINGS, save_every=1, sample_every=3, keep_last=2, keep_best=1)


def sample(log: Log, step: int) -> float:
    return LOSSES[step]


def run(folder: Path, settings: FitSettings = KEEP) -> Toy:
    return train(folder, settings, sample)


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step_")) for path in (folder / "checkpoints").iterdir())


def step_of(folder: Path) -> int:
    return json.loads((folder / "state.json").read_text())["step"]


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The model after a run that keeps one checkpoint."""
    return train(tmp_path_factory.mktemp("completed"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 10 steps that keeps the last two checkpoints and the best."""
    folder = tmp_path_factory.mktemp("finished")
    run(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run", symlinks=True))


def test_the_last_two_checkpoints_and_the_best_are_kept(finished: Path, completed: Toy, tmp_path: Path) -> None:
    assert kept(finished) == [6, 9, 10] and step_of(finished / "training") == 10
    assert json.loads((finished / "checkpoints/step_6/state.json").read_text())["validation_loss"] == 0.5
    run(tmp_path, replace(KEEP, keep_last=3, keep_best=2))
    assert kept(tmp_path) == [6, 8, 9, 10]


def test_the_newest_checkpoint_takes_no_space_twice(finished: Path) -> None:
    newest, copy = (finished / name / "tensors.safetensors" for name in ("training", "checkpoints/step_10"))
    assert newest.samefile(copy)


def test_a_run_that_keeps_one_checkpoint_has_no_others(folder: Path, tmp_path: Path) -> None:
    train(tmp_path / "one", SETTINGS)
    assert not (tmp_path / "one" / "checkpoints").exists()
    run(folder, replace(SETTINGS, optimiser=replace_optimiser(steps=11), sample_every=100))
    assert kept(folder) == [], "the others are removed if a run continues with other settings"


def test_the_number_of_checkpoints_is_bounded_at_every_save(tmp_path: Path) -> None:
    history, most = CheckpointHistory(tmp_path, keep_last=3), 0

    def write(path: Path) -> None:
        nonlocal most
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        (path / "state.json").write_text("{}")
        inodes = {file.stat().st_ino for file in tmp_path.rglob("state.json")}
        most = max(most, len(inodes))

    for step in range(1, 30):
        history.save(write, step)
    assert kept(tmp_path) == [27, 28, 29] and most <= 4


KILL = """
import os, shutil, sys
from pathlib import Path
import tts_meta.train.checkpoint_history as module
folder, moment = Path(sys.argv[1]), sys.argv[2]
def die(*args, **kwargs):
    os._exit(9)
if moment == "link":
    module._link = die
elif moment == "rename":
    os.rename, rename = (lambda a, b: die() if ".removed_" in str(b) else rename(a, b)), os.rename
else:
    shutil.rmtree = lambda path, *a, **k: die() if ".removed_" in str(path) else None
history = module.CheckpointHistory(folder, keep_last=1, keep_best=1)
def write(path):
    (path / "state.json").write_text('{"step": 2, "validation_loss": 0.5}')
history.save(write, 2)
"""


@pytest.mark.parametrize("moment", ["link", "rename", "rmtree"])
def test_a_kill_between_the_writing_and_the_removal_keeps_the_newest(tmp_path: Path, moment: str) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "checkpoints/step_1").mkdir(parents=True)
    (tmp_path / "checkpoints/step_1/state.json").write_text('{"step": 1, "validation_loss": 0.9}')
    assert subprocess.run([sys.executable, "-c", KILL, str(tmp_path), moment]).returncode == 9
    assert step_of(tmp_path / "training") == 2
    history = CheckpointHistory(tmp_path, keep_last=1, keep_best=1)
    assert history.restore(lambda path: {"step": step_of(path)}) == {"step": 2}
    history.save(lambda path: None, 2)
    assert kept(tmp_path) == [2] and [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_2"]


def damage(checkpoint: Path) -> None:
    path = checkpoint / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.unlink()  # another checkpoint may have the same file
    path.write_bytes(content)


def test_a_run_with_a_damaged_newest_checkpoint_continues_from_the_last_undamaged_one(
    folder: Path, completed: Toy
) -> None:
    damage(folder / "training")
    damage(folder / "checkpoints/step_10")
    with pytest.warns(TtsMetaWarning, match=r"training: damaged checkpoint.* the run continues from .*step_9$"):
        model = run(folder)
    assert same_weights(model, completed) and kept(folder) == [6, 9, 10]


def test_a_run_without_an_undamaged_checkpoint_is_refused_in_one_line(folder: Path) -> None:
    for checkpoint in (folder / "training", *(folder / "checkpoints").iterdir()):
        damage(checkpoint)
    line = error_line(lambda: run(folder))
    assert line.startswith(f"{folder / 'training'}: damaged") and line.endswith("delete it to start again")


def test_a_run_resumes_from_a_named_checkpoint_and_removes_later_ones(folder: Path, completed: Toy) -> None:
    named = replace(KEEP, resume=folder / "checkpoints" / "step_6")
    with interrupted(1):
        run(folder, named)
    assert kept(folder) == [6, 7] and step_of(folder / "training") == 7
    # The same command, for example after a restart of the job, continues and does not start from step 6 again.
    updates: list[int] = []
    model = train(folder, replace(named, sample_every=1), lambda log, step: updates.append(step))
    assert updates == [8, 9, 10] and same_weights(model, completed)


def test_a_named_checkpoint_that_is_damaged_or_missing_is_one_line_that_lists_the_others(folder: Path) -> None:
    damage(folder / "checkpoints/step_9")
    for name, text in (("step_9", "damaged checkpoint"), ("step_7", "cannot be read")):
        line = error_line(lambda at=name: run(folder, replace(KEEP, resume=folder / "checkpoints" / at)))
        assert name in line and text in line
        assert line.endswith("resume from another checkpoint (checkpoints has step_6, step_9, step_10)")


def test_resume_takes_only_checkpoints_of_stages_that_are_not_finished(tmp_path: Path) -> None:
    results = {"aligner": "aligner.safetensors", "acoustic": ""}
    assert resumed_stage(None, tmp_path, results) is None
    assert resumed_stage(tmp_path / "acoustic/checkpoints/step_3", tmp_path, results) == "acoustic"
    assert resumed_stage(tmp_path / "aligner/training", tmp_path, results) == "aligner"
    (tmp_path / "aligner.safetensors").touch()
    line = error_line(lambda: resumed_stage(tmp_path / "aligner/training", tmp_path, results), UsageError)
    assert "the stage aligner of this run is finished" in line
    line = error_line(lambda: resumed_stage(tmp_path / "other/step_3", tmp_path, results), UsageError)
    assert "is not a checkpoint of the run" in line and "acoustic/checkpoints/step_300" in line


def test_a_validation_loss_that_is_not_finite_does_not_make_a_checkpoint_the_best(tmp_path: Path) -> None:
    losses = {3: 5.0, 6: float("nan"), 9: float("inf")}
    train(tmp_path, KEEP, lambda log, step: losses[step])
    assert kept(tmp_path) == [3, 9, 10]
