"""The learners without code about speech, one file for each family. This package imports every file in it.

A learner is registered when its file is imported. A new file needs no line here.
"""

from importlib import import_module
from pkgutil import iter_modules

from tts_meta.meta.learners.gradient import GradientLearner, GradientSettings

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["GradientLearner", "GradientSettings"]
