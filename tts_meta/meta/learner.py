"""`MetaLearner`: the interface that every learner implements, and `Adapted`, the result of adaptation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from tts_meta.config import Section
from tts_meta.errors import UsageError
from tts_meta.meta.budget import Budget
from tts_meta.meta.compatibility import check_model, explain_torch_errors
from tts_meta.meta.domain import Domain, current_values, partition_parameters
from tts_meta.meta.meta_gradient import MetaGradient
from tts_meta.meta.module_selection import select_modules
from tts_meta.meta.parameter_layout import ModuleLike, ParameterLayout, Params
from tts_meta.meta.seeding import combine_seeds, seeded
from tts_meta.meta.task import Task


class NoSettings(Section):
    """The settings of a learner that has none."""


@dataclass(frozen=True)
class AdaptProgress:
    """The state of adaptation after `step` inner steps of T tasks.

    params: θ by name, `(T, ...)` each. losses: losses of the last step, `(T,)` nats; None before the first step.
    end: number of steps in total, as far as it is known.
    """

    step: int
    params: Params
    losses: Tensor | None
    end: int


Role = Literal["all", "head", "context", "none"]

Observer = Callable[[AdaptProgress], None]
"""Called before the first inner step and after each step."""


@dataclass(frozen=True)
class Adapted:
    """The result of adaptation to T tasks.

    params: θ by name, `(T, ...)` each, only the parameters that the learner adapts. losses: losses before each inner
    step, `(steps, T)` nats; NaN after a task has stopped. steps: number of inner steps of each task. stopped: why the
    steps of each task ended; empty if their number was fixed. statistics: numbers of each task, `(T,)` each.
    displacements: θ - φ by name, for learners that compute it without the rounding error of θ; else empty. notes: facts
    about each task, such as the name of the nearest training speaker, T texts each.
    """

    params: Params
    losses: Tensor
    steps: tuple[int, ...]
    stopped: tuple[str, ...]
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    displacements: Params = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def task(self, index: int) -> Params:
        """Return θ of one task by name."""
        return {name: value[index] for name, value in self.params.items()}

    @classmethod
    def without_steps(cls, params: Params, tasks: int) -> Adapted:
        """Return the result of a learner without inner steps. params: θ by name, `(T, ...)` each."""
        return cls(params, torch.zeros(0, tasks), (0,) * tasks, ("",) * tasks)

    @classmethod
    def join(cls, parts: Sequence[Adapted]) -> Adapted:
        """Return the results of several adaptations as one, in their order."""
        steps = max(len(part.losses) for part in parts)
        padded = [
            torch.cat([part.losses, part.losses.new_full((steps - len(part.losses), part.losses.shape[1]), torch.nan)])
            for part in parts
        ]
        return cls(
            {name: torch.cat([part.params[name] for part in parts]) for name in parts[0].params},
            torch.cat(padded, 1),
            tuple(count for part in parts for count in part.steps),
            tuple(reason for part in parts for reason in part.stopped),
            {name: torch.cat([part.statistics[name] for part in parts]) for name in parts[0].statistics},
            {name: torch.cat([part.displacements[name] for part in parts]) for name in parts[0].displacements},
            {name: tuple(text for part in parts for text in part.notes[name]) for name in parts[0].notes},
        )


@dataclass(frozen=True)
class ParameterGroup:
    """Meta-parameters with a common outer learning rate.

    names: in the learner. learning_rate: None means the trainer's `outer_lr`. clipped: whether their gradient counts in
    the norm that the trainer logs and limits.
    """

    names: tuple[str, ...]
    learning_rate: float | None = None
    clipped: bool = True


AnySettings = TypeVar("AnySettings", bound=Section)


class MetaLearner(nn.Module, ABC, Generic[AnySettings]):
    """A learner: meta-parameters, and a way to adapt to tasks with them. The state dict is the meta-parameters.

    A subclass implements `adapt`, and either `meta_loss` or `meta_gradient`. `MetaTrainer` trains it. The values of the
    domain's model are copied when the learner is created, and the model does not change.

    modules: names of the modules that adapt; None means the learner's choice. seed: all draws are a function of `seed`,
    of the meta-step and of the inner step. Raises UsageError for a domain without a capability in `needs`, for an
    unknown module, and for a layer that cannot be meta-learned.
    """

    name: ClassVar[str] = ""
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    """Version of the class. Increase it when a saved learner of the last version would adapt differently."""
    Settings: ClassVar[type[Section]] = NoSettings
    """The settings of this family; a key that it does not use is an error."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Names of the capabilities of the domain that the learner needs."""
    statistics: ClassVar[tuple[str, ...]] = ()
    """Names in `MetaGradient.statistics`."""
    counts: ClassVar[tuple[str, ...]] = ()
    """Names in `MetaGradient.counts`."""
    adapts: ClassVar[Role] = "all"
    """The modules that adapt, by their role in the domain; "none" if the learner does not adapt."""
    iterative: ClassVar[bool] = True
    """Whether adaptation has inner steps, so that it depends on the budget."""
    trainable: ClassVar[bool] = True
    """Whether the learner has something to meta-train."""
    in_model: ClassVar[tuple[str, ...]] = ()
    """Names, or prefixes of names, of state that is stored as weights of the model and not in the learner's file."""
    uses_query_loss: ClassVar[bool] = False
    """Whether meta-training differentiates the query loss alone, so that it can be another loss than the support's."""
    hypergradient_lr: float = 0.0
    """Relative change of the outer learning rate per meta-step (Alpha-MAML); 0 keeps it."""

    def __init__(
        self,
        domain: Domain,
        settings: AnySettings | None = None,
        *,
        modules: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for capability in self.needs:
            domain.require(capability, self.name)
        if domain.query_loss is not None and not self.uses_query_loss:
            raise UsageError(
                f"learner '{self.name}' cannot use the query loss of the domain; leave out query_loss, or choose a "
                "learner with implicit gradients, such as sigma-imaml"
            )
        self.domain, self.seed, self.chosen = domain, seed, None if modules is None else tuple(modules)
        self.settings: AnySettings = settings or cast(AnySettings, self.Settings())
        self.meta_step, self.progress = 0, 0.0
        """Number of meta-steps done, and the fraction of meta-training that is done. `MetaTrainer` sets both."""
        with torch.inference_mode(False), torch.enable_grad():
            check_model(domain.model, set(partition_parameters(domain.modules)))
            ParameterLayout.from_modules(domain.model, domain.modules)  # raises for a wrong partition
            if modules is not None:
                select_modules(domain.modules, modules)
            self.build()

    def build(self) -> None:
        """Create the meta-parameters. Called once, with gradients enabled."""

    @abstractmethod
    def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
        """Adapt to the support of T tasks. The results equal those of each task alone.

        The meta-parameters, the model and the caller's random state do not change. A task whose loss is no longer
        finite has NaN in its parameters. Raises Diverged if no task is finite.
        """

    def meta_loss(self, tasks: Sequence[Task]) -> Tensor:
        """Return the query loss of each task after adaptation, `(T,)` nats, differentiable in the meta-parameters."""
        raise UsageError(f"learner '{self.name}' has nothing to meta-train; use it in clone or in a benchmark")

    def meta_gradient(self, tasks: Sequence[Task]) -> MetaGradient:
        """Return the gradient of the query losses; by default that of `meta_loss`, by automatic differentiation."""
        losses = self.meta_loss(tasks)
        names, values = zip(*self.named_parameters(), strict=True)
        gradients = torch.autograd.grad(losses.sum(), values, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            before = self.score(self.start(len(tasks)), [task.query for task in tasks])
        return MetaGradient(dict(zip(names, gradients, strict=True)), before, losses.detach())

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Return the groups of meta-parameters; by default one group of all."""
        return [ParameterGroup(tuple(name for name, _ in self.named_parameters()))]

    def task_state(self) -> Params:
        """Return what meta-training keeps about single tasks, by the name of the task; part of a checkpoint."""
        return {}

    def load_task_state(self, state: Params) -> None:
        """Replace what `task_state` returns. Raises UsageError for the state of another learner."""
        if state:
            raise UsageError(f"learner '{self.name}' keeps nothing about single tasks; delete the checkpoint")

    def exchange_task_state(self) -> None:
        """Give the state of this process's tasks to all processes. Called after each meta-step in all of them."""

    def after_outer_step(self) -> None:
        """Correct the meta-parameters after an outer step, for example keep them within bounds."""

    def regulariser_gradient(self) -> Params:
        """Return the gradient of a prior of the meta-parameters by name; added to the mean gradient of the tasks."""
        return {}

    def model_parameters(self) -> Params:
        """Return the values that meta-training gave the model's parameters, by name; empty if it changes none."""
        return {}

    def module_variances(self) -> dict[str, float]:
        """Return the learned σ² of each module that adapts; empty if the learner learns none."""
        return {}

    @property
    def adapted_modules(self) -> tuple[ModuleLike, ...]:
        """The modules that adapt."""
        names = () if self.adapts == "none" else self.chosen or self.domain.roles.get(self.adapts)
        return tuple(module for module in self.domain.modules if names is None or module.name in names)

    @property
    def changing_modules(self) -> tuple[str, ...]:
        """Names of the modules that adaptation or meta-training changes."""
        return tuple(module.name for module in self.domain.modules)

    def restrict(self, modules: Sequence[str]) -> MetaLearner:
        """Return a learner with the same meta-parameters that adapts only these of its modules."""
        if not self.state_dict():
            return type(self)(self.domain, self.settings, modules=modules, seed=self.seed)
        raise UsageError(f"learner '{self.name}' cannot adapt a part of its modules; leave out modules")

    def start(self, tasks: int = 1) -> Params:
        """Return the values before adaptation of the parameters that adapt, `(T, ...)` each, by name."""
        current = current_values(self.domain.model, partition_parameters(self.adapted_modules))
        values = current | {name: value for name, value in self.model_parameters().items() if name in current}
        return {name: value.expand(tasks, *value.shape) for name, value in values.items()}

    def score(self, params: Params, data: Sequence) -> Tensor:
        """Return -log p(data_t | θ_t) of T tasks, `(T,)` nats, for θ by name, `(T, ...)` each, without a gradient."""
        seed, fixed = combine_seeds(self.seed), self.model_parameters()
        with self.call_context(seed), torch.no_grad():
            rows = ({name: value[index] for name, value in params.items()} for index in range(len(data)))
            return torch.stack([self.domain.nll(fixed | row, item, seed) for row, item in zip(rows, data, strict=True)])

    def stored_tensors(self) -> Params:
        """Return the tensors of the learner's file: the state that is not stored as weights of the model."""
        return {name: value.detach() for name, value in self.state_dict().items() if not name.startswith(self.in_model)}

    def load_stored(self, tensors: Params) -> Self:
        """Load the tensors of a learner's file. Raises UsageError that names a tensor that is missing or unfit."""
        expected = self.stored_tensors()
        for name in sorted(expected.keys() | tensors.keys()):
            if name not in tensors or name not in expected or tensors[name].shape != expected[name].shape:
                raise UsageError(
                    f"the file of learner '{self.name}' does not fit its modules ({name}); meta-train it again"
                )
        self.load_state_dict(self.state_dict() | tensors)
        return self

    @property
    def device(self) -> torch.device:
        """The device of the meta-parameters or, without any, of the model."""
        tensors = (*self.parameters(), *self.buffers(), *self.domain.model.parameters())
        return next(iter(tensors)).device

    @contextmanager
    def call_context(self, seed: int) -> Iterator[None]:
        """Enable gradients, explain torch's errors and seed the generators; restore the generators at the end."""
        with explain_torch_errors(), torch.inference_mode(False), torch.enable_grad(), seeded(seed, self.device):
            yield

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the model too; `to`, `double` and `cuda` call this method."""
        super()._apply(fn, recurse)
        self.domain.model._apply(fn, recurse)
        return self
