"""Communication between the processes of `torchrun`; without `torchrun` there is one process.

Votes use the CPU (gloo), gradients the device that holds them (nccl for GPUs). All processes see the same files: on
several machines the output folder must be on a shared file system.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tts_meta.devices import choose_device, runs_in_torchrun
from tts_meta.errors import UsageError

_TIMEOUT = timedelta(days=7)
"""Processes wait for the slowest while they compute features. `torchrun` ends them all if one fails."""


@contextmanager
def process_group(device: str = "cpu") -> Iterator[int]:
    """Join the process group of `torchrun`, if there is one, for the block; yield the rank of this process.

    device: the device of the recipe. Each process uses its own GPU, as `choose_device` says. Raises UsageError for a
    device such as cuda:0 or mps, which all processes would share, and for a device that is not available.
    """
    if not runs_in_torchrun():
        yield 0
        return
    if device.startswith(("cuda:", "mps")):
        raise UsageError(f"under torchrun each process uses its own GPU; use --device cuda or cpu, not {device}")
    chosen = choose_device(device)
    on_gpu = chosen.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(chosen)
    # This module keeps the group that exists when it is imported, and torch imports it during training. The threads of
    # the group would then outlive it, and abort if they outlive the interpreter. So the import is before the group.
    importlib.import_module("torch.distributed.nn")
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def rank_and_world() -> tuple[int, int]:
    """Rank of this process and number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this is the process that writes files and prints."""
    return rank_and_world()[0] == 0


def barrier() -> None:
    """Return when every process has called this function."""
    all_agree(True)


def all_agree(vote: bool) -> bool:
    """Whether every process votes True, so that all stop at the same step."""
    if not dist.is_initialized():
        return vote
    votes = torch.tensor([int(vote)])
    dist.all_reduce(votes, dist.ReduceOp.MIN)
    return bool(votes)


def of_first(value: Tensor) -> Tensor:
    """The tensor of the first process; its shape and type are the same in each."""
    result = value.detach().clone()
    if dist.is_initialized():
        dist.broadcast(result, 0)
    return result


def all_reduce_sum(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient; its shape is the same in each."""
    total = value.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def all_reduce_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their sums over all processes, in one message; a missing gradient counts as zero."""
    if not dist.is_initialized():
        return
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    summed = all_reduce_sum(torch.cat([grad.reshape(-1) for grad in grads]))
    for parameter, grad, part in zip(parameters, grads, summed.split([g.numel() for g in grads]), strict=True):
        parameter.grad = part.view_as(grad)
