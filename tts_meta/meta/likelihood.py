"""`Likelihood`: the negative log-likelihood of a domain as a function of parameter vectors of several tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.meta.domain import InputFunction, LossFunction, OutputFunction, Outputs, checked_loss, checked_outputs
from tts_meta.meta.frozen_state import FrozenState, copy_buffer
from tts_meta.meta.parameter_layout import NO_PARAMETERS, ParameterLayout, Params
from tts_meta.meta.seeding import combine_seeds, seeded_torch
from tts_meta.meta.task import Task, stack_data, without_inference_tensors


@dataclass(frozen=True)
class Likelihood:
    """A model, its loss and the layouts of its parameters; `nll` scores a batch of tasks.

    Parameters in neither layout keep the values in `frozen_state`, or the model's values if that is None.

    vectorised: tasks run in parallel by `torch.func.vmap`. The model must allow it, and the data must be tensors, or
    tuples or dicts of tensors, with the same shapes for all tasks. Otherwise tasks run one after another.
    frozen_state: the fixed values of the model. None reads them from the model, and copies its buffers for each call.
    output_function: the capability `outputs` of the domain, which `outputs` needs. query_loss: the loss of the query,
    if it is not `loss`. input_function: `fix_inputs` of the domain.
    """

    model: nn.Module
    loss: LossFunction
    adapted: ParameterLayout
    shared: ParameterLayout = NO_PARAMETERS
    vectorised: bool = False
    frozen_state: FrozenState | None = None
    output_function: OutputFunction | None = None
    query_loss: LossFunction | None = None
    input_function: InputFunction | None = None

    @cached_property
    def of_query(self) -> Likelihood:
        """The same model with the loss of the query in place of the loss of the support."""
        return self if self.query_loss is None else replace(self, loss=self.query_loss, query_loss=None)

    @cached_property
    def _has_tied_weights(self) -> bool:
        """Whether a parameter has several names; each name must then get the task's value."""
        counts = [len(list(self.model.named_parameters(remove_duplicate=unique))) for unique in (True, False)]
        return counts[0] != counts[1]

    @cached_property
    def _buffer_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.model.named_buffers())

    def nll(self, adapted: Tensor, shared: Tensor, data: Sequence[Any], seed: int = 0) -> Tensor:
        """Return -log p(data_t | θ_t) of T tasks, `(T,)` nats, for adapted parameters `(T, P)` and shared ones `(Q,)`.

        The draws of the model and of the loss from torch's generators are a function of `seed` alone and equal for all
        tasks. Tasks in parallel therefore draw the same numbers as each task alone. Raises UsageError if the loss is
        not a scalar, or does not use the parameters.
        """
        if self.vectorised and len(data) > 1:
            return self._in_parallel(self._task_nll, adapted, shared, data, seed)
        if len(data) == 1:  # squeeze gives a view, whose derivative copies nothing
            return self._alone(self._task_nll, adapted.squeeze(0), shared, data[0], seed).unsqueeze(0)
        rows = zip(adapted.unbind(0), data, strict=True)
        return torch.stack([self._alone(self._task_nll, row, shared, item, seed) for row, item in rows])

    def outputs(self, adapted: Tensor, shared: Tensor, data: Sequence[Any], seed: int = 0) -> list[Outputs]:
        """Return the outputs of T tasks with the curvature of the likelihood; arguments and draws are as in `nll`.

        Only for domains with the capability `outputs`. The number of outputs may differ between tasks.
        """
        if self.vectorised and len(data) > 1:
            stacked = self._in_parallel(self._task_outputs, adapted, shared, data, seed)
            return [Outputs(*pair) for pair in zip(*(part.unbind(0) for part in stacked), strict=True)]
        rows = [adapted.squeeze(0)] if len(data) == 1 else adapted.unbind(0)
        pairs = zip(rows, data, strict=True)
        return [Outputs(*self._alone(self._task_outputs, row, shared, item, seed)) for row, item in pairs]

    def with_fixed_inputs(self, adapted: Tensor, shared: Tensor, tasks: Sequence[Task], seed: int = 0) -> list[Task]:
        """Return T tasks whose support has the inputs that the model predicts at adapted parameters `(T, P)`.

        The tasks are unchanged if the domain has no `fix_inputs`. The draws are as in `nll`.
        """
        if self.input_function is None:
            return list(tasks)
        rows = zip(adapted.detach().unbind(0), tasks, strict=True)
        return [
            replace(task, support=self._alone(self._task_inputs, row, shared, task.support, seed)) for row, task in rows
        ]

    def step_nll(self, adapted: Tensor, shared: Tensor, tasks: Sequence[Task], step: int, seed: int = 0) -> Tensor:
        """Return `nll` of the tasks' data of inner step `step`; all draws are a function of `seed` and `step`."""
        step_seed = combine_seeds(seed, step)
        data = [task.at(step, combine_seeds(step_seed, 1)) for task in tasks]
        return self.nll(adapted, shared, data, step_seed)

    def _in_parallel(
        self, function: Callable[..., Any], adapted: Tensor, shared: Tensor, data: Sequence[Any], seed: int
    ) -> Any:
        """Return the result of `_task_nll` or `_task_outputs` for all tasks by vmap, with a leading task axis."""
        run = torch.func.vmap(function, in_dims=(0, None, 0, None, 0), randomness="same")
        stacked = stack_data([without_inference_tensors(item) for item in data])
        buffers = self._buffers(len(data))
        with seeded_torch(seed, adapted.device):
            return run(adapted, shared, stacked, self._frozen_parameters(), buffers)

    def _alone(self, function: Callable[..., Any], adapted: Tensor, shared: Tensor, data: Any, seed: int) -> Any:
        """Return the result of `_task_nll` or `_task_outputs` for one task."""
        data = without_inference_tensors(data)
        with seeded_torch(seed, adapted.device):
            return function(adapted, shared, data, self._frozen_parameters(), self._buffers())

    def _frozen_parameters(self) -> Params:
        return {} if self.frozen_state is None else self.frozen_state.parameters_by_name()

    def _buffers(self, tasks: int | None = None) -> Params:
        if self.frozen_state is not None:
            return self.frozen_state.buffers_by_name(tasks)
        return {name: copy_buffer(self.model.get_buffer(name), tasks) for name in self._buffer_names}

    def _task_nll(self, adapted: Tensor, shared: Tensor, data: Any, frozen: Params, buffers: Params) -> Tensor:
        return checked_loss(self.loss, self._model_of(adapted, shared, frozen, buffers), data)

    def _task_inputs(self, adapted: Tensor, shared: Tensor, data: Any, frozen: Params, buffers: Params) -> Any:
        assert self.input_function is not None
        return self.input_function(self._model_of(adapted, shared, frozen, buffers), data)

    def _task_outputs(
        self, adapted: Tensor, shared: Tensor, data: Any, frozen: Params, buffers: Params
    ) -> tuple[Tensor, Tensor]:
        assert self.output_function is not None
        outputs = checked_outputs(self.output_function, self._model_of(adapted, shared, frozen, buffers), data)
        return outputs.values, outputs.curvature

    def _model_of(self, adapted: Tensor, shared: Tensor, frozen: Params, buffers: Params) -> Callable[..., Any]:
        params = frozen | buffers | self.adapted.unflatten(adapted) | self.shared.unflatten(shared)

        def model(*args: Any, **named: Any) -> Any:
            return functional_call(self.model, params, args, named, tie_weights=self._has_tied_weights)

        return model
