"""The curvature of the acoustic likelihood, and gradients of log σ² with it on a tiny base."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from helpers import batch_of, in_double, similar_examples, tiny_base
from torch import Tensor

from tts_meta.adapt import AcousticTask, adaptable_modules
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import ADAPTATION_DENSITY, AcousticBatch
from tts_meta.corpus import Example
from tts_meta.meta import Budget, GradientLearner, Task, create_learner
from tts_meta.meta.solvers.gauss_newton import GaussNewtonProducts, curvature_products
from tts_meta.meta.solvers.inner_solvers import Lbfgs
from tts_meta.models.acoustic_output import AcousticOutput
from tts_meta.models.losses import acoustic_loss, outputs_with_curvature
from tts_meta.models.pretrained import Base


@pytest.fixture(scope="module")
def base() -> Base:
    return tiny_base()


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    return similar_examples(base)


def learner_of(base: Base, *modules: str, rank: int = 0, **settings: object) -> GradientLearner:
    partition = adaptable_modules(base).select(modules or ("*",))
    learner = create_learner("sigma-imaml", acoustic_domain(base, partition, rank), settings)
    assert isinstance(learner, GradientLearner)
    return learner


def task_of(base: Base, examples: list[Example], learner: GradientLearner) -> Task:
    support, query = (
        AcousticTask(base, part, learner.changing_modules).all_sentences() for part in (examples[:3], examples[3:])
    )
    return Task(support, query)


def test_the_curvature_is_the_second_derivative_of_the_loss_and_zero_in_padding(
    base: Base, examples: list[Example]
) -> None:
    model, batch = base.acoustic, batch_of(base, *(replace(e, speaker="ann") for e in examples[:3]))
    with torch.no_grad():
        output = model(batch)
    encoder = output.encoder_output
    leaves = [value.clone().requires_grad_() for value in (output.mel, encoder.log_durations, encoder.prosody)]
    changed = AcousticOutput(output.mel_before, leaves[0], replace(encoder, log_durations=leaves[1], prosody=leaves[2]))
    slopes = torch.autograd.grad(
        acoustic_loss(model, changed, batch, ADAPTATION_DENSITY).nll, leaves, create_graph=True
    )
    # Each slope depends on its own output only, so the gradient of the sum of slopes is the diagonal of the Hessian.
    seconds = torch.autograd.grad(torch.stack([slope.sum() for slope in slopes]).sum(), leaves)
    values, curvature = outputs_with_curvature(model, changed, batch, ADAPTATION_DENSITY)
    assert torch.equal(values.detach(), torch.cat([leaf.detach().flatten() for leaf in leaves]))
    torch.testing.assert_close(torch.cat([second.flatten() for second in seconds]), curvature, atol=1e-4, rtol=1e-3)
    assert 0 < int((curvature == 0).sum()) < len(curvature) / 2, "sentences of different lengths have padding"


@pytest.mark.parametrize("rank", [0, 2])
def test_the_outputs_of_batches_are_weighted_and_joined(base: Base, examples: list[Example], rank: int) -> None:
    learner = learner_of(base, rank=rank)
    batches = task_of(base, examples, learner).support
    batches = (batches[0], replace(batches[0], weight=2.5))
    shared, params = learner.shared.detach(), learner.adapted.detach()[None]
    first, second, both = (
        learner.likelihood.outputs(params, shared, [data])[0] for data in (batches[0], batches[1], batches)
    )
    assert torch.equal(both.values, torch.cat([first.values, second.values]))
    assert torch.equal(both.curvature, torch.cat([first.curvature, second.curvature]))
    torch.testing.assert_close(second.curvature, 2.5 * first.curvature)
    assert torch.equal(first.values, second.values)


def test_both_jacobians_agree_on_the_acoustic_model() -> None:
    base = tiny_base()
    learner = learner_of(base, rank=2).double()
    data = [task_of(base, in_double(similar_examples(base)), learner).support]
    params = learner.adapted.detach()[None]
    generator = torch.Generator().manual_seed(0)
    params = params + 0.01 * torch.randn(params.shape, generator=generator, dtype=params.dtype)
    vector = torch.randn(params.shape, generator=generator, dtype=params.dtype)
    products = []
    for kind in ("gauss-newton", "gauss-newton-exact"):
        source = curvature_products(kind, learner.likelihood, params, learner.shared.detach(), data)
        assert isinstance(source, GaussNewtonProducts)
        products.append(source.product(vector))
    torch.testing.assert_close(*products, atol=1e-6 * float(products[1].abs().max()), rtol=0)
    assert float((vector * products[0]).sum()) > 0


MODULES = ("decoder.output.bias", "postnet.output.weight", "postnet.output.bias")


def drawn_task(learner: GradientLearner, task: Task, copies: int) -> Task:
    """The task with mels from the model's own density at parameters drawn from the prior.

    Each sentence occurs `copies` times in the support. The decoder's frames come from the cache, so the new mels are
    targets only.
    """
    generator = torch.Generator().manual_seed(0)
    start = learner.adapted.detach()
    offset = torch.randn(start.shape, generator=generator, dtype=start.dtype)
    params = learner.layout.unflatten(start + learner.prior.standard_deviation() * offset)
    model = learner.domain.model

    def drawn(data: tuple[AcousticBatch, ...], count: int) -> tuple[AcousticBatch, ...]:
        batches = []
        for item in data * count:
            with torch.no_grad():
                mel = learner.domain.bind(params)(item.batch, item.cache, None).mel
            uniform = torch.rand(mel.shape, generator=generator, dtype=mel.dtype)
            noise = model.get_parameter("mel_log_scale").detach().exp() * torch.tan(0.5 * math.pi * uniform).log()
            batches.append(replace(item, batch=replace(item.batch, mel=mel + noise)))
        return tuple(batches)

    return Task(drawn(task.support, copies), drawn(task.query, 1))


def test_the_gradient_of_log_variances_is_that_of_the_whole_solve_for_three_modules() -> None:
    """Against finite differences of the query loss after L-BFGS to the minimum, for mels of the model's own density.

    The Gauss-Newton matrix leaves out the second derivatives of the outputs, so the agreement is not exact.
    """
    base = tiny_base()
    base.acoustic.double()
    settings = {"variance": 1e-5, "inner_solver": "l-bfgs", "inner_steps": 300, "cg_max_iters": 500, "tolerance": 1e-6}
    learner = learner_of(base, *MODULES, hessian="gauss-newton", **settings)
    learner.solver = Lbfgs(tolerance=1e-6)
    task = drawn_task(learner, task_of(base, in_double(similar_examples(base)), learner), copies=1)
    gradient = learner.meta_gradient([task])
    assert float(gradient.statistics["stationarity"]) < 0.01

    def query(change: Tensor) -> float:
        with torch.no_grad():
            learner.log_variances.add_(change)
            adapted = learner.adapt([task], Budget(300))
            learner.log_variances.sub_(change)
        return float(learner.score(adapted.params, [task.query])[0])

    step = 0.2
    directions = step * torch.eye(3, dtype=torch.float64)
    expected = torch.tensor([(query(d) - query(-d)) / (2 * step) for d in directions], dtype=torch.float64)
    assert float(expected.abs().min()) > 0.03
    torch.testing.assert_close(gradient.gradient["log_variances"], expected, rtol=0.05, atol=0)
