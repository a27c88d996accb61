"""Inner steps in bfloat16: what runs under autocast, and how close the adapted model is to that of float32."""

from __future__ import annotations

import copy
import statistics
from pathlib import Path

import pytest
import torch
from faults import error_line
from helpers import same_weights, similar_examples
from meta_train_runs import meta_recipe, short_meta_recipe
from torch.func import functional_call

from tts_meta.adapt import AcousticTask, acoustic_nll, adaptable_modules
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import Precision
from tts_meta.corpus import collate
from tts_meta.errors import UsageError
from tts_meta.meta import AdaptProgress, Budget, Task, create_learner
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base, load_base
from tts_meta.train.meta_train import meta_train

TOLERANCE = 0.02
"""Difference of the query losses after adaptation, relative to the decrease of the loss by adaptation in float32."""


def task_of(base: Base, precision: Precision) -> Task:
    examples, names = similar_examples(base), adaptable_modules(base).names
    query = AcousticTask(base, examples[3:], names).all_sentences()
    return AcousticTask(base, examples[:3], names).task(query, 60, 0, "new", precision)


def test_only_the_drawn_data_of_inner_steps_has_the_lower_precision(base: Base) -> None:
    task, single = task_of(base, "bfloat16"), task_of(base, "float32")
    nll = acoustic_nll(base.acoustic)
    with torch.no_grad():
        for step in range(3):
            lower, full = (nll(base.acoustic, t.at(step)) for t in (task, single))
            assert lower.dtype == torch.float32 and lower != full
            assert float(lower) == pytest.approx(float(full), rel=1e-2)
        assert torch.equal(nll(base.acoustic, task.support), nll(base.acoustic, single.support))
        assert torch.equal(nll(base.acoustic, task.query), nll(base.acoustic, single.query))


def test_the_loss_in_float32_is_that_of_the_model_without_autocast(base: Base) -> None:
    examples = similar_examples(base)
    data = AcousticTask(base, examples, ["encoder"]).all_sentences()
    batch = collate(examples, {"new": -1}, base.acoustic.reduction)
    with torch.no_grad():
        expected = acoustic_loss(base.acoustic, base.acoustic(batch), batch).nll
        assert torch.equal(acoustic_nll(base.acoustic)(base.acoustic, data), expected)


def test_the_query_loss_after_adaptation_agrees_with_float32_within_two_percent_of_its_decrease(base: Base) -> None:
    settings = {"inner_solver": "adam", "inner_lr": 3e-3, "variance": 0.1}
    learner = create_learner("sigma-reptile", acoustic_domain(base, adaptable_modules(base)), settings)
    losses = {}
    for precision in ("float32", "bfloat16"):
        task, seen = task_of(base, precision), list[float]()

        def score(progress: AdaptProgress, task: Task = task, seen: list[float] = seen) -> None:
            assert {value.dtype for value in progress.params.values()} == {torch.float32}
            seen.append(float(learner.score(progress.params, [task.query])))

        learner.adapt([task], Budget(30), score)
        losses[precision] = seen
    before, after = losses["float32"][0], losses["float32"][-1]
    assert losses["bfloat16"][0] == before and after < 0.8 * before
    assert 0 < abs(losses["bfloat16"][-1] - after) < TOLERANCE * (before - after)


def test_the_gradient_of_an_inner_step_is_in_float32_and_close_to_that_of_float32(base: Base) -> None:
    """For most steps: in some draws, a small change of a value changes the gradient of this random base by more."""
    nll, differences = acoustic_nll(base.acoustic), list[float]()
    parameters = [parameter.requires_grad_() for parameter in copy.deepcopy(base.acoustic).parameters()]
    params = dict(zip((name for name, _ in base.acoustic.named_parameters()), parameters, strict=True))
    tasks = [task_of(base, precision) for precision in ("float32", "bfloat16")]
    for step in range(8):
        gradients = []
        for task in tasks:
            loss = nll(lambda *given: functional_call(base.acoustic, params, given), task.at(step))
            found = torch.autograd.grad(loss, parameters, materialize_grads=True)
            assert all(gradient.dtype == torch.float32 for gradient in found)
            gradients.append(torch.cat([gradient.flatten() for gradient in found]))
        full, lower = gradients
        differences.append(float((full - lower).norm() / full.norm()))
    assert statistics.median(differences) < 0.2


def test_a_recipe_sets_the_precision_of_the_inner_steps(meta_corpus: Path, meta_run: Path, tmp_path: Path) -> None:
    lower = load_base(meta_train(meta_recipe(meta_corpus, tmp_path / "run", precision="bfloat16")))
    full = load_base(meta_run / "base")
    assert not same_weights(lower.acoustic, full.acoustic) and lower.prior is not None and full.prior is not None
    assert lower.prior.variances == pytest.approx(full.prior.variances, rel=0.2)


def test_the_vocoder_has_no_bfloat16(meta_corpus: Path, tmp_path: Path) -> None:
    changes = {"modules": ["vocoder.*"], "vocoder": str(meta_corpus / "vocoder"), "precision": "bfloat16"}
    config = short_meta_recipe(meta_corpus, tmp_path / "run", **changes)
    message = error_line(lambda: meta_train(config), UsageError)
    assert message == "precision: bfloat16 is only for the acoustic model; remove it from the vocoder's recipe"
