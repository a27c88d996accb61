"""Models and losses that cannot be meta-learned: what is wrong, in one line, and what to do.

`check_model` finds at the start what can be found there. `explained` translates errors of torch that only a call
brings to light; any other error passes through as it is, since it belongs to the model or to the loss.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tts_meta.errors import UsageError

_UNLIKE_DEVICE = "model and data are on different devices; move the data to the learner's device"
_UNLIKE_TYPE = "model and data have different dtypes; convert the data to the learner's dtype"
_NOT_TWICE = (
    "{what} has no derivative of the order that this learner needs; choose a first-order learner (fomaml, reptile), "
    "hessian='difference' for implicit gradients, or another layer or loss"
)
_IN_PLACE = "the model or the loss changes parameters or inputs in place; use operations that return new tensors"
_TORCH_ERRORS: tuple[tuple[str, str], ...] = (
    (r"derivative for '?(?:aten::)?_?(?P<what>\w+?)(?:_backward)?'? is not implemented", _NOT_TWICE),
    (r"torch\.compile", "a compiled model has no second derivative; give the module that was compiled, or fomaml"),
    (
        r"does not require grad and does not have a grad_fn",
        "the loss has no gradient by the parameters; look for detach, no_grad, item or argmax in model and loss",
    ),
    (
        r"[Ii]nference tensor",
        "the model or the data were made under torch.inference_mode; make them outside it, or under torch.no_grad",
    ),
    (
        r"vmap|functorch|[Bb]atching rule",
        "the model or the loss cannot run several tasks side by side; set vectorised=False",
    ),
    (r"sparse tensors|Sparse(?:CPU|CUDA)|layout Sparse", "a layer has sparse gradients; give it sparse=False"),
    (r"stateless API", "the model cannot be called with other parameters; give the module that it wraps"),
    (r"in-place operation|modified by an inplace|being modified inplace", _IN_PLACE),
    (r"[Ee]xpected all tensors to be on the same device", _UNLIKE_DEVICE),
    (r"same dtype|to have dtype|Input type .* and (?:weight|bias) type|expected scalar type", _UNLIKE_TYPE),
)
"""Patterns of torch's messages, and what to tell the user; `what` is taken from the message."""


@contextmanager
def explained() -> Iterator[None]:
    """Raise UsageError, in one line, for errors of torch inside that have a known cause."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        for pattern, advice in _TORCH_ERRORS:
            found = re.search(pattern, text)
            if found:
                what = found.groupdict().get("what", "")
                raise UsageError(advice.format(what=f"'{what}'")) from error
        raise


def check_model(model: nn.Module, changing: Collection[str]) -> None:
    """Raise UsageError naming a layer that cannot be meta-learned. changing: parameters that adapt or are shared."""
    for name, layer in model.named_modules():
        named = f"'{name}'" if name else "the model"
        if isinstance(layer, nn.DataParallel | DistributedDataParallel):
            kind = type(layer).__name__
            raise UsageError(f"{named} is a {kind}; give its .module, and spread the tasks by torchrun instead")
        if isinstance(layer, torch.jit.ScriptModule):
            raise UsageError(f"{named} is a ScriptModule, whose parameters cannot be replaced; give the module itself")
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            if layer.sparse:
                raise UsageError(f"{named} has sparse gradients; give it sparse=False")
            if layer.max_norm is not None:
                raise UsageError(f"{named} changes its weights when it is called; give it max_norm=None")
    params = {name: value for name, value in model.named_parameters() if name in changing}
    for name, value in params.items():
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise UsageError(f"parameter '{name}' has no shape yet; call the model once on a batch before")
        if not value.is_floating_point():
            raise UsageError(f"parameter '{name}' is of type {_short(value.dtype)}; only real parameters adapt")
    if not params:
        return
    first, *others = params.items()
    for name, value in others:
        for what, one, other in (
            ("type", _short(first[1].dtype), _short(value.dtype)),
            ("device", first[1].device, value.device),
        ):
            if one != other:
                raise UsageError(
                    f"parameters '{first[0]}' ({one}) and '{name}' ({other}) differ in {what}; move the model to one"
                )


def check_twice_differentiable(gradient: Tensor) -> None:
    """Raise UsageError where a gradient, made with create_graph, went through a function with one derivative.

    torch does not: a node that would raise leads to no parameter, so that the second derivative silently lacks a part.
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
