"""Contexts that make results independent of the caller's torch and numpy state, and that restore this state.

The state is autocast, `no_grad`, `inference_mode`, the default dtype and device, numpy's error handling and the random
generators.
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

from tts_meta.devices import global_generators

P = ParamSpec("P")
T = TypeVar("T")

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full}
_ONEDNN_CAPACITY, _PRIMITIVES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", 128
_rng_lock = threading.RLock()


class _DefaultDtype:
    """Context that sets the default dtype to float32 while any thread is inside, and then restores the caller's."""

    def __init__(self) -> None:
        self._lock, self._threads_inside = threading.Lock(), 0
        self._caller_dtype = torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if self._threads_inside == 0:
                self._caller_dtype = torch.get_default_dtype()
                if self._caller_dtype != torch.float32:
                    torch.set_default_dtype(torch.float32)
            self._threads_inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._threads_inside -= 1
            if self._threads_inside == 0 and torch.get_default_dtype() != self._caller_dtype:
                torch.set_default_dtype(self._caller_dtype)


_default_dtype = _DefaultDtype()


class SkipInitialization(TorchFunctionMode):
    """Context in which modules are built with uninitialised parameters, because weights are loaded into them next.

    The state of the global random generators does not change. shapes_only: parameters are on the meta device and take
    no memory. Buffers that are computed stay on the CPU: their computation on the meta device would import torch's
    compiler, which takes a second.
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
    """Give torch its default state inside a `with` block or a decorated function.

    Autocast is then off, gradients are on, the default dtype is float32 and the default device is the CPU.
    preserve_rng: restore the states of torch's global generators at the end; only one thread at a time can be inside
    such a context.
    """
    with ExitStack() as stack:
        if preserve_rng:
            stack.enter_context(_rng_lock)
        stack.enter_context(_default_dtype)
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        # A device context makes each call of torch slower, so it is used only if needed.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if preserve_rng:
            for generator in global_generators():
                stack.callback(generator.set_state, generator.get_state())
        yield


@cache
def limit_primitive_cache() -> None:
    """Limit oneDNN's cache of compiled kernels to 128, if this process has not used oneDNN yet.

    Sentences differ in length, and oneDNN compiles kernels for each length. By default, oneDNN caches 1024 kernels.
    These kernels, and the memory between them that the allocator cannot free, take hundreds of megabytes. oneDNN reads
    the limit from the environment at its first use. This function restores the environment afterwards.
    """
    if _ONEDNN_CAPACITY in os.environ or not torch.backends.mkldnn.is_available():
        return
    os.environ[_ONEDNN_CAPACITY] = str(_PRIMITIVES)
    try:
        torch.ones(2, 2).to_mkldnn()
    finally:
        del os.environ[_ONEDNN_CAPACITY]


def default_torch_state_per_item(function: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Decorate a generator function: `default_torch_state` is active only while an item is computed."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = function(*args, **kwargs)
        while True:
            with default_torch_state():
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    return run
