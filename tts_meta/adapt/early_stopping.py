"""An inner loop that ends by itself, and asks no held-out recording.

What is minimised is the likelihood of the recordings and the prior together. Steps are long until that hardly falls any
more; then they get shorter and shorter, so that what each draws anew averages out, and the loop ends.
"""

from __future__ import annotations

from tts_meta.meta.inner import StepSize

STOPPING_VERSION = 1
"""Version of the stopping rule. Increase it when the same objectives would end the loop at another step."""
CHECK_EVERY = 25
"""Steps from one look at the objective to the next."""
_SETTLED = 0.02
"""Part of all that was gained that the steps since the last look must gain, or the objective has settled."""
_FALL = 0.5
"""Steps of falling step size, as a part of those before."""
MOST_STEPS = 1500
"""Steps in all after which the loop ends whether the objective has settled or not."""


class PlateauStop:
    """Step sizes of such a loop, from `longest`, and when it ends. Tell it the objective before asking, by `update`."""

    def __init__(self, longest: StepSize, most: int = MOST_STEPS) -> None:
        self.longest, self.most = longest, most
        self.objectives: list[float] = []
        self.turn = self.end = most
        """Steps done when step sizes begin to fall, and when they are nothing."""
        self.reason = ""
        """Why the loop ended, in words."""

    def should_check(self, step: int) -> bool:
        """Whether it looks at the objective after `step` steps."""
        return self.turn == self.most and step % CHECK_EVERY == 0

    def update(self, step: int, objective: float) -> None:
        """The objective after `step` steps, of all recordings, in nats."""
        self.objectives.append(objective)
        if len(self.objectives) < 2:
            return
        gained, lately = self.objectives[0] - objective, self.objectives[-2] - objective
        settled = not lately > _SETTLED * max(gained, 0.0)
        if not settled and step * (1 + _FALL) < self.most - CHECK_EVERY:
            return
        self.turn, self.end = step, min(self.most, step + max(CHECK_EVERY, round(_FALL * step)))
        if not gained > 0:
            self.reason = f"the {step} steps gained nothing; {self.end - step} shorter and shorter ones followed"
        elif settled:
            part = f"the last {CHECK_EVERY} of {step} steps gained {max(0.0, lately / gained):.1%} of what all had"
            self.reason = f"{part}; {self.end - step} shorter and shorter ones followed"
        else:
            self.reason = f"the most steps are done, and the last {CHECK_EVERY} still gained {lately / gained:.1%}"

    def rate(self, step: int) -> StepSize:
        """Step size of step `step`, from 0."""
        if step < self.turn:
            return self.longest
        return self.longest * max(0.0, 1 - (step - self.turn) / max(1, self.end - self.turn))

    def finished(self, step: int) -> bool:
        """Whether the loop ends after `step` steps."""
        return step >= self.end
