"""Run a function or a program in two processes of one process group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn  # import before the group exists, as `tts_meta.train.distributed.process_group` does
from torch.multiprocessing.spawn import spawn


def in_two_processes(work: Callable[[], dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Return the results of `work`, a function at module level, in two processes that exchange files in `folder`."""
    spawn(_run, (work, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def under_torchrun(code: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program in two processes of one thread each. It is written to `folder` and can import the test modules."""
    worker = folder / "worker.py"
    worker.write_text(f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n{code}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(worker), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)


def _run(rank: int, work: Callable[[], dict[str, Any]], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(work(), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
