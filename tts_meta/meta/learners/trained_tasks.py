"""Learners without gradients that mix the tasks that the model was pretrained on, such as its training speakers.

Both use only the embedding of a task. A metric of similarity that uses the same embedding favours both.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor

from tts_meta.config import Section
from tts_meta.errors import UsageError
from tts_meta.meta.budget import Budget
from tts_meta.meta.learner import Adapted, MetaLearner, NoSettings, Observer
from tts_meta.meta.registry import register
from tts_meta.meta.seeding import combine_seeds
from tts_meta.meta.task import Task

AnySettings = TypeVar("AnySettings", bound=Section)


class _FromTrainedTasks(MetaLearner[AnySettings]):
    """A learner that sets the parameter in which the pretrained tasks differ."""

    needs = ("trained_tasks",)
    adapts = "context"
    iterative = False
    trainable = False

    def build(self) -> None:
        trained = self.domain.trained_tasks
        assert trained is not None  # a capability in `needs`
        adapted = {parameter for module in self.adapted_modules for parameter in module.parameters}
        if trained.parameter not in adapted:
            raise UsageError(
                f"learner '{self.name}' sets the parameter '{trained.parameter}'; name its module among the modules"
            )
        self.trained = trained

    def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
        trained = self.trained
        if not tasks:
            return Adapted.without_steps({}, 0)
        with self.call_context(combine_seeds(self.seed)), torch.no_grad():
            offsets, notes = zip(*(self.offset(trained.embed(task)) for task in tasks), strict=True)
            start = self.domain.model.get_parameter(trained.parameter).detach()
            moved = torch.stack([offset.to(start) for offset in offsets])
        result = Adapted.without_steps({trained.parameter: start + moved}, len(tasks))
        names = {"nearest": notes} if any(notes) else {}
        return Adapted(
            result.params, result.losses, result.steps, result.stopped, {}, {trained.parameter: moved}, names
        )

    @abstractmethod
    def offset(self, embedding: Tensor) -> tuple[Tensor, str]:
        """Return the offset of the parameter for an embedding `(E,)`, and the name of the nearest task or ""."""


@register("nearest", source="the nearest training speaker")
class Nearest(_FromTrainedTasks[NoSettings]):
    """The parameters of the pretrained task whose embedding has the largest cosine to that of the new task."""

    def offset(self, embedding: Tensor) -> tuple[Tensor, str]:
        index = int((self.trained.embeddings @ embedding.to(self.trained.embeddings)).argmax())
        return self.trained.offsets[index], self.trained.names[index]


class ZeroShotSettings(Section):
    """Settings of the regression."""

    ridge: float = Field(default=0.1, gt=0)
    """Ridge of the regression, as a fraction of the mean squared norm of the embeddings."""


@register("zero-shot", source="ridge regression (Hoerl and Kennard 1970)")
class ZeroShot(_FromTrainedTasks[ZeroShotSettings]):
    """The offset that a ridge regression on the pretrained tasks predicts from the embedding of the new task."""

    Settings = ZeroShotSettings

    def offset(self, embedding: Tensor) -> tuple[Tensor, str]:
        embeddings, offsets = self.trained.embeddings, self.trained.offsets
        centre = embeddings.mean(0)
        inputs, targets = embeddings - centre, offsets - offsets.mean(0)
        gram = inputs @ inputs.T
        ridge = self.settings.ridge * gram.trace() / len(gram)
        weights = torch.linalg.solve(
            gram + ridge * torch.eye(len(gram)).to(gram), inputs @ (embedding.to(gram) - centre)
        )
        return offsets.mean(0) + torch.tensordot(weights, targets, 1), ""
