"""Meta-learning with shrinkage for any model, likelihood and partition, without any code about speech.

Docstrings use these letters in shapes: T tasks, P adapted parameters, Q parameters that all tasks share, M modules that
adapt. The symbols are φ initial values of the adapted parameters, ψ shared parameters, θ adapted parameters of
a task, δ = θ - φ, σ²_m prior variance of module m, η inner step size, ℓ negative log-likelihood, Φ all meta-parameters.
θ̂ is θ after the inner steps. ε = δ/σ.
"""

from tts_meta.meta.domain import Domain
from tts_meta.meta.implicit import Implicit
from tts_meta.meta.inner_loop import Diverged, Trace, run_inner_loop
from tts_meta.meta.inner_lr import StepSizeSchedule
from tts_meta.meta.inner_solvers import Adam, GradientDescent
from tts_meta.meta.joint_training import JointTraining
from tts_meta.meta.learner import Adapted, MetaLearner
from tts_meta.meta.learner_settings import LearnerSettings
from tts_meta.meta.linear_solvers import ConjugateGradient, Neumann, Outcome, Solution
from tts_meta.meta.meta_gradients import MetaGradient, MetaParams
from tts_meta.meta.parameter_layout import ParameterLayout, Params
from tts_meta.meta.presets import LEARNERS, Preset
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.reduction import MetaStepMetrics
from tts_meta.meta.reptile import Reptile, ShrinkageReptile
from tts_meta.meta.task import Task
from tts_meta.meta.unrolled import Unrolled

__all__ = [
    "LEARNERS",
    "Adam",
    "Adapted",
    "ConjugateGradient",
    "Diverged",
    "Domain",
    "GradientDescent",
    "Implicit",
    "JointTraining",
    "LearnerSettings",
    "MetaGradient",
    "MetaLearner",
    "MetaParams",
    "MetaStepMetrics",
    "Neumann",
    "Outcome",
    "ParameterLayout",
    "Params",
    "Preset",
    "Reptile",
    "ShrinkagePrior",
    "ShrinkageReptile",
    "Solution",
    "StepSizeSchedule",
    "Task",
    "Trace",
    "Unrolled",
    "run_inner_loop",
]
