"""The processes that `torchrun` started: one alone where it started none.

Votes go over the CPU (gloo), gradients over the device they lie on (nccl where that is a GPU). All processes see the
same files: on several machines the output folder must lie on a file system that they share.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tts_meta.errors import UsageError

_PATIENCE = timedelta(days=7)
"""The others wait while one computes features; `torchrun` itself ends them all when one has failed."""


@contextmanager
def processes(device: str = "cpu") -> Iterator[int]:
    """Join the other processes of `torchrun`, if it started this one, each with its own GPU; the rank.

    Raises UsageError where they would share one, as `device` cuda:0 says.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield 0
        return
    if device.startswith("cuda:"):
        raise UsageError(f"under torchrun each process takes a GPU of its own; use --device cuda, not {device}")
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Its functions keep the group that there is when they are imported, which torch does in the midst of training: the
    # group's threads would outlive it, and abort where they outlive the interpreter.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def rank_and_world() -> tuple[int, int]:
    """Rank of this process and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this process is the one that writes and speaks for all."""
    return rank_and_world()[0] == 0


def barrier() -> None:
    """Return when every process has come here."""
    all_agree(True)


def all_agree(mine: bool) -> bool:
    """Whether every process says yes, so that all stop at the same step."""
    if not dist.is_initialized():
        return mine
    votes = torch.tensor([int(mine)])
    dist.all_reduce(votes, dist.ReduceOp.MIN)
    return bool(votes)


def all_reduce_sum(part: Tensor) -> Tensor:
    """Sum over all processes of a tensor of one shape in each, without a gradient."""
    part = part.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(part)
    return part


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients, in one message; what has none counts as zero."""
    if not dist.is_initialized():
        return
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    summed = all_reduce_sum(torch.cat([grad.reshape(-1) for grad in grads]))
    for parameter, grad, part in zip(parameters, grads, summed.split([g.numel() for g in grads]), strict=True):
        parameter.grad = part.view_as(grad)
