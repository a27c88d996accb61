"""Meta-learning with shrinkage for any model, likelihood and partition, without any code about speech.

Docstrings use these letters in shapes: T tasks, P adapted parameters, Q parameters that all tasks share, M modules that
adapt. The symbols are φ initial values of the adapted parameters, ψ shared parameters, θ adapted parameters of
a task, δ = θ - φ, σ²_m prior variance of module m, η inner step size, ℓ negative log-likelihood, Φ all meta-parameters.
θ̂ is θ after the inner steps. ε = δ/σ.
"""

from tts_meta.meta.budget import Budget
from tts_meta.meta.domain import Domain, HeadData, Items, LinearHead, Outputs, TrainedTasks
from tts_meta.meta.estimators.implicit import Implicit
from tts_meta.meta.estimators.joint_training import JointTraining
from tts_meta.meta.estimators.meta_gradients import MetaParams
from tts_meta.meta.estimators.reptile import Reptile, ShrinkageReptile
from tts_meta.meta.estimators.unrolled import Unrolled
from tts_meta.meta.learner import Adapted, AdaptProgress, MetaLearner, ParameterGroup
from tts_meta.meta.learners import GradientLearner
from tts_meta.meta.likelihood import Likelihood
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.outer_optimiser import TrainerSettings
from tts_meta.meta.parameter_layout import ParameterLayout, Params
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.reduction import MetaStepMetrics
from tts_meta.meta.registry import LEARNERS, create_learner, find_learner, register
from tts_meta.meta.solvers.inner_loop import Diverged, Trace, run_inner_loop
from tts_meta.meta.solvers.inner_lr import StepSizeSchedule
from tts_meta.meta.solvers.inner_solvers import Adam, GradientDescent
from tts_meta.meta.solvers.linear_solvers import ConjugateGradient, Neumann, Outcome, Solution
from tts_meta.meta.task import Task
from tts_meta.meta.trainer import MetaTrainer

__all__ = [
    "LEARNERS",
    "Adam",
    "AdaptProgress",
    "Adapted",
    "Budget",
    "ConjugateGradient",
    "Diverged",
    "Domain",
    "GradientDescent",
    "GradientLearner",
    "HeadData",
    "Implicit",
    "Items",
    "JointTraining",
    "Likelihood",
    "LinearHead",
    "MetaGradient",
    "MetaLearner",
    "MetaParams",
    "MetaStepMetrics",
    "MetaTrainer",
    "Neumann",
    "Outcome",
    "Outputs",
    "ParameterGroup",
    "ParameterLayout",
    "Params",
    "Reptile",
    "ShrinkagePrior",
    "ShrinkageReptile",
    "Solution",
    "StepSizeSchedule",
    "Task",
    "Trace",
    "TrainedTasks",
    "TrainerSettings",
    "Unrolled",
    "create_learner",
    "find_learner",
    "register",
    "run_inner_loop",
]
