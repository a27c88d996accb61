"""`PlateauStop` and `ReductionStop`: stop the inner loop automatically, without held-out recordings.

Both rules use the objective, which is the negative log-likelihood of all recordings plus the penalty of the prior.
`PlateauStop` is for solvers with random draws. The learning rate is constant until the objective reaches a plateau. The
learning rate then decays linearly to zero, and the loop stops. The decay averages out the random draws of the steps.
`ReductionStop` is for L-BFGS, which has neither draws nor a learning rate.
"""

from __future__ import annotations

from tts_meta.meta.solvers.inner_solvers import StepSize

STOPPING_VERSION = 2
"""Version of the stopping rule. Increase this version when the same objectives would stop the loop at another step.

2: an evaluation every 10 steps, not 25, and a plateau below 10 % of the total reduction, not 2 %.
"""
CHECK_INTERVAL = 10
"""Steps between two evaluations of the objective."""
_MIN_REDUCTION = 0.1
"""The objective is on a plateau if the last interval gave less than this fraction of the total reduction."""
_DECAY_FRACTION = 0.5
"""Number of decay steps, as a fraction of the steps before the decay."""
MAX_STEPS = 1500
"""The loop stops after this many steps even without a plateau."""


class PlateauStop:
    """A rule that sets the learning rates of the inner loop and the step at which the loop stops.

    initial_lr: learning rate before the decay. max_steps: largest number of steps. Call `update` with the objective
    after every step for which `should_check` is true.
    """

    def __init__(self, initial_lr: StepSize, max_steps: int = MAX_STEPS) -> None:
        self.initial_lr, self.max_steps = initial_lr, max_steps
        self.objectives: list[float] = []
        self.decay_start = self.end = max_steps
        """Number of steps before the decay of the learning rate, and number of steps at its end."""
        self.reason = ""
        """The reason why the loop stopped, in one sentence."""

    def should_check(self, step: int) -> bool:
        """Return whether the rule needs the objective after `step` steps."""
        return self.decay_start == self.max_steps and step % CHECK_INTERVAL == 0

    def update(self, step: int, objective: float) -> None:
        """Update the rule with the objective of all recordings after `step` steps, in nats."""
        self.objectives.append(objective)
        if len(self.objectives) < 2:
            return
        total_reduction = self.objectives[0] - objective
        last_reduction = self.objectives[-2] - objective
        plateau = not last_reduction > _MIN_REDUCTION * max(total_reduction, 0.0)
        if not plateau and step * (1 + _DECAY_FRACTION) < self.max_steps - CHECK_INTERVAL:
            return
        self.decay_start = step
        self.end = min(self.max_steps, step + max(CHECK_INTERVAL, round(_DECAY_FRACTION * step)))
        decay = f"the learning rate then decayed to zero over {self.end - step} steps"
        if not total_reduction > 0:
            self.reason = f"the objective did not fall in the first {step} steps; {decay}"
            return
        part = max(0.0, last_reduction / total_reduction)
        interval = f"steps {step - CHECK_INTERVAL} to {step} gave {part:.1%} of the reduction of the objective"
        self.reason = f"{interval}; {decay}" if plateau else f"the maximum number of steps was reached; {interval}"

    def learning_rate(self, step: int) -> StepSize:
        """Return the learning rate of step `step`. Steps are counted from 0."""
        if step < self.decay_start:
            return self.initial_lr
        return self.initial_lr * max(0.0, 1 - (step - self.decay_start) / max(1, self.end - self.decay_start))

    def finished(self, step: int) -> bool:
        """Return whether the loop stops after `step` steps."""
        return step >= self.end


_WINDOW = 4
"""Steps of L-BFGS over which `ReductionStop` measures the reduction."""
_LEAST_REDUCTION = 0.05
"""L-BFGS stops if the last `_WINDOW` steps gave less than this fraction of the total reduction."""


class ReductionStop:
    """A rule that stops L-BFGS when its last steps reduce the objective little."""

    def __init__(self) -> None:
        self.objectives: list[float] = []
        self.reason = ""
        """The reason why the loop stopped, in one sentence."""

    def finished(self, step: int, objective: float) -> bool:
        """Return whether the loop stops after `step` steps, with this objective in nats. Called before each step."""
        self.objectives.append(objective)
        if len(self.objectives) <= _WINDOW:
            return False
        total = self.objectives[0] - objective
        last = self.objectives[-1 - _WINDOW] - objective
        if last > _LEAST_REDUCTION * total:
            return False
        part = last / total if total > 0 else 0.0
        self.reason = f"steps {step - _WINDOW} to {step} gave {part:.1%} of the reduction of the objective"
        return True
