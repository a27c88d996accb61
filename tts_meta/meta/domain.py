"""`Domain`: a model, its likelihood, its modules, and what some learners need in addition.

A domain is written once for speech and once for each toy problem. Every learner works on it. A learner that needs more
than the likelihood names a capability; a domain without this capability gives one clear error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.errors import UsageError
from tts_meta.meta.parameter_layout import ModuleLike, Params
from tts_meta.meta.seeding import seeded_torch
from tts_meta.meta.task import Task, without_inference_tensors

LossFunction = Callable[[Callable[..., Any], Any], Tensor]
"""`loss(call, data)` returns -log p(data | θ), a scalar: the sum over the data in nats. `call` is the model with the
parameters of one task; it takes the model's arguments.
"""


@dataclass(frozen=True)
class HeadData:
    """Data of a linear layer: inputs `(N, I)`, targets `(N, O)`, a weight of each row `(N,)` and of each output `(O,)`.

    The weighted squared error of the layer's outputs approximates the negative log-likelihood of the model in nats:
    Σ_n Σ_o w_n p_o (target_no - output_no)² / 2. precisions: p; None means 1.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    precisions: Tensor | None = None


@dataclass(frozen=True)
class LinearHead:
    """Capability `linear_head`: a linear layer of the model, for learners that solve it in closed form.

    weight, bias: names of the layer's parameters, `(O, I)` and `(O,)`. data: `data(call, data)` returns the layer's
    data; `call` is the model with the parameters of one task, as in the loss. It is differentiable in the parameters.
    """

    weight: str
    bias: str
    data: Callable[[Callable[..., Any], Any], HeadData]


@dataclass(frozen=True)
class Outputs:
    """Outputs of the model, and the curvature of the likelihood at them, for Gauss-Newton products.

    values: outputs `(N,)`, differentiable in the parameters; -log p is a function of them. curvature: second
    derivative of -log p in each output, or its Fisher information, `(N,)`, at least 0: 1/σ² of a Gaussian, times the
    weight of the output in the loss, and 0 for padding.
    """

    values: Tensor
    curvature: Tensor


OutputFunction = Callable[[Callable[..., Any], Any], Outputs]
"""`outputs(call, data)` returns the outputs of the model for `data`; `call` is as in `LossFunction`."""


InputFunction = Callable[[Callable[..., Any], Any], Any]
"""`fix(call, data)` returns the data with the inputs that the model predicts itself; `call` is as in `LossFunction`.

The loss of the returned data depends on the parameters only through the model's outputs for these inputs.
"""


@dataclass(frozen=True)
class Items:
    """Items of a set, such as sentences: padded features `(N, L, F)` and the length of each item `(N,)`, int64."""

    features: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class TrainedTasks:
    """Capability `trained_tasks`: the tasks that the model was pretrained on, such as training speakers.

    parameter: name of the parameter that differs between these tasks. names: names of S tasks. offsets: their values
    of the parameter minus φ, `(S, ...)`. embeddings: a unit vector of each task, `(S, E)`. embed: returns the unit
    vector `(E,)` of the support of a new task.
    """

    parameter: str
    names: tuple[str, ...]
    offsets: Tensor
    embeddings: Tensor
    embed: Callable[[Task], Tensor]


CAPABILITIES = {
    "linear_head": "a linear output layer with its inputs and targets",
    "outputs": "the outputs of the model with the curvature of the likelihood",
    "items": "the items of a task as padded feature sequences",
    "labels": "a class label for each item",
    "trained_tasks": "the tasks that the model was pretrained on, with their embeddings",
}
"""Capabilities of a domain, and what each of them is."""


