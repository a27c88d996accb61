"""`LEARNERS`: the meta-learners by name. Each learner is a combination of parts; a new learner is a new entry.

The parts are the modules that adapt, their prior, the estimator of the meta-gradient, and the step sizes that are
learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tts_meta.errors import UsageError
from tts_meta.meta.implicit import Implicit
from tts_meta.meta.inner_lr import StepSizeKind
from tts_meta.meta.joint_training import JointTraining
from tts_meta.meta.learner_settings import LearnerSettings
from tts_meta.meta.linear_solvers import LINEAR_SOLVERS
from tts_meta.meta.meta_gradients import MetaGradientEstimator
from tts_meta.meta.reptile import Reptile, ShrinkageReptile
from tts_meta.meta.unrolled import Unrolled

EstimatorFactory = Callable[[LearnerSettings, float], MetaGradientEstimator]
"""A function from the settings and the progress of meta-training, from 0 (start) to 1 (end), to the estimator."""


@dataclass(frozen=True)
class Preset:
    """The parts of a learner.

    source: the paper. estimator: creates the estimator of the meta-gradient. adapts: the modules that adapt (all, those
    of the head, or those of the context). prior: the prior of the adapted parameters. step_sizes: the kind of the inner
    step sizes. learns_init: whether φ of the adapted modules is meta-learned; otherwise φ keeps its initial value.
    learns_outer_lr: whether the outer learning rate is updated by its hypergradient.
    """

    source: str
    estimator: EstimatorFactory
    adapts: Literal["all", "head", "context"] = "all"
    prior: Literal["none", "isotropic", "shrinkage"] = "none"
    step_sizes: StepSizeKind = "fixed"
    learns_init: bool = True
    learns_outer_lr: bool = False


def _implicit(settings: LearnerSettings, progress: float) -> Implicit:
    solver = LINEAR_SOLVERS[settings.linear_solver](settings.cg_max_iters, settings.tolerance)
    return Implicit(solver, settings.centred, settings.hessian)


def _shrinkage_reptile(settings: LearnerSettings, progress: float) -> ShrinkageReptile:
    return ShrinkageReptile(_implicit(settings, progress))


def _maml_plus_plus(settings: LearnerSettings, progress: float) -> Unrolled:
    """Anneal the weights of the steps' losses from equal to the last step alone (Antoniou et al. 2019, section 4)."""
    order = 1 if progress < settings.first_order_fraction else 2
    if progress >= settings.multi_step_loss_fraction or settings.inner_steps < 2:
        return Unrolled(order)
    others = (1 - progress / settings.multi_step_loss_fraction) / settings.inner_steps
    return Unrolled(order, (*[others] * (settings.inner_steps - 1), 1 - others * (settings.inner_steps - 1)))


def _constant(estimator: MetaGradientEstimator) -> EstimatorFactory:
    return lambda settings, progress: estimator


LEARNERS: Mapping[str, Preset] = {
    "sigma-maml": Preset("Chen et al. 2020, section 3", _constant(Unrolled()), prior="shrinkage"),
    "sigma-imaml": Preset("Chen et al. 2020, section 4.1", _implicit, prior="shrinkage"),
    "sigma-reptile": Preset("Chen et al. 2020, section 4.2", _shrinkage_reptile, prior="shrinkage"),
    "maml": Preset("Finn, Abbeel, Levine 2017", _constant(Unrolled())),
    "fomaml": Preset("Finn, Abbeel, Levine 2017, section 5.2", _constant(Unrolled(order=1))),
    "anil": Preset("Raghu et al. 2020", _constant(Unrolled()), adapts="head"),
    "reptile": Preset("Nichol, Achiam, Schulman 2018", _constant(Reptile())),
    "imaml": Preset("Rajeswaran et al. 2019", _implicit, prior="isotropic"),
    "meta-sgd": Preset("Li et al. 2017", _constant(Unrolled()), step_sizes="parameter"),
    "alpha-maml": Preset("Behl et al. 2019", _constant(Unrolled()), step_sizes="scalar", learns_outer_lr=True),
    "maml++": Preset("Antoniou, Edwards, Storkey 2019", _maml_plus_plus, step_sizes="module-step"),
    "cavia": Preset("Zintgraf et al. 2019", _constant(Unrolled()), adapts="context", learns_init=False),
    "finetune-all": Preset("pretraining, then every module adapts", _constant(JointTraining())),
    "finetune-embedding": Preset("pretraining, then the context adapts", _constant(JointTraining()), adapts="context"),
}
"""Every learner, by the name that recipes use."""


def find_preset(name: str) -> Preset:
    """Return the preset of a learner. Raises UsageError that lists the known names if `name` is unknown."""
    if name not in LEARNERS:
        raise UsageError(f"no learner '{name}'; learners: {', '.join(LEARNERS)}")
    return LEARNERS[name]
