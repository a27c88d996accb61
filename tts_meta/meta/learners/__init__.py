"""The learners without code about speech, one file for each family. Importing this package registers them."""

from tts_meta.meta.learners import finetune, imaml, maml, mean, reptile, trained_tasks
from tts_meta.meta.learners.gradient import GradientLearner, GradientSettings

__all__ = ["GradientLearner", "GradientSettings", "finetune", "imaml", "maml", "mean", "reptile", "trained_tasks"]
