"""What meta-learning costs: memory, time beside peers, two processes, tasks side by side. Prints Markdown tables.

python recipes/meta_cost/cost.py                  all of it, about two minutes on two cores
python recipes/meta_cost/cost.py memory time      or parts: memory, time, processes, tasks
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from unittest import mock

import peers
import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group, as in `tts_meta.train.distributed.processes`

from tts_meta.cli import run_command
from tts_meta.meta import Task

POINTS, WIDTH = 100, 256
LIMIT_GIB, LIMIT_SECONDS = 4, 300

# Memory.

MEMORY_STEPS = (10, 100, 1_000, 10_000)
MEMORY: Mapping[str, Callable[[int], peers.Contestant]] = {
    "sigma-imaml": lambda steps: peers.our_contestant("sigma-imaml", WIDTH, steps),
    "sigma-reptile": lambda steps: peers.our_contestant("sigma-reptile", WIDTH, steps),
    "maml": lambda steps: peers.our_contestant("maml", WIDTH, steps),
    "higher": lambda steps: peers.higher_maml(WIDTH, steps),
    "torchopt": lambda steps: peers.torchopt_maml(WIDTH, steps),
}


def memory() -> None:
    """Peak memory of one meta-step, each in a process of its own."""
    names = [name for name in MEMORY if name not in ("higher", "torchopt") or peers.installed(name)]
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(_memory_row, names))
    _table(
        f"Peak memory of one meta-step above that before it, MiB; one task of {POINTS} + {POINTS} points, "
        f"1-{WIDTH}-{WIDTH}-1",
        ["inner steps", *(f"{steps:,}" for steps in MEMORY_STEPS)],
        rows,
    )


def _memory_row(name: str) -> list[str]:
    cells, last = [name], 0.0
    for steps in MEMORY_STEPS:
        if last * 10 > LIMIT_GIB * 1024:
            cells.append(f"left out: about {last * 10 / 1024:.0f} GiB")
            last *= 10
            continue
        command = [sys.executable, __file__, "--probe", name, str(steps)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True)
        except subprocess.TimeoutExpired:
            cells.append(f"left out: over {LIMIT_SECONDS} s")
            continue
        last = float(done.stdout.split()[-1])
        cells.append(f"{last:.1f}")
    return cells


def probe(name: str, steps: int) -> None:
    """Print the peak memory of one meta-step above what the process held before it, MiB."""
    torch.set_num_threads(1)
    tasks = peers.sinusoids(1, POINTS)
    MEMORY[name](1)[0](tasks)
    step, _ = MEMORY[name](steps)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = _status("VmRSS")
    step(tasks)
    print((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    """A figure of this process, KiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


# Time beside peers.

ROUNDS, TASKS = 15, 8
SHAPES = ((WIDTH, POINTS), (40, 10))
UNROLLED_STEPS, IMPLICIT_STEPS, PRODUCTS = 5, 20, 10


def times() -> None:
    """Time of a meta-step beside the peers', one thread."""
    torch.set_num_threads(1)
    higher, torchopt = peers.installed("higher"), peers.installed("torchopt")
    for width, points in SHAPES:
        tasks = peers.sinusoids(TASKS, points)
        shape = f"{TASKS} tasks of {points} + {points} points, 1-{width}-{width}-1"
        unrolled = {
            "ours, one at a time": peers.our_contestant("maml", width, UNROLLED_STEPS),
            "ours, side by side": peers.our_contestant("maml", width, UNROLLED_STEPS, side_by_side=TASKS),
        }
        if higher:
            unrolled["higher"] = peers.higher_maml(width, UNROLLED_STEPS)
        if torchopt:
            unrolled["TorchOpt MetaSGD"] = peers.torchopt_maml(width, UNROLLED_STEPS)
            unrolled["TorchOpt FuncOptimizer"] = peers.torchopt_functional_maml(width, UNROLLED_STEPS)
        _race(f"MAML, {UNROLLED_STEPS} inner steps; {shape}", unrolled, tasks)
        implicit = {
            "ours, one at a time": peers.our_contestant("sigma-imaml", width, IMPLICIT_STEPS, PRODUCTS),
            "ours, side by side": peers.our_contestant("sigma-imaml", width, IMPLICIT_STEPS, PRODUCTS, TASKS),
        }
        if torchopt:
            implicit["TorchOpt custom_root"] = peers.torchopt_custom_root(width, IMPLICIT_STEPS, PRODUCTS)
        _race(f"σ-iMAML, {IMPLICIT_STEPS} inner steps, {PRODUCTS} products of CG; {shape}", implicit, tasks)


