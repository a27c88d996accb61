"""History mixing: the decoder reads its own predictions in inner steps, as often as the setting says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import in_double, same_weights, similar_examples, tiny_base
from meta_train_runs import meta_recipe, write_meta_corpus
from torch import Tensor
from torch.nn import functional as F

from tts_meta.adapt import CloneSettings, adaptable_modules, clone_examples
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import AcousticTask, with_history_mixing
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import Budget, GradientLearner, Task, create_learner
from tts_meta.meta.estimators import implicit
from tts_meta.meta.learners.lbfgs_adaptation import ROUND
from tts_meta.models.decoder import Decoder, DecoderConfig
from tts_meta.models.pretrained import Base
from tts_meta.train.meta_train import meta_train

SETTINGS = CloneSettings(("decoder",), steps=4, learning_rate=1e-3)
STEPS, MELS = 400, 5


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


@pytest.fixture
def decoder() -> Decoder:
    """A decoder without dropout, so that only the mixing is random."""
    torch.manual_seed(0)
    return Decoder(DecoderConfig(reduction=2, prenet=8, channels=12, prenet_dropout=0.0), 6, MELS).double()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    context = torch.randn(2, STEPS, 6, generator=generator, dtype=torch.float64)
    return context, torch.randn(2, 2 * STEPS, MELS, generator=generator, dtype=torch.float64)


def history_of(decoder: Decoder, context: Tensor, frames: Tensor, share: float) -> Tensor:
    """The frames before each step that the prenet reads, `(B, STEPS, MELS)`."""
    seen = list[Tensor]()
    handle = decoder.prenet[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    generator = torch.Generator().manual_seed(2)
    decoder(context, decoder.mix_history(context, frames, generator, share), generator)
    handle.remove()
    return seen[-1]


def shifted(frames: Tensor) -> Tensor:
    """The last frame of each step, one step later, as the teacher-forced pass reads it."""
    return F.pad(frames.reshape(2, STEPS, 2, MELS)[:, :-1, -1], (0, 0, 1, 0))


def test_each_step_reads_a_recorded_or_a_predicted_frame_with_the_probability(
    decoder: Decoder, inputs: tuple[Tensor, Tensor]
) -> None:
    context, frames = inputs
    recorded, predicted = shifted(frames), shifted(decoder(context, frames))
    for share in (0.0, 0.3, 1.0):
        history = history_of(decoder, context, frames, share)[:, 1:]
        is_recorded = (history == recorded[:, 1:]).all(-1)
        is_predicted = torch.isclose(history, predicted[:, 1:], atol=1e-12, rtol=0).all(-1)
        assert bool((is_recorded ^ is_predicted).all())
        assert float(is_predicted.double().mean()) == pytest.approx(share, abs=0.07)


def test_the_gradient_does_not_pass_through_the_predictions(decoder: Decoder, inputs: tuple[Tensor, Tensor]) -> None:
    context, frames = inputs
    weight = decoder.output.weight

    def gradient(history: Tensor) -> Tensor:
        return torch.autograd.grad(decoder(context, history).square().sum(), weight)[0]

    with torch.no_grad():
        predicted = decoder(context, frames)
    mixed = decoder.mix_history(context, frames, torch.Generator(), 1.0)
    torch.testing.assert_close(gradient(mixed), gradient(predicted))
    assert not torch.allclose(gradient(mixed), gradient(frames))


def test_the_setting_changes_voices_and_the_same_seed_gives_the_same_voice(base: Base, examples: list[Example]) -> None:
    plain, mixed, again = (
        clone_examples(base, examples, replace(SETTINGS, history_mixing=share)) for share in (0.0, 0.5, 0.5)
    )
    assert same_weights(mixed.deltas, again.deltas)
    assert not same_weights(mixed.deltas, plain.deltas)


def test_only_inner_steps_are_mixed(base: Base, examples: list[Example]) -> None:
    task = AcousticTask(base, examples, ("decoder",)).task(None, 800, 0, history_mixing=0.5)
    assert task.draw is not None
    assert task.draw(0).history_mixing == 0.5
    assert {batch.history_mixing for batch in task.support} == {0.0}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_probability_out_of_range_is_refused(base: Base, examples: list[Example], share: float) -> None:
    with pytest.raises(UsageError, match="history_mixing must be"):
        clone_examples(base, examples, replace(SETTINGS, history_mixing=share))


def test_fixed_predictions_give_the_loss_an_exact_gradient(examples: list[Example]) -> None:
    """The directional derivative of the loss equals that of its gradient only if the predictions are fixed."""
    base = tiny_base()
    base.acoustic.double()
    examples = in_double(examples)
    domain = acoustic_domain(base, adaptable_modules(base).select(["decoder"]))
    assert domain.fix_inputs is not None
    names = [name for module in domain.modules for name in module.parameters]
    theta = {name: base.acoustic.get_parameter(name).detach() for name in names}
    generator = torch.Generator().manual_seed(3)
    direction = {name: torch.randn(v.shape, generator=generator, dtype=v.dtype) for name, v in theta.items()}
    support = AcousticTask(base, examples, ("decoder",)).all_sentences()
    mixed = with_history_mixing(support, 1.0)
    fixed = domain.fix_inputs(domain.bind(theta), mixed)
    assert {batch.history is None for batch in fixed} == {False}

    def slopes(data: object) -> tuple[float, float]:
        leaves = {name: value.clone().requires_grad_() for name, value in theta.items()}
        gradient = torch.autograd.grad(domain.nll(leaves, data), list(leaves.values()))
        exact = sum(float((g * d).sum()) for g, d in zip(gradient, direction.values(), strict=True))
        ends = [
            float(domain.nll({name: theta[name] + sign * 1e-5 * direction[name] for name in theta}, data))
            for sign in (1, -1)
        ]
        return exact, (ends[0] - ends[1]) / 2e-5

    with torch.no_grad():
        torch.testing.assert_close(domain.nll(theta, fixed), domain.nll(theta, mixed))
    analytic, numeric = slopes(fixed)
    assert analytic == pytest.approx(numeric, rel=1e-4)
    analytic, numeric = slopes(mixed)
    assert analytic != pytest.approx(numeric, rel=1e-2), "predictions that change have no gradient"


def test_batches_without_mixing_have_no_predictions_to_fix(base: Base, examples: list[Example]) -> None:
    domain = acoustic_domain(base, adaptable_modules(base).select(["decoder"]))
    batches = AcousticTask(base, examples, ("decoder",)).all_segments(0)
    assert domain.fix_inputs is not None
    assert domain.fix_inputs(domain.bind({}), batches) == batches


def test_meta_training_mixes_support_and_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Task]()
    solve = implicit.solve_detached

    def watch(likelihood: Any, meta: Any, tasks: Sequence[Task], inner: Any) -> Tensor:
        seen.extend(tasks)
        return solve(likelihood, meta, tasks, inner)

    monkeypatch.setattr("tts_meta.meta.estimators.implicit.solve_detached", watch)
    settings = {"inner_solver": "l-bfgs", "inner_steps": 2, "variance": 0.01, "cg_max_iters": 2}
    recipe = meta_recipe(
        write_meta_corpus(tmp_path),
        tmp_path / "run",
        learner="sigma-imaml",
        settings=settings,
        meta_steps=1,
        history_mixing=0.5,
    )
    meta_train(recipe)
    assert seen
    for task in seen:
        assert {batch.history_mixing for batch in (*task.support, *task.query)} == {0.5}
        assert {batch.history is None for batch in task.support} == {False}


def test_lbfgs_computes_the_predictions_anew_in_each_round(base: Base, examples: list[Example]) -> None:
    learner = create_learner(
        "sigma-imaml",
        acoustic_domain(base, adaptable_modules(base).select(["decoder"])),
        {"inner_solver": "l-bfgs", "variance": 1e-3, "hessian": "gauss-newton"},
    )
    assert isinstance(learner, GradientLearner)
    support, fixed, seen = AcousticTask(base, examples, ("decoder",)).all_sentences(), list[Task](), list[int]()
    fix = learner.likelihood.with_fixed_inputs

    def watch(*arguments: Any) -> list[Task]:
        fixed.extend(fix(*arguments))
        return fixed[-1:]

    for share, rounds in ((0.5, 2), (0.0, 1)):
        fixed.clear()
        seen.clear()
        learner.likelihood.__dict__["with_fixed_inputs"] = watch
        adapted = learner.adapt(
            [Task(with_history_mixing(support, share))], Budget(ROUND + 3), lambda progress: seen.append(progress.step)
        )
        assert len(fixed) == rounds
        assert seen == list(range(ROUND + 4)) and adapted.steps == (ROUND + 3,) and len(adapted.losses) == ROUND + 3
        assert float(adapted.losses[-1, 0]) < float(adapted.losses[0, 0])
    histories = [batch.history for batch in fixed[0].support]
    assert histories == [None] * len(histories)
