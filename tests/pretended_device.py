"""A device that is simulated on the CPU: tensors on it compute, but they never meet tensors of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from tts_meta import devices

DEVICE = torch.device("meta")
"""The only other device that every machine has. Its own tensors have no values."""
_COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
_PACK = torch.ops.aten._pack_padded_sequence.default
_ALLOW_CPU = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten.lstm.data,
    torch.ops.aten._pad_packed_sequence.default,
    _PACK,
}
"""Operations that take indices or sizes on the CPU on every device."""


class PretendedTensor(Tensor):
    """A tensor that says it is on `DEVICE`; `on_cpu` holds its values on the CPU."""

    on_cpu: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> PretendedTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            layout=real.layout,
            device=DEVICE,
            requires_grad=real.requires_grad,
        )
        made.on_cpu = real
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"PretendedTensor({self.on_cpu})"

    def tolist(self) -> Any:
        """Return the values; torch's method refuses subclasses."""
        return self.on_cpu.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class PretendedDevice(TorchDispatchMode):
    """Context in which `DEVICE` exists."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the real values.

    Raises AssertionError if tensors of both devices meet, or if the result is a float64 tensor on `DEVICE`.
    """
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    pretended = [tensor for tensor in tensors if isinstance(tensor, PretendedTensor)]
    asked = kwargs.get("device")
    if pretended and func not in _COPIES:
        others = [t for t in tensors if not isinstance(t, PretendedTensor) and t.ndim]
        allowed = func in _ALLOW_CPU and isinstance(args[0], PretendedTensor)
        assert not others or allowed, f"{func} mixes {DEVICE} with {[(t.device, tuple(t.shape)) for t in others]}"
    onto_device = bool(pretended) if asked is None else torch.device(asked).type == DEVICE.type
    if func is torch.ops.aten.copy_.default:
        onto_device = isinstance(args[0], PretendedTensor)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    real_args, real_kwargs = tree_map(_real, (args, kwargs))
    if func is torch.ops.aten._efficientzerotensor.default:  # its result has no memory, which other operations read
        func = torch.ops.aten.zeros.default
    result = func(*real_args, **real_kwargs)
    if not onto_device:
        return result
    if func is _PACK:  # the sizes of the batches stay on the CPU
        return _pretend(result[0]), result[1]
    if torch.Tag.inplace_view in func.tags:  # `args[0]` needs the new shape too
        with no_dispatch():
            func(*args, **kwargs)
    if _writes(func):  # the operation changed its first argument and returns it
        return args[0] if "out" not in kwargs else kwargs["out"]
    return tree_map(_pretend, result)


def _writes(func: Any) -> bool:
    return func._schema.name.endswith("_") and not func._schema.name.endswith("__")


def _real(value: object) -> object:
    return value.on_cpu if isinstance(value, PretendedTensor) else value


def _pretend(value: object) -> object:
    if not isinstance(value, Tensor) or isinstance(value, PretendedTensor):
        return value
    assert value.dtype not in (torch.float64, torch.complex128), f"{DEVICE} has no {value.dtype}"
    return PretendedTensor(value)


@contextmanager
def pretended_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Make `DEVICE` exist, without float64, and yield it; `choose_device` accepts it."""
    monkeypatch.setattr(torch, "autocast", lambda *positional, **named: nullcontext())  # torch has none for `DEVICE`
    # Views of tensors of subclasses cannot be made in inference mode.
    monkeypatch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad() if mode else nullcontext())
    monkeypatch.setattr(devices, "_WITHOUT_FLOAT64", {DEVICE.type})
    make = torch.tensor  # torch's own function makes tensors without values on `DEVICE`

    def make_and_move(values: object, *, device: Any = "cpu", **named: Any) -> Tensor:
        return make(values, **named).to(device)

    monkeypatch.setattr(torch, "tensor", make_and_move)
    with PretendedDevice():
        yield DEVICE