@dataclass(frozen=True)
class Domain:
    """A model with its likelihood and its modules.

    loss: see `LossFunction`. modules: the partition of the parameters that may change; other parameters keep the
    values of the model. roles: names of the modules of the head and of the context. vectorised: tasks run in parallel
    by `torch.func.vmap`; see `Likelihood`. linear_head, outputs, items, labels, trained_tasks: capabilities; None if
    the domain does not have them. outputs: see `OutputFunction`. `items(data)` returns the items of support or query
    data, `labels(data)` their classes `(N,)`. query_loss: loss of the adapted model on the query in meta-training, if
    it is not `loss`; only for learners with implicit gradients. fix_inputs: see `InputFunction`; None if the model
    reads no predictions of its own.
    """

    model: nn.Module
    loss: LossFunction
    modules: Sequence[ModuleLike]
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    vectorised: bool = False
    linear_head: LinearHead | None = None
    outputs: OutputFunction | None = None
    items: Callable[[Any], Items] | None = None
    labels: Callable[[Any], Tensor] | None = None
    trained_tasks: TrainedTasks | None = None
    query_loss: LossFunction | None = None
    fix_inputs: InputFunction | None = None

    @cached_property
    def has_tied_weights(self) -> bool:
        """Whether a parameter has several names; each name must then get the task's value."""
        counts = [len(list(self.model.named_parameters(remove_duplicate=unique))) for unique in (True, False)]
        return counts[0] != counts[1]

    def require(self, capability: str, learner: str, advice: str = "choose another learner") -> Any:
        """Return a capability. Raises UsageError that names the learner if the domain does not have it.

        advice: what to do without the capability, the end of the message.
        """
        if (value := getattr(self, capability)) is None:
            raise UsageError(
                f"learner '{learner}' needs {CAPABILITIES[capability]} ({capability}); this domain does not have it; "
                f"{advice}"
            )
        return value

    def bind(self, params: Mapping[str, Tensor]) -> Callable[..., Any]:
        """Return the model as a function whose parameters and buffers of these names have the given values.

        Each call changes copies of the buffers, never the model.
        """
        values = {name: buffer.clone() for name, buffer in self.model.named_buffers()} | dict(params)

        def call(*args: Any, **named: Any) -> Any:
            return functional_call(self.model, values, args, named, tie_weights=self.has_tied_weights)

        return call

    def nll(self, params: Mapping[str, Tensor], data: Any, seed: int = 0) -> Tensor:
        """Return -log p(data | θ) in nats, `()`, differentiable in `params` (by name, without a task axis).

        Parameters that are not named have the model's values. All draws are a function of `seed`. Raises UsageError if
        the loss is not a scalar, or does not call the model.
        """
        with self._seeded(params, seed):
            return checked_loss(self.loss, self.bind(params), without_inference_tensors(data))

    def head_data(self, params: Mapping[str, Tensor], data: Any, seed: int = 0) -> HeadData:
        """Return the data of the linear head, for domains with `linear_head`; parameters and draws are as in `nll`."""
        assert self.linear_head is not None
        with self._seeded(params, seed):
            return self.linear_head.data(self.bind(params), without_inference_tensors(data))

    def _seeded(self, params: Mapping[str, Tensor], seed: int) -> AbstractContextManager[None]:
        return seeded_torch(seed, next(iter(params.values())).device if params else None)


def _result(function: Callable[..., Any], model: Callable[..., Any], data: Any, what: str) -> Any:
    """Return `function(model, data)`. Raises UsageError if the function does not call the model."""
    called = False

    def call(*args: Any, **named: Any) -> Any:
        nonlocal called
        called = True
        return model(*args, **named)

    value = function(call, data)
    if not called:  # the gradient would be zero, or that of the model's own weights
        raise UsageError(f"{what} must call its first argument, which is the model with the parameters of the task")
    return value


def checked_outputs(function: OutputFunction, model: Callable[..., Any], data: Any) -> Outputs:
    """Return the outputs of a model bound to parameters. Raises UsageError if their shapes are wrong."""
    outputs = _result(function, model, data, "the function of the outputs")
    values, curvature = outputs.values, outputs.curvature
    if values.ndim != 1 or curvature.shape != values.shape:
        raise UsageError(
            f"values and curvature of the outputs must be vectors of one length; they have the shapes "
            f"{tuple(values.shape)} and {tuple(curvature.shape)}"
        )
    return outputs


def checked_loss(loss: LossFunction, model: Callable[..., Any], data: Any) -> Tensor:
    """Return the loss of a model bound to parameters. Raises UsageError as `Domain.nll`."""
    value = _result(loss, model, data, "the loss")
    if not isinstance(value, Tensor) or value.ndim != 0:
        returned = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UsageError(f"the loss must return a scalar tensor, the sum over the data; it returned {returned}")
    return value


def partition_parameters(modules: Sequence[ModuleLike]) -> tuple[str, ...]:
    """Return the names of the parameters of some modules."""
    return tuple(name for module in modules for name in module.parameters)


def current_values(model: nn.Module, names: Sequence[str]) -> Params:
    """Return detached values of the model's parameters of these names."""
    return {name: model.get_parameter(name).detach() for name in names}


def stacked(params: Sequence[Params]) -> Params:
    """Return the parameters of T tasks with a leading task axis, `(T, ...)` each."""
    return {name: torch.stack([task[name] for task in params]) for name in params[0]} if params else {}
