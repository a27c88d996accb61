"""The options `--jobs` and `--dask` of verbs whose work is done by several workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from tts_meta.executors import Workers

ModelJobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        help="Number of processes. Each one loads all models and uses one CPU.",
        show_default="1",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Compute on a Dask cluster: the address of its scheduler, such as tcp://host:8786. The workers need the "
        "same files.",
    ),
]


def workers_of(jobs: int | None, dask: str | None, default: int = 1) -> Workers:
    """Return where work is done. Raises UsageError if both options are given."""
    from tts_meta.executors import Workers

    if jobs is not None and dask is not None:
        raise UsageError("--jobs and --dask exclude each other; the Dask cluster has its own workers")
    return Workers(default if jobs is None else jobs, dask)
