"""`register` and `LEARNERS`: the registered learners by name.

A new learner is one file with one class:

    @register("my-learner", source="Author et al. 2026")
    class MyLearner(MetaLearner):
        ...

The file must be imported before the name is used. Every registered learner is tested by `tests/test_learners.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tts_meta.config import Section, parse_settings
from tts_meta.errors import UsageError
from tts_meta.meta.domain import Domain
from tts_meta.meta.learner import MetaLearner

LEARNERS: dict[str, type[MetaLearner]] = {}
"""The class of every registered learner, by the name that recipes and files use."""

LearnerClass = TypeVar("LearnerClass", bound=type[MetaLearner])


def register(name: str, *, source: str) -> Callable[[LearnerClass], LearnerClass]:
    """Return a class decorator that registers a learner. source: the paper. Raises UsageError for a name in use."""

    def decorate(learner: LearnerClass) -> LearnerClass:
        if name in LEARNERS:
            raise UsageError(f"the learner '{name}' is already registered; choose another name")
        learner.name, learner.source = name, source
        LEARNERS[name] = learner
        return learner

    return decorate


def find_learner(name: str) -> type[MetaLearner]:
    """Return the class of a learner. Raises UsageError that lists the known names if `name` is unknown."""
    if name not in LEARNERS:
        raise UsageError(f"no learner '{name}'; learners: {', '.join(LEARNERS)}")
    return LEARNERS[name]


def create_learner(
    name: str, domain: Domain, settings: Section | Mapping[str, Any] | None = None, **arguments: Any
) -> MetaLearner:
    """Return a new learner of a registered name for a domain.

    settings: an instance of the learner's `Settings`, or plain data for it. arguments: those of `MetaLearner`. Raises
    UsageError for an unknown name, a setting that the learner does not use, or a domain without a needed capability.
    """
    learner = find_learner(name)
    if not isinstance(settings, Section):
        settings = parse_settings(settings or {}, learner.Settings, f"learner '{name}'")
    return learner(domain, settings, **arguments)
