"""Measures implicit gradients of log σ² on speech: Hessian or Gauss-Newton products, with and without preconditioner.

`python recipes/meta_cost/curvature.py MANIFEST SPEAKER...` adapts the shipped base to the three shortest sentences of
each speaker with its prior, and solves the linear system of σ-iMAML at the adapted parameters.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Episode, Manifest, Utterance
from tts_meta.meta import Adapted, Budget, ConjugateGradient, GradientLearner, Task, create_learner
from tts_meta.meta.solvers.gauss_newton import HessianKind, curvature_products
from tts_meta.meta.solvers.linear_solvers import Matvec
from tts_meta.models.pretrained import Base, load_base
from tts_meta.train.meta_targets import AcousticTarget
from tts_meta.train.meta_train import ACOUSTIC_ROLES

SENTENCES, STEPS, PROBES = 3, 60, 4
TOLERANCE, REFERENCE, MOST = 0.05, 0.003, 400
"""Residual of the solved rows, residual of the reference, and the largest number of products."""
PRODUCTS: dict[HessianKind, tuple[int, ...]] = {"difference": (3, 8), "gauss-newton": (3, 8, 20)}
"""Numbers of products of the rows that are not solved."""


@dataclass
class Recorded:
    """Products of a solve from its start, computed once: solves of the same system by more steps repeat them."""

    matvec: Matvec
    products: list[Tensor] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def solve(self, b: Tensor, steps: int, tolerance: float, preconditioner: Tensor | None = None):
        """Return the solution of the first `steps` products."""
        position = 0

        def product(vector: Tensor) -> Tensor:
            nonlocal position
            if position == len(self.products):
                started = time.process_time()
                self.products.append(self.matvec(vector))
                self.seconds.append(time.process_time() - started)
            position += 1
            return self.products[position - 1]

        return ConjugateGradient(steps, tolerance)(product, b, preconditioner)


class System:
    """The linear system (S H S + I) u = S g of one task at its adapted parameters.

    S is the diagonal matrix of σ, multiplied by the square root of the scale of the prior.
    """

    def __init__(self, learner: GradientLearner, task: Task, adapted: Adapted) -> None:
        self.likelihood, self.shared, self.support = learner.likelihood, learner.shared.detach(), [task.support]
        self.params = learner.layout.flatten(adapted.params)
        self.sigma = learner.prior_scale**0.5 * learner.prior.standard_deviation().to(self.params)
        self.epsilon = (self.params - learner.adapted.detach()) / self.sigma
        leaf = self.params.clone().requires_grad_()
        query = self.likelihood.nll(leaf, self.shared, [task.query]).sum()
        self.right = self.sigma * torch.autograd.grad(query, leaf)[0]

    def recorded(self, kind: HessianKind) -> Recorded:
        """Return the products of the system's matrix with this kind of curvature."""
        curvature = curvature_products(kind, self.likelihood, self.params, self.shared, self.support)
        return Recorded(lambda u: torch.addcmul(u, self.sigma, curvature.product(self.sigma * u)))

    def gradient(self, solution: Tensor) -> Tensor:
        """Return the gradient of log σ² of each module, `(M,)`."""
        return self.likelihood.adapted.sum_modules(solution * self.epsilon)[0]

    def preconditioner(self) -> Tensor:
        """Return 1 / (1 + σ² diag Jᵀ Λ J), with the diagonal from the mean of (Jᵀ Λ^½ ξ)² over random signs ξ."""
        leaf, generator = self.params.clone().requires_grad_(), torch.Generator().manual_seed(0)
        outputs = self.likelihood.outputs(leaf, self.shared, self.support)[0]
        total = torch.zeros_like(leaf)
        for _ in range(PROBES):
            signs = 2 * torch.randint(0, 2, outputs.values.shape, generator=generator) - 1
            image = signs * outputs.curvature.detach().sqrt()
            total += torch.autograd.grad(outputs.values, leaf, image, retain_graph=True)[0].square()
        return 1 / (1 + self.sigma.square() * total / PROBES)


