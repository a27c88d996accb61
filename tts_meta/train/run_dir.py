"""The folder of a training run: its lock and its configuration; and the progress bar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tts_meta.config import Section, dump_config
from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_file
from tts_meta.headers import read_json
from tts_meta.train.distributed import all_agree, is_first

CHANGEABLE_SETTINGS = (
    *("output", "cache", "device", "threads", "workers", "max_hours"),
    *("log_every", "save_every", "sample_every", "sentences", "language"),
    *("keep_last", "keep_best", "resume"),
)
"""Settings that may differ when a run continues, because they do not change the result: where and how long it computes,
and how often it logs, saves and samples. The language acts through the phonemizer and the utterances."""
EXTENDABLE_SETTINGS = ("meta_steps",)
"""Settings that may grow when a run continues. The schedules of the further steps are those of the longer run."""
_CONFIG, _LOCK, RECORD = "config.json", ".lock", "run.json"


@contextmanager
def open_run_dir(output: Path, config: Section) -> Iterator[None]:
    """Lock a run's folder for the block, so that no other run writes there; its configuration is in `config.json`.

    The operating system releases the lock (flock) when the process ends. Under `torchrun` the first process locks the
    folder for all. Raises TtsMetaError, in all processes, if another run has the lock or the run in the folder has
    another configuration. A folder with a configuration and no results may be used.
    """
    lock, failure = None, None
    if is_first():
        try:
            lock = _lock(output)
            _write_config(output, config)
        except TtsMetaError as error:
            failure = error
    try:
        if not all_agree(failure is None):
            raise failure or TtsMetaError(f"{output}: the run did not start; see the message of the first process")
        yield
    finally:
        if lock is not None:
            lock.release()


def _lock(output: Path) -> FileLock:
    lock = FileLock(output / _LOCK)
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TtsMetaError(
            f"{output}: another run is training in this folder; wait until it ends or choose another output folder"
        ) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or excerpt(str(error))
        raise TtsMetaError(f"cannot write in {output}: {reason}; choose another output folder") from error
    return lock


def _write_config(output: Path, config: Section) -> None:
    """Write the configuration, or check that the run in the folder has the same one."""
    path = output / _CONFIG
    if path.exists() and _has_results(output):
        advice = f"restore it, or delete {output} to start again"
        if difference := _difference(read_json(path, advice), config):
            raise TtsMetaError(
                f"{output} holds a run with another configuration ({difference}); choose another output folder"
            )
    with atomic_file(path) as temporary:
        temporary.write_text(dump_config(config), encoding="utf-8")


def _has_results(output: Path) -> bool:
    """Whether the folder holds more than a configuration, a record of the calls, a lock, logs and temporary files."""
    idle = (_CONFIG, _LOCK, RECORD)
    names = (path.name for path in output.iterdir())
    return any(n not in idle and not n.startswith("events.out.") and not n.endswith(".tmp") for n in names)


def _difference(before: object, config: Section) -> str:
    """The first setting that differs and changes results, with both values; empty if there is none."""
    with suppress(ValidationError):
        # Settings that an older version did not write have their defaults.
        before = type(config).model_validate(before).model_dump(mode="json")
    was, now = (_flatten(data) for data in (before, config.model_dump(mode="json")))
    for name in [*now, *(name for name in was if name not in now)]:
        changed = name.split(".")[0] not in CHANGEABLE_SETTINGS and was.get(name) != now.get(name)
        if changed and not (name in EXTENDABLE_SETTINGS and name in was and now[name] > was[name]):
            values = (excerpt(json.dumps(values.get(name), ensure_ascii=False), 60) for values in (was, now))
            return excerpt("{}: {}, now {}".format(name, *values))
    return ""


def _flatten(data: object, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    if not isinstance(data, dict) or not data:
        return {prefix.removesuffix("."): data}
    return {name: value for key, part in data.items() for name, value in _flatten(part, f"{prefix}{key}.").items()}


def progress_bar(rank: int) -> Progress:
    """A progress bar on stderr with a note, `task.fields["note"]`; only the first process shows it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True, quiet=rank > 0),
        disable=rank > 0,
    )
