"""Cost of meta-learning: memory, time compared with other libraries, two processes, and tasks in parallel.

python recipes/meta_cost/cost.py                  all parts, about two minutes on two cores
python recipes/meta_cost/cost.py memory time      some parts: memory, time, processes, tasks

Prints Markdown tables.
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
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from unittest import mock

import implementations
import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a process group, as in `tts_meta.train.distributed.processes`
from implementations import Implementation
from measure import median_and_quartiles, print_table, process_status, timed

from tts_meta.cli import run_command
from tts_meta.meta import Budget, Task

POINTS, WIDTH = 100, 256
LIMIT_GIB, LIMIT_SECONDS = 4, 300

# Memory.

MEMORY_STEPS = (10, 100, 1_000, 10_000)
MEMORY: Mapping[str, Callable[[int], Implementation]] = {
    "sigma-imaml": lambda steps: implementations.tts_meta_learner("sigma-imaml", WIDTH, steps),
    "sigma-reptile": lambda steps: implementations.tts_meta_learner("sigma-reptile", WIDTH, steps),
    "maml": lambda steps: implementations.tts_meta_learner("maml", WIDTH, steps),
    "higher": lambda steps: implementations.higher_maml(WIDTH, steps),
    "torchopt": lambda steps: implementations.torchopt_maml(WIDTH, steps),
}


def memory() -> None:
    """Peak memory of one meta-step, each in a separate process."""
    names = [name for name in MEMORY if name not in ("higher", "torchopt") or implementations.installed(name)]
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(_memory_row, names))
    print_table(
        f"Peak memory of one meta-step above the memory before it, MiB; one task of {POINTS} + {POINTS} points, "
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
    """Print the peak memory of one meta-step above the memory of the process before it, MiB."""
    torch.set_num_threads(1)
    tasks = implementations.sinusoids(1, POINTS)
    MEMORY[name](1)[0](tasks)
    step, _ = MEMORY[name](steps)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = process_status("VmRSS")
    step(tasks)
    print((process_status("VmHWM") - before) / 1024)


# Time compared with other libraries.

ROUNDS, TASKS = 15, 8
SHAPES = ((WIDTH, POINTS), (40, 10))
UNROLLED_STEPS, IMPLICIT_STEPS, PRODUCTS = 5, 20, 10
ONE_AT_A_TIME, IN_PARALLEL = "tts_meta, one task at a time", "tts_meta, tasks in parallel"


def times() -> None:
    """Time of a meta-step of each implementation, one thread."""
    torch.set_num_threads(1)
    higher, torchopt = implementations.installed("higher"), implementations.installed("torchopt")
    learner = implementations.tts_meta_learner
    for width, points in SHAPES:
        tasks = implementations.sinusoids(TASKS, points)
        shape = f"{TASKS} tasks of {points} + {points} points, 1-{width}-{width}-1"
        unrolled = {
            ONE_AT_A_TIME: learner("maml", width, UNROLLED_STEPS),
            IN_PARALLEL: learner("maml", width, UNROLLED_STEPS, tasks_at_once=TASKS),
        }
        if higher:
            unrolled["higher"] = implementations.higher_maml(width, UNROLLED_STEPS)
        if torchopt:
            unrolled["TorchOpt MetaSGD"] = implementations.torchopt_maml(width, UNROLLED_STEPS)
            unrolled["TorchOpt FuncOptimizer"] = implementations.torchopt_functional_maml(width, UNROLLED_STEPS)
        _compare(f"MAML, {UNROLLED_STEPS} inner steps; {shape}", unrolled, tasks)
        implicit = {
            ONE_AT_A_TIME: learner("sigma-imaml", width, IMPLICIT_STEPS, PRODUCTS),
            IN_PARALLEL: learner("sigma-imaml", width, IMPLICIT_STEPS, PRODUCTS, TASKS),
        }
        if torchopt:
            implicit["TorchOpt custom_root"] = implementations.torchopt_custom_root(width, IMPLICIT_STEPS, PRODUCTS)
        _compare(f"σ-iMAML, {IMPLICIT_STEPS} inner steps, {PRODUCTS} products of CG; {shape}", implicit, tasks)


def _compare(title: str, contenders: Mapping[str, Implementation], tasks: Sequence[Task]) -> None:
    """Run the implementations in turn in each round; ratios are between times of the same round."""
    names = list(contenders)
    for step, _ in contenders.values():
        step(tasks)
    reference = contenders[names[0]][1]()
    differences = {
        name: float((gradient() - reference).norm() / reference.norm()) for name, (_, gradient) in contenders.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(timed(lambda name=name: contenders[name][0](tasks)))
    rows = []
    for name in names:
        ratios = [
            median_and_quartiles([a / b for a, b in zip(seconds[name], seconds[own], strict=True)]) for own in names[:2]
        ]
        milliseconds = f"{1e3 * median(seconds[name]) / len(tasks):.2f}"
        rows.append([name, milliseconds, *ratios, f"{differences[name]:.0e}"])
    print_table(
        title,
        ["", "ms per task", f"÷ {ONE_AT_A_TIME}", f"÷ {IN_PARALLEL}", "difference of the meta-gradient"],
        rows,
    )


# Two processes.


def processes() -> None:
    """Tasks per second of two processes and of one, and the difference of their results."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        report = Path(folder) / "report"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, __file__, "--worker", str(report)], env=environment, check=True)
        print(report.read_text(), flush=True)