def _race(title: str, contestants: Mapping[str, peers.Contestant], tasks: Sequence[Task]) -> None:
    """Interleaved rounds; ratios are of the same round."""
    names = list(contestants)
    for step, _ in contestants.values():
        step(tasks)
    ours = contestants[names[0]][1]()
    apart = {name: float((found() - ours).norm() / ours.norm()) for name, (_, found) in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(_timed(lambda name=name: contestants[name][0](tasks)))
    rows = []
    for name in names:
        ratios = [_spread([a / b for a, b in zip(seconds[name], seconds[own], strict=True)]) for own in names[:2]]
        rows.append([name, f"{1e3 * median(seconds[name]) / len(tasks):.2f}", *ratios, f"{apart[name]:.0e}"])
    _table(
        title,
        ["", "ms a task", "times ours, one at a time", "times ours, side by side", "meta-gradient differs by"],
        rows,
    )


# Two processes.


def processes() -> None:
    """Tasks a second of two processes beside one, and whether they do the same."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        report = Path(folder) / "report"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, __file__, "--worker", str(report)], env=environment, check=True)
        print(report.read_text(), flush=True)


def worker(report: Path) -> None:
    """One of the processes; the first times itself alone too, while the other waits."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    tasks, rank = peers.sinusoids(TASKS, POINTS), dist.get_rank()
    rows = []
    for name, steps in (("sigma-imaml", IMPLICIT_STEPS), ("sigma-reptile", IMPLICIT_STEPS), ("maml", UNROLLED_STEPS)):
        alone, both, solo = (peers.ours(name, WIDTH, steps, PRODUCTS) for _ in range(3))
        gradients = [peers.gradients_of(alone), peers.gradients_of(both)]
        start = alone.adapted.detach().clone()
        one, two, strangers, first = [], [], [], 0.0
        for number in range(ROUNDS):
            dist.barrier()
            two.append(_timed(lambda both=both: both.meta_step(tasks)))
            dist.barrier()
            with mock.patch.object(dist, "is_initialized", lambda: False):
                strangers.append(_timed(lambda solo=solo: solo.meta_step(tasks)))
            dist.barrier()
            if rank == 0:
                with mock.patch.object(dist, "is_initialized", lambda: False):
                    one.append(_timed(lambda alone=alone: alone.meta_step(tasks)))
                if number == 0:
                    first = float((gradients[0][0] - gradients[1][0]).norm() / gradients[0][0].norm())
        if rank == 0:
            ends = [torch.cat([learner.adapted, learner.log_variances]).detach() for learner in (alone, both)]
            apart = float((ends[0] - ends[1]).nan_to_num().abs().max())  # a learner without a prior has σ² infinite
            moved = float((alone.adapted.detach() - start).abs().max())
            rates = [f"{TASKS / median(seconds[1:]):.1f}" for seconds in (one, two)]
            ratio = _spread([a / b for a, b in zip(one[1:], two[1:], strict=True)])
            bound = _spread([2 * a / b for a, b in zip(one[1:], strangers[1:], strict=True)])
            rows.append([name, *rates, ratio, bound, f"{first:.0e}", f"{apart:.0e}", f"{moved:.0e}"])
    if rank == 0:
        with report.open("w") as file:
            _table(
                f"Tasks a second of one process and of two under torchrun (gloo, one thread each); "
                f"1-{WIDTH}-{WIDTH}-1, {TASKS} tasks a meta-step",
                [
                    "",
                    "one",
                    "two",
                    "speed-up",
                    "of two that share nothing",
                    "first meta-gradient differs by",
                    f"meta-parameters differ by, after {ROUNDS} steps",
                    "and moved by",
                ],
                rows,
                file,
            )
    dist.destroy_process_group()


# Tasks side by side.

COUNTS = (1, 8, 64, 512)


def side_by_side() -> None:
    """`adapt_many` vectorised beside one by one."""
    torch.set_num_threads(1)
    steps, width, points, rows = 20, 40, 10, []
    fast, slow = peers.ours("maml", width, steps, side_by_side=1), peers.ours("maml", width, steps)
    for count in COUNTS:
        tasks = peers.sinusoids(count, points)
        together = fast.adapt_many(tasks, steps)
        singly = [slow.adapt(task, steps) for task in tasks]
        apart = max(
            float((a.params[name] - b.params[name]).abs().max())
            for a, b in zip(together, singly, strict=True)
            for name in a.params
        )
        at_once, in_turn = [], []
        for _ in range(3):
            at_once.append(_timed(lambda tasks=tasks: fast.adapt_many(tasks, steps)))
            in_turn.append(_timed(lambda tasks=tasks: [slow.adapt(task, steps) for task in tasks]))
        ratio = _spread([a / b for a, b in zip(in_turn, at_once, strict=True)])
        rows.append([str(count), f"{1e3 * median(in_turn):.1f}", f"{1e3 * median(at_once):.1f}", ratio, f"{apart:.0e}"])
    _table(
        f"`adapt_many`, {steps} steps, {points} points, 1-{width}-{width}-1",
        ["tasks", "one by one, ms", "side by side, ms", "speed-up", "θ differs by"],
        rows,
    )


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _spread(values: Sequence[float]) -> str:
    """Median and quartiles."""
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{median(values):.2f} [{low:.2f}, {high:.2f}]"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], file=None) -> None:
    lines = [f"{title}:", "", *("| " + " | ".join(row) + " |" for row in [head, *rows]), ""]
    lines.insert(3, "| --- |" + " ---: |" * (len(head) - 1))
    print("\n".join(lines), file=file, flush=True)


PARTS: Mapping[str, Callable[[], None]] = {
    "memory": memory,
    "time": times,
    "processes": processes,
    "tasks": side_by_side,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What meta-learning costs; needs Linux.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # TorchOpt calls functorch by its old name
    if chosen.probe:
        probe(chosen.probe[0], int(chosen.probe[1]))
    elif chosen.worker:
        worker(chosen.worker)
    else:
        unknown = [part for part in chosen.parts if part not in PARTS]
        if unknown:
            parser.error(f"no part '{unknown[0]}'; parts: {', '.join(PARTS)}")
        print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores\n")
        if not peers.installed("higher", "torchopt"):
            print(f"To measure the peers too: {peers.INSTALL}\n")
        for part in chosen.parts or PARTS:
            PARTS[part]()


if __name__ == "__main__":
    sys.exit(run_command(main))
