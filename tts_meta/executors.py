"""`worker_pool`: independent pieces of work in this process, in processes of this machine, or on a Dask cluster.

Work is handed out through `concurrent.futures.Executor`, so the code that needs it does not know where it runs.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from tts_meta.errors import TtsMetaError, excerpt

Context = TypeVar("Context")
Item = TypeVar("Item")
Result = TypeVar("Result")

_DASK_ITEMS = 16
"""Items of one Dask task. A scheduler handles a few thousand tasks a second."""
_DASK_SECONDS = 30
"""Seconds to wait for a Dask scheduler and for its first worker."""


@dataclass(frozen=True)
class Workers:
    """Where work is done: in `jobs` processes, or on the Dask cluster whose scheduler has the address `dask`."""

    jobs: int = 1
    dask: str | None = None

    @property
    def in_process(self) -> bool:
        """Whether one job is to be done, which needs no other process."""
        return self.jobs == 1 and self.dask is None


ONE_JOB = Workers()


class ContextWork(Generic[Context, Item, Result]):
    """Work on items that needs a context, such as loaded models. Each process creates the context once.

    create: returns the context. It is pickled, so it is a function of a module, or a `partial` of one. work: a function
    of a module that takes the context and an item. context: the context of this process, if it exists already. One item
    is worked on at a time in each process, because models and random generators belong to the process.
    """

    def __init__(
        self,
        create: Callable[[], Context],
        work: Callable[[Context, Item], Result],
        context: Context | None = None,
    ) -> None:
        self._create, self._work, self._context = create, work, context

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_context": None}

    def __call__(self, item: Item) -> Result:
        with _context_lock:
            if self._context is None:
                self._context = _context_of_process(self._create)
            return self._work(self._context, item)


_context_lock = threading.RLock()
_contexts: dict[bytes, Any] = {}


def _context_of_process(create: Callable[[], Context]) -> Context:
    """Return the context of an equal `create` of an earlier call in this process, or a new one."""
    key = pickle.dumps(create)
    if key not in _contexts:
        _contexts.clear()  # a worker of a cluster outlives a run, and models take much memory
        _contexts[key] = create()
    return _contexts[key]


@dataclass(frozen=True)
class WorkerPool:
    """An executor, the number of tasks that it runs at a time, and the number of items of a task."""

    executor: Executor
    size: int
    task_items: int = 1

    def run(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result, in the order in which results arrive.

        `items` may be a long stream: at most a few tasks for each worker are in memory. `work` must be a function of a
        module or a `ContextWork`, and must not depend on the order of the items. Inside it PyTorch uses one thread, so
        results do not depend on the number of workers. Raises what `work` raises, and TtsMetaError if a worker process
        ends.
        """
        finished: queue.SimpleQueue[Future[list[Result]]] = queue.SimpleQueue()
        pending: dict[Future[list[Result]], list[Item]] = {}
        items = iter(items)
        try:
            while True:
                while len(pending) < 3 * self.size and (batch := list(islice(items, self.task_items))):
                    future = self.executor.submit(_run_batch, work, batch)
                    pending[future] = batch
                    future.add_done_callback(finished.put)
                    if self.size == 1 and future.done():
                        break
                if not pending:
                    return
                future = finished.get()
                results = self._results(future, pending)
                yield from zip(pending.pop(future), results, strict=True)
        finally:
            for future in pending:
                future.cancel()

    @staticmethod
    def _results(future: Future[list[Result]], pending: dict[Future[list[Result]], list[Any]]) -> list[Result]:
        try:
            return future.result()
        except Exception as error:
            if type(error).__name__ not in ("BrokenProcessPool", "KilledWorker", "CancelledError"):
                raise
            names = ", ".join(str(batch[0]) for batch in list(pending.values())[:2])
            raise TtsMetaError(
                f"a worker process ended without an error, at {excerpt(names)} or near it; give fewer jobs if memory "
                "ran out, and run the same command again to continue"
            ) from error


@contextmanager
def worker_pool(
    jobs: int = 1, dask: str | None = None, in_process: bool = False, task_items: int = _DASK_ITEMS
) -> Iterator[WorkerPool]:
    """Yield a pool of `jobs` processes of this machine, or of the workers of the Dask scheduler at address `dask`.

    in_process: run the work in this process, for work that takes less time than the start of a process, about 2 s.
    task_items: number of items of a task on the cluster; 1 for items that take seconds.
    Raises TtsMetaError if there is no scheduler at the address, it has no worker, or the extra `cluster` is missing.
    """
    if dask is not None:
        with _dask_pool(dask, task_items) as pool:
            yield pool
    elif in_process:
        with _one_thread():
            yield WorkerPool(_InProcessExecutor(), 1)
    else:
        # A forked process would copy locks that threads of this process hold.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
        try:
            yield WorkerPool(executor, jobs)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _InProcessExecutor(Executor):
    """Runs each task in `submit`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _dask_pool(address: str, task_items: int) -> Iterator[WorkerPool]:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise TtsMetaError("a Dask cluster needs dask; install it with: pip install '.[cluster]'") from error
    try:
        client = distributed.Client(address, timeout=_DASK_SECONDS, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise TtsMetaError(
            f"no Dask scheduler answers at {address} ({excerpt(str(error))}); start one with `dask scheduler`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_DASK_SECONDS)
        except Exception as error:
            raise TtsMetaError(
                f"the Dask scheduler at {address} has no worker; start one with `dask worker {address}`"
            ) from error
        yield WorkerPool(client.get_executor(pure=False), sum(client.nthreads().values()), task_items)


def _run_batch(work: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    import torch

    if torch.get_num_threads() != 1:  # a Dask worker has its own setting
        torch.set_num_threads(1)
    return [work(item) for item in items]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Restore the number of PyTorch's threads at the end of the block."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start_worker() -> None:
    """Prepare a worker process: Ctrl-C stops its parent, and the end of its parent stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A worker of a killed parent would wait for work for ever.
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()


def _exit_with_parent(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
