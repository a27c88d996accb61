"""The curvature of the acoustic likelihood, and gradients of log σ² with it on a tiny base."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import batch_of, similar_examples, tiny_base
from torch import Tensor

from tts_meta.adapt import AcousticTask, adaptable_modules
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import AcousticBatch
from tts_meta.corpus import Example
from tts_meta.meta import ConjugateGradient, GradientLearner, Implicit, MetaParams, Task, create_learner
from tts_meta.meta.solvers.gauss_newton import GaussNewtonProducts, curvature_products
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


def test_the_curvature_is_the_squared_slope_of_the_laplace_density_and_zero_in_padding(
    base: Base, examples: list[Example]
) -> None:
    """|dℓ/dx| of a Laplace density is 1/b everywhere, so its square has the mean 1/b², the Fisher information."""
    model, batch = base.acoustic, batch_of(base, *(replace(e, speaker="ann") for e in examples[:3]))
    with torch.no_grad():
        output = model(batch)
    encoder = output.encoder_output
    leaves = [value.clone().requires_grad_() for value in (output.mel, encoder.log_durations, encoder.prosody)]
    changed = AcousticOutput(output.mel_before, leaves[0], replace(encoder, log_durations=leaves[1], prosody=leaves[2]))
    slopes = torch.autograd.grad(acoustic_loss(model, changed, batch).nll, leaves)
    values, curvature = outputs_with_curvature(model, changed, batch)
    assert torch.equal(values.detach(), torch.cat([leaf.detach().flatten() for leaf in leaves]))
    torch.testing.assert_close(torch.cat([slope.flatten() for slope in slopes]).square(), curvature)
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


def in_double(examples: list[Example]) -> list[Example]:
    return [replace(example, mel=example.mel.double()) for example in examples]


MODULES = ("postnet.convs.0.conv.bias", "postnet.convs.1.conv.bias", "postnet.output.bias")


def drawn_task(learner: GradientLearner, task: Task, copies: int) -> Task:
    """The task with mels from the model's own Laplace density at parameters drawn from the prior.

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
            uniform = torch.rand(mel.shape, generator=generator, dtype=mel.dtype) - 0.5
            scale = model.get_parameter("mel_log_scale").detach().exp()
            noise = -scale * uniform.sign() * torch.log1p(-2 * uniform.abs())
            batches.append(replace(item, batch=replace(item.batch, mel=mel + noise)))
        return tuple(batches)

    return Task(drawn(task.support, copies), drawn(task.query, 1))


class MapSolver:
    """δ at the minimum of the inner objective, with the corners of |r| / b rounded over a tenth of b.

    L-BFGS runs in coordinates in which the Gauss-Newton matrix plus the prior precision is the identity.
    """

    def __init__(self, learner: GradientLearner, task: Task) -> None:
        self.learner, self.support = learner, [task.support]
        self.mels = [(item.batch.mel, item.batch.durations.numel()) for item in task.support]
        self.start, self.shared = learner.adapted.detach(), learner.shared.detach()
        products = curvature_products("gauss-newton", learner.likelihood, self.start[None], self.shared, self.support)
        rows = torch.eye(len(self.start), dtype=self.start.dtype).unbind(0)
        self.curvature = torch.cat([products.product(row[None]) for row in rows])

    def objective(self, delta: Tensor, precision: Tensor) -> Tensor:
        outputs = self.learner.likelihood.outputs((self.start + delta)[None], self.shared, self.support)[0]
        total, first = 0.5 * (precision * delta.square()).sum(), 0
        for mel, symbols in self.mels:  # the durations and the prosody of a batch do not depend on the postnet
            part = slice(first, first + mel.numel())
            residual = (outputs.values[part] - mel.flatten()) * outputs.curvature[part].sqrt()
            total = total + (residual.square() + 0.1**2).sqrt().sum()
            first = part.stop + 4 * symbols
        return total

    def __call__(self, log_variances: Tensor) -> Tensor:
        precision = self.learner.layout.expand_modules(torch.exp(-log_variances))
        factor = torch.linalg.cholesky(self.curvature + torch.diag(precision))
        point = torch.zeros_like(self.start).requires_grad_()

        def delta() -> Tensor:
            return torch.linalg.solve_triangular(factor.mT, point[:, None], upper=True)[:, 0]

        def closure() -> Tensor:
            point.grad = None
            value = self.objective(delta(), precision)
            value.backward()
            return value

        torch.optim.LBFGS(
            [point], max_iter=100, history_size=30, tolerance_grad=1e-3, line_search_fn="strong_wolfe"
        ).step(closure)
        assert point.grad is not None and float(point.grad.norm()) < 0.02
        return delta().detach()


def test_the_gradient_of_log_variances_agrees_with_finite_differences_of_the_whole_solve_of_three_modules() -> None:
    """Within a third, for mels drawn from the model's own density.

    A finite difference of Laplace solves measures the density of the residuals at the corners of this data set, and
    the Fisher information is its mean under the model. They agree only in the limit of many frames, if the residuals
    have the Laplace density around zero. The prior moves the residuals away from zero, where the density is lower, so
    the finite differences are larger here (by 16 to 40 %).
    """
    base = tiny_base()
    base.acoustic.double()
    learner = learner_of(base, *MODULES, variance=1e-3)
    task = drawn_task(learner, task_of(base, in_double(similar_examples(base)), learner), copies=2)
    solve, start, shared = MapSolver(learner, task), learner.adapted.detach(), learner.shared.detach()
    log_variances = learner.log_variances.detach()
    meta = MetaParams(start, shared, log_variances, learner.step_sizes)
    estimator = Implicit(ConjugateGradient(500, 1e-6), hessian="gauss-newton")
    gradient = estimator.at(learner.likelihood, meta, [task], solve(log_variances)[None]).gradient["log_variances"]

    def query(log_variances: Tensor) -> Tensor:
        return learner.likelihood.nll((start + solve(log_variances))[None], shared, [task.query])[0].detach()

    step = 0.2
    directions = step * torch.eye(3, dtype=torch.float64)
    expected = torch.stack([query(log_variances + d) - query(log_variances - d) for d in directions]) / (2 * step)
    assert float(expected.abs().min()) > 0.1
    torch.testing.assert_close(gradient, expected, rtol=1 / 3, atol=0)
