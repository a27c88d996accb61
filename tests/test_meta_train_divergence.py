"""Meta-training that diverges: which losses end a run, with which message, and without a result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from commands import run
from faults import error_line
from meta_train_runs import SHORT
from meta_train_runs import short_meta_recipe as recipe
from toy_domains import make_trainer, regression_task, spoiled

from tts_meta.config import dump_config
from tts_meta.meta import Diverged, MetaStepMetrics, MetaTrainer, Task
from tts_meta.train.divergence import MAX_LOSS_GROWTH, DivergenceCheck
from tts_meta.train.meta_train import meta_train


@pytest.mark.parametrize("name", ["sigma-reptile", "maml", "finetune-all"])
@pytest.mark.parametrize("meta_steps", [1, 4])
def test_a_huge_outer_learning_rate_ends_with_status_one_and_no_base(
    meta_corpus: Path, tmp_path: Path, name: str, meta_steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SHORT | {"outer_lr": 1e3}
    config = recipe(meta_corpus, tmp_path / "run", learner=name, meta_steps=meta_steps, settings=settings)
    path = tmp_path / "recipe.json"
    path.write_text(dump_config(config))
    result = run(capsys, "meta-train", path)
    message = result.err.splitlines()[-1]
    assert result.status == 1 and message.startswith("tts-meta: meta-training diverged: ")
    assert "no result was written; lower outer_lr, inner_lr" in message and "Traceback" not in result.err
    assert not (tmp_path / "run" / "base").exists()


def test_a_huge_inner_learning_rate_ends_the_run_without_a_base(meta_corpus: Path, tmp_path: Path) -> None:
    settings = SHORT | {"inner_lr": 10.0}
    config = recipe(meta_corpus, tmp_path / "run", learner="maml", settings=settings, meta_steps=3)
    assert "meta-training diverged: " in error_line(lambda: meta_train(config), Diverged)
    assert not (tmp_path / "run" / "base").exists()


def test_the_loss_limit_is_a_multiple_of_the_first_finite_loss() -> None:
    check = DivergenceCheck()
    check.check(1, math.nan, math.nan)
    assert check.first_loss is None
    check.check(2, -50.0, -40.0)
    assert check.first_loss == -50.0
    check.check(3, 50 * MAX_LOSS_GROWTH, -1e9)  # the log-density has no upper bound, so a low loss is no divergence
    message = error_line(lambda: check.check(4, 10.0, 50 * MAX_LOSS_GROWTH + 1), Diverged)
    assert message.startswith(
        "meta-training diverged: the query loss of meta-step 4 is 5001 nats, more than 100 times that of the first "
        "meta-step, -50; no result was written"
    )


@pytest.mark.parametrize(
    ("finite", "not_finite", "diverged"), [(0, 1, True), (0, 2, True), (5, 2, False), (5, 3, True), (1, 3, True)]
)
def test_a_run_whose_last_tasks_were_not_finite_has_diverged(finite: int, not_finite: int, diverged: bool) -> None:
    trainer, task = make_trainer("fomaml", {"inner_steps": 1, "inner_lr": 1e-3}), regression_task(0)
    for number in range(finite + not_finite):
        trainer.step([task if number < finite else spoiled(task, "support")])
    if diverged:
        message = error_line(lambda: DivergenceCheck().check_end(trainer, [task]), Diverged)
        assert message.startswith(
            f"meta-training diverged: no task was finite in the last {not_finite} meta-steps; no result"
        )
    else:
        DivergenceCheck().check_end(trainer, [task])


def test_a_resumed_run_compares_losses_with_the_first_loss_of_the_interrupted_run(
    meta_corpus: Path, tmp_path: Path
) -> None:
    metrics, config = [], recipe(meta_corpus, tmp_path / "run", learner="fomaml", meta_steps=3, save_every=1)
    meta_step = MetaTrainer.step

    def interrupt(trainer: MetaTrainer, tasks: Sequence[Task]) -> MetaStepMetrics:
        if len(metrics) == 2:
            raise KeyboardInterrupt
        metrics.append(meta_step(trainer, tasks))
        return metrics[-1]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaTrainer, "step", interrupt)
        meta_train(config)
    with pytest.MonkeyPatch.context() as patch:
        loss = 1.01 * MAX_LOSS_GROWTH * metrics[0].loss_before
        patch.setattr(MetaTrainer, "step", lambda *args: replace(meta_step(*args), loss_before=loss))
        message = error_line(lambda: meta_train(config), Diverged)
    assert f"that of the first meta-step, {metrics[0].loss_before:.4g};" in message
