"""`Budget`: when adaptation stops, after a number of steps or on a plateau of the objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import SupportsIndex

from tts_meta.errors import UsageError
from tts_meta.meta.solvers.stopping import MAX_STEPS

_ADVICE = "give 1 or more steps; the learner mean-voice makes a voice without adaptation"


@dataclass(frozen=True)
class Budget:
    """When adaptation stops. Learners without inner steps ignore it.

    steps: number of steps or, with `stop_on_plateau`, the largest number. stop_on_plateau: stop automatically
    (`solvers/stopping.py`). Raises UsageError unless `steps` is an integer of 1 or more.
    """

    steps: int
    stop_on_plateau: bool = False

    def __post_init__(self) -> None:
        steps = self.steps
        if isinstance(steps, bool) or not isinstance(steps, SupportsIndex) or int(steps) < 0:
            raise UsageError(f"the budget must be an integer number of steps, not {steps!r}; {_ADVICE}")
        if int(steps) == 0:
            raise UsageError(f"a budget of 0 steps does not adapt; {_ADVICE}")

    @classmethod
    def plateau(cls, max_steps: int = MAX_STEPS) -> Budget:
        """Return a budget that stops on a plateau of the objective, or after `max_steps` steps."""
        return cls(max_steps, stop_on_plateau=True)