def rank_correlation(first: Tensor, second: Tensor) -> float:
    ranks = torch.stack([value.argsort().argsort().double() for value in (first, second)])
    return float(torch.corrcoef(ranks)[0, 1])


def measure(system: System) -> None:
    """Print a row for each kind of product and number of products."""
    recorded = {kind: system.recorded(kind) for kind in PRODUCTS}
    b, gauss_newton = system.right, recorded["gauss-newton"]
    reference = system.gradient(gauss_newton.solve(b, MOST, REFERENCE).value)

    def row(name: str, value: Tensor, products: int, residual: float, seconds: float) -> None:
        gradient = system.gradient(value)
        signs = float((gradient.sign() == reference.sign()).double().mean())
        cells = [f"{signs:.2f}", f"{rank_correlation(gradient, reference):.2f}"]
        cells += [f"{float(gradient.norm() / reference.norm()):.2f}", f"{products * seconds:.1f}"]
        print(f"| {name} | {products} | {residual:.3f} | {' | '.join(cells)} |")

    row("no product", b, 0, 1.0, 0.0)
    for kind, counts in PRODUCTS.items():
        for count in counts:
            solution = recorded[kind].solve(b, count, TOLERANCE)
            seconds = statistics.median(recorded[kind].seconds)
            row(kind, solution.value, solution.steps, float(solution.residual), seconds)
    for name, preconditioner in (("solved", None), ("solved, diagonal preconditioner", system.preconditioner())):
        source = gauss_newton if preconditioner is None else system.recorded("gauss-newton")
        solution = source.solve(b, MOST, TOLERANCE, preconditioner)
        seconds = statistics.median(source.seconds)
        row(f"gauss-newton, {name}", solution.value, solution.steps, float(solution.residual), seconds)


def task_of(target: AcousticTarget, utterances: Sequence[Utterance], modules: Sequence[str]) -> Task:
    """Return the task of the shortest sentences; the next ones are its query."""
    chosen = sorted(utterances, key=lambda utterance: (utterance.seconds, utterance.id))[: 2 * SENTENCES]
    support, query = tuple(chosen[:SENTENCES]), tuple(chosen[SENTENCES:])
    seconds = sum(utterance.seconds for utterance in support)
    print(f"\n{chosen[0].speaker}, {SENTENCES} sentences, {seconds:.0f} s\n")
    task = target.task(Episode(chosen[0].speaker, support, query), modules, 0)
    assert task is not None, "no recording matches its transcript"
    return task


def shipped_learner(base: Base, folder: str) -> tuple[AcousticTarget, GradientLearner]:
    """Return the learner of the base, with the target of its tasks."""
    saved = base.learner
    assert saved is not None, "the base has no learner"
    cache = FeatureCache(folder, base.config.audio)
    target = AcousticTarget(base, cache, saved.modules, ACOUSTIC_ROLES, saved.rank, frames_per_step=1600)
    learner = create_learner("sigma-imaml", target.domain("sigma-imaml"), saved.settings)
    assert isinstance(learner, GradientLearner)
    learner.load_stored(dict(saved.tensors))
    return target, learner


def main() -> None:
    manifest, speakers = sys.argv[1], sys.argv[2:]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        target, learner = shipped_learner(load_base(), folder)
        for speaker in speakers:
            usable = [item for item in Manifest.load(manifest) if item.speaker == speaker and 2 <= item.seconds <= 10]
            task = task_of(target, usable, learner.changing_modules)
            print("| curvature | products | residual | signs | rank correlation | norm | CPU s |")
            print("|---|---:|---:|---:|---:|---:|---:|")
            measure(System(learner, task, learner.adapt([task], Budget(STEPS))))


if __name__ == "__main__":
    main()
