"""Meta-training of the acoustic model: all learners, what is learned, resumption, and mistakes in the recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from faults import error_line
from helpers import same_weights
from meta_train_runs import TRAINABLE, meta_recipe
from processes import under_torchrun
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tts_meta.config import dump_config
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, GradientLearner, MetaStepMetrics, MetaTrainer, Task
from tts_meta.models.pretrained import load_base
from tts_meta.models.run_record import RunRecord
from tts_meta.train.meta_train import meta_train

LEARNING = {"inner_steps": 3, "inner_lr": 1e-5, "variance": 0.1, "cg_max_iters": 2, "hessian": "difference"}
LEARNING |= {"outer_lr": 5e-3, "step_lr": 1e-7, "first_order_fraction": 0.0}


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_learner_meta_trains_on_speakers(
    meta_corpus: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adaptation lowers the query loss by 12%, and meta-training lowers the query loss before and after adaptation."""
    metrics, meta_step = list[MetaStepMetrics](), MetaTrainer.step
    monkeypatch.setattr(MetaTrainer, "step", lambda *args: metrics.append(meta_step(*args)) or metrics[-1])
    recipe = meta_recipe(meta_corpus, tmp_path / "run", learner=name, settings=LEARNING, meta_steps=2)
    before, after = load_base(meta_corpus / "base"), load_base(meta_train(recipe))
    first, last = metrics
    assert not first.skipped and not last.skipped
    learner = LEARNERS[name]
    assert issubclass(learner, GradientLearner)
    if name.startswith("finetune"):  # these learners do not adapt during meta-training
        assert all(step.loss_after == step.loss_before for step in metrics)
    else:
        max_ratio = {"all": 0.88, "head": 0.95, "context": 0.9999}[learner.adapts]
        assert all(step.loss_after < max_ratio * step.loss_before for step in metrics)
    assert last.loss_before < first.loss_before and last.loss_after < 0.98 * first.loss_after
    assert not same_weights(before.acoustic, after.acoustic)
    assert (after.prior is not None) == (learner.prior_kind == "shrinkage")
    assert after.learner is not None and (after.learner.learner, after.learner.meta_steps) == (name, 2)
    assert ("step_sizes" in after.learner.tensors) == (learner.step_size_kind != "fixed"), (
        "learned step sizes are saved"
    )
    if learner.step_size_kind != "fixed":
        assert bool((after.learner.tensors["step_sizes"] != LEARNING["inner_lr"]).any())
    if after.prior is not None:
        assert any(value != pytest.approx(0.1, rel=1e-6) for value in after.prior.variances.values())


def test_an_outer_learning_rate_of_zero_learns_the_variances_and_keeps_the_hash_of_the_base(
    meta_corpus: Path, tmp_path: Path
) -> None:
    recipe = meta_recipe(meta_corpus, tmp_path / "run")
    meta_train(recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"outer_lr": 0.0})}))
    before, after = load_base(meta_corpus / "base"), load_base(tmp_path / "run" / "base")
    assert after.hash == before.hash and after.prior is not None
    assert len(set(after.prior.variances.values())) > 1


