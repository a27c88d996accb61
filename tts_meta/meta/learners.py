"""Learners by name. Each is a choice of parts, not a class of its own: to add one, add an entry.

What adapts, its prior, how the solve is differentiated and which step sizes are learned; numbers are `LearnerSettings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from tts_meta.config import Section
from tts_meta.errors import UsageError
from tts_meta.meta import linear
from tts_meta.meta.hvp import HessianName
from tts_meta.meta.inner_lr import StepSizeName
from tts_meta.meta.meta_gradients import (
    Implicit,
    JointTraining,
    MetaGradientEstimator,
    Reptile,
    ShrinkageReptile,
    Unrolled,
)
from tts_meta.meta.prior import HyperpriorName


class LearnerSettings(Section):
    """Numbers of a learner; those that its preset does not use are ignored."""

    inner_solver: Literal["gd", "adam"] = "gd"
    """Solver of the inner loop, proximal where there is a prior."""
    inner_steps: int = Field(default=5, ge=0)
    """Inner steps while meta-training."""
    inner_lr: float = Field(default=0.01, gt=0)
    """Inner step size η, the first one where it is learned."""
    inner_lr_final_fraction: float = Field(default=1.0, ge=0, le=1)
    """The part of η that it falls to, in a line, over an inner loop: so what each step draws anew averages out."""
    scale_lr_by_sigma: bool = False
    """Whether η counts in each module's σ: what strays far takes long steps. For learners with implicit gradients."""
    variance: float = Field(default=1.0, gt=0)
    """σ² of every module: fixed for `imaml`, the start for the σ-learners."""
    outer_solver: Literal["adam", "sgd"] = "adam"
    """Optimiser of the meta-parameters."""
    outer_lr: float = Field(default=1e-3, ge=0)
    """Its step size for φ and the shared parameters; 0 keeps them."""
    variance_lr: float = Field(default=0.05, ge=0)
    """Its step size for log σ²."""
    step_lr: float = Field(default=1e-3, ge=0)
    """Its step size for learned inner step sizes."""
    final_rate: float = Field(default=1.0, ge=0, le=1)
    """Outer step sizes at the last meta-step, as a part of the first; cosine in between."""
    clip: float = Field(default=0.0, ge=0)
    """Largest norm of the gradient of φ and the shared parameters together; 0 does not clip."""
    hyperprior: HyperpriorName = "flat"
    """Prior of each σ."""
    hyperprior_scale: float = Field(default=1.0, gt=0)
    """Its scale."""
    linear_solver: Literal["cg", "neumann"] = "cg"
    """Solver of implicit gradients."""
    cg_max_iters: int = Field(default=50, gt=0)
    """Its most Hessian products a meta-step."""
    tolerance: float = Field(default=1e-3, gt=0)
    """Its largest relative residual."""
    hessian: HessianName = "exact"
    """Hessian products by double backward, or by differences where a layer has none."""
    centred: bool = False
    """Implicit gradients in the centred form."""
    annealed_part: float = Field(default=0.3, ge=0, le=1)
    """Part of meta-training in which `maml++` moves from all steps' losses to the last one's."""
    first_order_part: float = Field(default=0.2, ge=0, le=1)
    """Part of meta-training that `maml++` begins with first-order gradients."""
    hyper_rate: float = Field(default=0.02, ge=0, lt=1)
    """How fast `alpha-maml` moves the outer step size, as a part of itself per meta-step."""


EstimatorFactory = Callable[[LearnerSettings, float], MetaGradientEstimator]
"""The rule at a point of meta-training, from 0 at its start to 1 at its end."""


@dataclass(frozen=True)
class Preset:
    """A learner's parts.

    adapts: every module, the head's, or the context's. prior: of what adapts. learns_centre: whether φ of what adapts
    is meta-learned, or stays where it starts. learns_outer_rate: hypergradient of the outer step size.
    """

    source: str
    rule: EstimatorFactory
    adapts: Literal["all", "head", "context"] = "all"
    prior: Literal["none", "isotropic", "shrinkage"] = "none"
    step_sizes: StepSizeName = "fixed"
    learns_centre: bool = True
    learns_outer_rate: bool = False


def _implicit(settings: LearnerSettings, progress: float) -> Implicit:
    solver = linear.SOLVERS[settings.linear_solver](settings.cg_max_iters, settings.tolerance)
    return Implicit(solver, settings.centred, settings.hessian)


def _maml_plus_plus(settings: LearnerSettings, progress: float) -> Unrolled:
    """Weights of the steps' losses go from equal to the last one's alone (Antoniou et al. 2019, section 4)."""
    order = 1 if progress < settings.first_order_part else 2
    if progress >= settings.annealed_part or settings.inner_steps < 2:
        return Unrolled(order)
    others = (1 - progress / settings.annealed_part) / settings.inner_steps
    return Unrolled(order, (*[others] * (settings.inner_steps - 1), 1 - others * (settings.inner_steps - 1)))


def _always(rule: MetaGradientEstimator) -> EstimatorFactory:
    return lambda settings, progress: rule


LEARNERS: Mapping[str, Preset] = {
    "sigma-maml": Preset("Chen et al. 2020, section 3", _always(Unrolled()), prior="shrinkage"),
    "sigma-imaml": Preset("Chen et al. 2020, section 4.1", _implicit, prior="shrinkage"),
    "sigma-reptile": Preset(
        "Chen et al. 2020, section 4.2", lambda s, p: ShrinkageReptile(_implicit(s, p)), prior="shrinkage"
    ),
    "maml": Preset("Finn, Abbeel, Levine 2017", _always(Unrolled())),
    "fomaml": Preset("Finn, Abbeel, Levine 2017, section 5.2", _always(Unrolled(order=1))),
    "anil": Preset("Raghu et al. 2020", _always(Unrolled()), adapts="head"),
    "reptile": Preset("Nichol, Achiam, Schulman 2018", _always(Reptile())),
    "imaml": Preset("Rajeswaran et al. 2019", _implicit, prior="isotropic"),
    "meta-sgd": Preset("Li et al. 2017", _always(Unrolled()), step_sizes="parameter"),
    "alpha-maml": Preset("Behl et al. 2019", _always(Unrolled()), step_sizes="scalar", learns_outer_rate=True),
    "maml++": Preset("Antoniou, Edwards, Storkey 2019", _maml_plus_plus, step_sizes="module-step"),
    "cavia": Preset("Zintgraf et al. 2019", _always(Unrolled()), adapts="context", learns_centre=False),
    "finetune-all": Preset("pretraining, then every module adapts", _always(JointTraining())),
    "finetune-embedding": Preset("pretraining, then the context adapts", _always(JointTraining()), adapts="context"),
}
"""Every learner, by the name that recipes use."""


def preset_of(name: str) -> Preset:
    """Look a learner up. Raises UsageError naming those there are."""
    if name not in LEARNERS:
        raise UsageError(f"no learner '{name}'; learners: {', '.join(LEARNERS)}")
    return LEARNERS[name]
