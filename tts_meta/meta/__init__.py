"""Meta-learning with shrinkage, for any model, likelihood and partition; knows nothing of speech."""

from tts_meta.meta.domain import Problem, Task
from tts_meta.meta.inner import Adam, Diverged, GradientDescent, Trace, solve
from tts_meta.meta.inner_lr import StepSizes
from tts_meta.meta.learner import Adapted, MetaLearner
from tts_meta.meta.learners import LEARNERS, LearnerSettings, Preset
from tts_meta.meta.linear import ConjugateGradient, Neumann, Outcome, Solution
from tts_meta.meta.meta_gradients import (
    Implicit,
    JointTraining,
    MetaGradient,
    MetaParams,
    Reptile,
    ShrinkageReptile,
    Unrolled,
)
from tts_meta.meta.parameters import Layout, Params
from tts_meta.meta.prior import ShrinkagePrior
from tts_meta.meta.reduction import MetaStepMetrics

__all__ = [
    "LEARNERS",
    "Adam",
    "Adapted",
    "ConjugateGradient",
    "Diverged",
    "GradientDescent",
    "Implicit",
    "JointTraining",
    "Layout",
    "LearnerSettings",
    "MetaGradient",
    "MetaLearner",
    "MetaParams",
    "MetaStepMetrics",
    "Neumann",
    "Outcome",
    "Params",
    "Preset",
    "Problem",
    "Reptile",
    "ShrinkagePrior",
    "ShrinkageReptile",
    "Solution",
    "StepSizes",
    "Task",
    "Trace",
    "Unrolled",
    "solve",
]