def worker(report: Path) -> None:
    """One of the processes. The first also times itself alone, while the other waits."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rows = [
        _process_row(name, steps)
        for name, steps in (
            ("sigma-imaml", IMPLICIT_STEPS),
            ("sigma-reptile", IMPLICIT_STEPS),
            ("maml", UNROLLED_STEPS),
        )
    ]
    if dist.get_rank() == 0:
        with report.open("w") as file:
            print_table(
                f"Tasks per second of one process and of two under torchrun (gloo, one thread each); "
                f"1-{WIDTH}-{WIDTH}-1, {TASKS} tasks per meta-step",
                [
                    "",
                    "one",
                    "two",
                    "speed-up",
                    "speed-up of two independent processes",
                    "difference of the first meta-gradient",
                    f"difference of the meta-parameters after {ROUNDS} steps",
                    "change of the meta-parameters",
                ],
                rows,
                file,
            )
    dist.destroy_process_group()


def _process_row(name: str, steps: int) -> list[str]:
    """The row of one learner; empty except in the first process."""
    tasks, rank = implementations.sinusoids(TASKS, POINTS), dist.get_rank()
    alone, both, independent = (implementations.build_trainer(name, WIDTH, steps, PRODUCTS) for _ in range(3))
    gradients = [implementations.last_gradient(alone), implementations.last_gradient(both)]
    learners = [implementations.learner_of(trainer) for trainer in (alone, both)]
    start = learners[0].adapted.detach().clone()
    one, two, unconnected, first = [], [], [], 0.0
    for number in range(ROUNDS):
        dist.barrier()
        two.append(timed(lambda: both.step(tasks)))
        dist.barrier()
        with mock.patch.object(dist, "is_initialized", lambda: False):
            unconnected.append(timed(lambda: independent.step(tasks)))
        dist.barrier()
        if rank == 0:
            with mock.patch.object(dist, "is_initialized", lambda: False):
                one.append(timed(lambda: alone.step(tasks)))
            if number == 0:
                first = float((gradients[0][0] - gradients[1][0]).norm() / gradients[0][0].norm())
    if rank != 0:
        return []
    ends = [torch.cat([learner.adapted, learner.log_variances]).detach() for learner in learners]
    difference = float((ends[0] - ends[1]).nan_to_num().abs().max())  # without a prior, log σ² is infinite
    moved = float((learners[0].adapted.detach() - start).abs().max())
    rates = [f"{TASKS / median(seconds[1:]):.1f}" for seconds in (one, two)]
    ratio = median_and_quartiles([a / b for a, b in zip(one[1:], two[1:], strict=True)])
    bound = median_and_quartiles([2 * a / b for a, b in zip(one[1:], unconnected[1:], strict=True)])
    return [name, *rates, ratio, bound, f"{first:.0e}", f"{difference:.0e}", f"{moved:.0e}"]


# Tasks in parallel.

COUNTS = (1, 8, 64, 512)


def parallel_tasks() -> None:
    """`adapt` with vectorised tasks, compared with one task after another."""
    torch.set_num_threads(1)
    steps, width, points, budget, rows = 20, 40, 10, Budget(20), []
    vectorised = implementations.build_trainer("maml", width, steps, tasks_at_once=1).learner
    sequential = implementations.build_trainer("maml", width, steps).learner
    for count in COUNTS:
        tasks = implementations.sinusoids(count, points)
        together = vectorised.adapt(tasks, budget)
        singly = [sequential.adapt([task], budget) for task in tasks]
        difference = max(
            float((value[index] - alone.params[name][0]).abs().max())
            for name, value in together.params.items()
            for index, alone in enumerate(singly)
        )
        at_once, in_turn = [], []
        for _ in range(3):
            at_once.append(timed(lambda tasks=tasks: vectorised.adapt(tasks, budget)))
            in_turn.append(timed(lambda tasks=tasks: [sequential.adapt([task], budget) for task in tasks]))
        ratio = median_and_quartiles([a / b for a, b in zip(in_turn, at_once, strict=True)])
        milliseconds = [f"{1e3 * median(seconds):.1f}" for seconds in (in_turn, at_once)]
        rows.append([str(count), *milliseconds, ratio, f"{difference:.0e}"])
    print_table(
        f"`adapt`, {steps} steps, {points} points, 1-{width}-{width}-1",
        ["tasks", "one at a time, ms", "in parallel, ms", "speed-up", "difference of θ"],
        rows,
    )


PARTS: Mapping[str, Callable[[], None]] = {
    "memory": memory,
    "time": times,
    "processes": processes,
    "tasks": parallel_tasks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the cost of meta-learning; needs Linux.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--probe", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # TorchOpt calls functorch by its old name
    if options.probe:
        probe(options.probe[0], int(options.probe[1]))
    elif options.worker:
        worker(options.worker)
    else:
        unknown = [part for part in options.parts if part not in PARTS]
        if unknown:
            parser.error(f"no part '{unknown[0]}'; parts: {', '.join(PARTS)}")
        print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores\n")
        if not implementations.installed("higher", "torchopt"):
            print(f"To measure the other libraries too: {implementations.INSTALL}\n")
        for part in options.parts or PARTS:
            PARTS[part]()


if __name__ == "__main__":
    sys.exit(run_command(main))
