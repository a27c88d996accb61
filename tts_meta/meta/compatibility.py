"""Checks whether a model and its loss can be meta-learned; each error says in one line what is wrong and what to do.

`check_model` finds faults when the learner is created. `explain_torch_errors` translates errors that torch raises in a
call. Other errors are raised unchanged, because the model or the loss causes them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tts_meta.errors import UsageError

_OTHER_DEVICE = "model and data are on different devices; move the data to the learner's device"
_OTHER_DTYPE = "model and data have different dtypes; convert the data to the learner's dtype"
_NOT_TWICE = (
    "{what} has no derivative of the order that this learner needs; choose a first-order learner (fomaml, reptile), "
    "hessian='difference' or 'gauss-newton' for implicit gradients, or another layer or loss"
)
_IN_PLACE = "the model or the loss changes parameters or inputs in place; use operations that return new tensors"
_TORCH_ERRORS: tuple[tuple[str, str], ...] = (
    (r"derivative for '?(?:aten::)?_?(?P<what>\w+?)(?:_backward)?'? is not implemented", _NOT_TWICE),
    (r"torch\.compile", "a compiled model has no second derivative; give the original module, or use fomaml"),
    (
        r"does not require grad and does not have a grad_fn",
        "the loss has no gradient by the parameters; look for detach, no_grad, item or argmax in model and loss",
    ),
    (
        r"[Ii]nference tensor",
        "the model or the data were created under torch.inference_mode; create them under torch.no_grad instead",
    ),
    (
        r"vmap|functorch|[Bb]atching rule",
        "the model or the loss cannot run several tasks in parallel; set vectorised=False",
    ),
    (r"sparse tensors|Sparse(?:CPU|CUDA)|layout Sparse", "a layer has sparse gradients; give it sparse=False"),
    (r"stateless API", "the model cannot be called with other parameters; give the module that it wraps"),
    (r"in-place operation|modified by an inplace|being modified inplace", _IN_PLACE),
    (r"[Ee]xpected all tensors to be on the same device", _OTHER_DEVICE),
    (r"same dtype|to have dtype|Input type .* and (?:weight|bias) type|expected scalar type", _OTHER_DTYPE),
)
"""Patterns of torch's messages, and the message for the user; `what` is a group of the pattern."""


@contextmanager
def explain_torch_errors() -> Iterator[None]:
    """Replace errors of torch that have a known cause by a UsageError with a message of one line."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        for pattern, advice in _TORCH_ERRORS:
            match = re.search(pattern, text)
            if match:
                what = match.groupdict().get("what", "")
                raise UsageError(advice.format(what=f"'{what}'")) from error
        raise


def check_model(model: nn.Module, trained: Collection[str]) -> None:
    """Raise UsageError that names a layer or parameter that cannot be meta-learned.

    trained: names of the parameters that adapt or are shared.
    """
    for name, layer in model.named_modules():
        _check_layer(layer, f"'{name}'" if name else "the model")
    params = {name: value for name, value in model.named_parameters() if name in trained}
    for name, value in params.items():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise UsageError(f"parameter '{name}' has no shape yet; call the model once on a batch first")
        if not value.is_floating_point():
            raise UsageError(f"parameter '{name}' is of type {_short(value.dtype)}; only real parameters adapt")
    if params:
        _check_same_kind(params)


def _check_layer(layer: nn.Module, label: str) -> None:
    if isinstance(layer, nn.DataParallel | DistributedDataParallel):
        kind = type(layer).__name__
        raise UsageError(f"{label} is a {kind}; give its .module, and use torchrun to spread the tasks")
    if isinstance(layer, torch.jit.ScriptModule):
        raise UsageError(f"{label} is a ScriptModule, whose parameters cannot be replaced; give the original module")
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        if layer.sparse:
            raise UsageError(f"{label} has sparse gradients; give it sparse=False")
        if layer.max_norm is not None:
            raise UsageError(f"{label} changes its weights when it is called; give it max_norm=None")


def _check_same_kind(params: dict[str, nn.Parameter]) -> None:
    """Raise UsageError if the parameters are of several dtypes or on several devices."""
    (first_name, first), *others = params.items()
    for name, value in others:
        for what, first_value, other_value in (
            ("dtype", _short(first.dtype), _short(value.dtype)),
            ("device", first.device, value.device),
        ):
            if first_value != other_value:
                raise UsageError(
                    f"parameters '{first_name}' ({first_value}) and '{name}' ({other_value}) differ in {what}; "
                    f"convert the model to one {what}"
                )


def check_twice_differentiable(gradient: Tensor) -> None:
    """Raise UsageError if the graph of a gradient contains a function that has only a first derivative.

    gradient: computed with create_graph. torch raises no error in this case: the node that would raise it leads to no
    parameter, so the second derivative silently lacks a term.
    """
    waiting, seen = [gradient.grad_fn], set[object]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise UsageError(_NOT_TWICE.format(what="a function marked @once_differentiable"))
        waiting += [following for following, _ in node.next_functions]


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
