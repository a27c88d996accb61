"""What callers have set in torch and numpy: our work does not depend on it, and leaves it as it was.

Autocast, `no_grad`, `inference_mode`, a default dtype or device, numpy's error handling and the state of the random
generators belong to the program that calls us.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
T = TypeVar("T")

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full}
_ONEDNN_CAPACITY, _PRIMITIVES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", 128
_drawing = threading.RLock()


class _DefaultDtype:
    """Single precision as the process's default dtype while any thread is inside; the caller's is set again after."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._callers = torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._callers = torch.get_default_dtype()
                if self._callers != torch.float32:
                    torch.set_default_dtype(torch.float32)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and torch.get_default_dtype() != self._callers:
                torch.set_default_dtype(self._callers)


_default_dtype = _DefaultDtype()


class WithoutDrawing(TorchFunctionMode):
    """Inside, modules are built with parameters of any value, for weights that are loaded into them next.

    No global generator advances. shapes_only: they take no memory either, as on the meta device, which would import
    torch's compiler for buffers that are computed, a second of start-up; those are computed as ever.
    """

    def __init__(self, shapes_only: bool = False) -> None:
        super().__init__()
        self.shapes_only = shapes_only

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func in _FACTORIES and self.shapes_only:
            kwargs = kwargs | {"device": "meta"}
        return func(*args, **kwargs)


@contextmanager
def default_torch_state(preserve_rng: bool = False) -> Iterator[None]:
    """A context, or a decorator, in which torch has its default state and the caller's state does not matter.

    Inside, autocast is off, gradients are on, the dtype is single precision and the default device is the CPU.
    preserve_rng: restore the states of torch's global generators at the end; only one thread at a time is inside such
    a context.
    """
    with ExitStack() as stack:
        if preserve_rng:
            stack.enter_context(_drawing)
        stack.enter_context(_default_dtype)
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        # A device as a context makes each call of torch slower: only where there is need.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if preserve_rng:
            devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
            stack.enter_context(torch.random.fork_rng(devices=devices))
        yield


@cache
def limit_primitive_cache() -> None:
    """Let oneDNN keep the kernels of the last few hundred shapes, where this process has not used it yet.

    Sentences differ in length, and oneDNN compiles kernels for each length. It keeps 1024 by default, hundreds of
    megabytes with what the allocator cannot give back between them. It reads its limit from the environment once, when
    it is first used, so the environment is afterwards as it was.
    """
    if _ONEDNN_CAPACITY in os.environ or not torch.backends.mkldnn.is_available():
        return
    os.environ[_ONEDNN_CAPACITY] = str(_PRIMITIVES)
    try:
        torch.ones(2, 2).to_mkldnn()
    finally:
        del os.environ[_ONEDNN_CAPACITY]


def default_torch_state_per_item(work: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """`default_torch_state` for a generator function: only the code that makes each item runs in the context."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        steps = work(*args, **kwargs)
        while True:
            with default_torch_state():
                try:
                    step = next(steps)
                except StopIteration:
                    return
            yield step

    return run