@pytest.mark.parametrize("name", ["imaml", "sigma-imaml", "sigma-reptile"])
def test_gauss_newton_products_meta_train_speakers_without_negative_curvature(
    meta_corpus: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, meta_step = list[MetaStepMetrics](), MetaTrainer.step
    monkeypatch.setattr(MetaTrainer, "step", lambda *args: metrics.append(meta_step(*args)) or metrics[-1])
    settings = LEARNING | {"hessian": "gauss-newton", "cg_max_iters": 60, "tolerance": 0.05, "outer_lr": 0.0}
    changes = {"rank": 2, "learner": name, "meta_steps": 1, "settings": settings | {"variance": 1e-4}}
    meta_train(meta_recipe(meta_corpus, tmp_path / "run", **changes))
    (step,) = metrics
    assert not step.skipped and step.statistics["residual"] <= 0.05 and step.counts["linear_solver/converged"] == 2


def test_the_prior_records_the_rank_in_which_matrices_adapt(meta_corpus: Path, tmp_path: Path) -> None:
    settings = {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 3, "variance": 1e-3, "cg_max_iters": 3}
    changes = {"rank": 2, "meta_steps": 1, "settings": settings | {"outer_lr": 0.0}}
    prior = load_base(meta_train(meta_recipe(meta_corpus, tmp_path / "run", **changes))).prior
    assert prior is not None and prior.rank == 2 and len(set(prior.variances.values())) > 1
    assert same_weights(load_base(meta_corpus / "base").acoustic, load_base(tmp_path / "run" / "base").acoustic)
    with pytest.raises(UsageError, match="with a rank the base does not change"):
        meta_train(meta_recipe(meta_corpus, tmp_path / "other", rank=2))


def test_an_interrupted_run_resumes_to_the_same_base(
    meta_corpus: Path, meta_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta_step, trainers = MetaTrainer.step, []

    def interrupt(trainer: MetaTrainer, tasks: Sequence[Task]) -> MetaStepMetrics:
        if len(trainers) == 2:
            raise KeyboardInterrupt
        trainers.append(trainer)
        return meta_step(trainer, tasks)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaTrainer, "step", interrupt)
        meta_train(meta_recipe(meta_corpus, tmp_path / "run"))
    assert not (tmp_path / "run" / "base").exists()
    meta_train(meta_recipe(meta_corpus, tmp_path / "run"))
    assert files_of(tmp_path / "run" / "base") == files_of(meta_run / "base")


def test_a_run_out_of_time_writes_the_current_base_and_resumes(
    meta_corpus: Path, meta_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(TtsMetaError, match=r"the time is up; .*base holds the base so far, run the same command again"):
        meta_train(meta_recipe(meta_corpus, tmp_path / "run", max_hours=1e-9))
    assert load_base(tmp_path / "run" / "base").state["meta_steps"] == 0
    meta_train(meta_recipe(meta_corpus, tmp_path / "run"))
    assert files_of(tmp_path / "run" / "base") == files_of(meta_run / "base")


def files_of(folder: Path) -> dict[str, object]:
    """The content of each file by name; without the records of the calls, which have times."""
    files: dict[str, object] = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = json.loads((folder / "state.json").read_text())
    assert state.pop("runs")
    return files | {"state.json": state}


def test_two_processes_learn_the_same_base_as_one_process(meta_corpus: Path, meta_run: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(dump_config(meta_recipe(meta_corpus, tmp_path / "run")))
    code = f"""import helpers, torch
from tts_meta.config import load_config
from tts_meta.train.meta_train import MetaTrainConfig, meta_train
torch.set_num_threads(1)
meta_train(load_config({str(tmp_path / "recipe.json")!r}, MetaTrainConfig))
"""
    result = under_torchrun(code, tmp_path)
    assert result.returncode == 0, result.stderr
    bases = load_base(meta_run / "base"), load_base(tmp_path / "run" / "base")
    assert bases[0].prior is not None and bases[1].prior is not None
    assert bases[1].prior.variances == pytest.approx(bases[0].prior.variances, rel=1e-4)
    start, *ends = (
        torch.cat([parameter.flatten() for parameter in base.acoustic.parameters()])
        for base in (load_base(meta_corpus / "base"), *bases)
    )
    # Files hold weights in half precision. Rounding errors change few of these weights, and each by one unit.
    assert float((ends[0] != start).float().mean()) > 0.9 and float((ends[0] != ends[1]).float().mean()) < 0.01
    torch.testing.assert_close(ends[1], ends[0], atol=1e-3, rtol=1e-3)


def test_a_meta_trained_base_records_the_run_and_no_absolute_path(meta_corpus: Path, meta_run: Path) -> None:
    state = load_base(meta_run / "base").state
    record = RunRecord.model_validate(state["runs"]["meta-train"])
    assert record.data.utterances > 0 and record.calls[-1].ended is not None
    assert str(meta_corpus) not in json.dumps(state) and str(meta_run) not in json.dumps(state)


def test_every_sigma_and_the_residuals_of_the_solvers_are_logged(meta_run: Path) -> None:
    events = EventAccumulator(str(meta_run))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {f"meta/{name}" for name in ("query_before", "query_after", "residual", "stationarity", "skipped")} <= tags
    base = load_base(meta_run / "base")
    assert base.prior is not None and {f"sigma/{name}" for name in base.prior.variances} <= tags
    assert [event.step for event in events.Scalars("meta/query_after")] == [1, 2, 3]
    assert "figure/sigma" in events.Tags()["images"]


def test_a_finished_run_continues_with_more_meta_steps_and_not_with_fewer(meta_corpus: Path, tmp_path: Path) -> None:
    for steps in (1, 2):
        meta_train(meta_recipe(meta_corpus, tmp_path / "run", meta_steps=steps))
    learner = load_base(tmp_path / "run" / "base").learner
    assert learner is not None and learner.meta_steps == 2
    with pytest.raises(TtsMetaError, match=r"holds a run with another configuration \(meta_steps: 2, now 1\)"):
        meta_train(meta_recipe(meta_corpus, tmp_path / "run", meta_steps=1))


def test_a_folder_of_another_configuration_is_refused(meta_corpus: Path, meta_run: Path) -> None:
    with pytest.raises(
        TtsMetaError, match=r"holds a run with another configuration \(.*\); choose another output folder"
    ):
        meta_train(meta_recipe(meta_corpus, meta_run, seed=5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": "leo"}, "no learner 'leo'; learners: "),
        ({"modules": ["decoder.lstn*"]}, r"no module matches 'decoder.lstn\*'"),
    ],
)
def test_a_mistake_in_a_recipe_is_named_and_no_folder_is_created(
    meta_corpus: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        meta_train(meta_recipe(meta_corpus, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_speakers_with_too_few_utterances_for_the_support_set_are_refused(meta_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no speaker has 9 utterances"):
        meta_train(meta_recipe(meta_corpus, tmp_path / "run", support=8))


def test_speakers_of_one_sentence_cannot_make_an_episode(meta_corpus: Path, tmp_path: Path) -> None:
    lines = (meta_corpus / "manifest.jsonl").read_text().splitlines()
    first = {json.loads(line)["speaker"]: line for line in reversed(lines)}
    manifest = meta_corpus / "one_sentence.jsonl"
    manifest.write_text("\n".join(first.values()) + "\n")
    recipe = meta_recipe(meta_corpus, tmp_path / "run", manifest=manifest, support=1, query=1)
    assert error_line(lambda: meta_train(recipe), UsageError) == (
        "no speaker has 2 utterances (1 support + 1 query); the largest number is 1; ask for fewer utterances"
    )
    with pytest.raises(TtsMetaError, match="query"):
        meta_recipe(meta_corpus, tmp_path / "run", manifest=manifest, support=1, query=0)
