"""`CallRecord`: the data, code, command and times of a training run, in `run.json` of its folder and in its result.

No absolute path of the user is recorded: a path is relative to the working directory or only a name.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PureWindowsPath
from typing import Any

import torch

from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.files import atomic_file, sha256_file
from tts_meta.headers import read_header
from tts_meta.models.run_record import MAX_CALLS, MAX_COMMAND, RunRecord
from tts_meta.train.distributed import is_first, rank_and_world
from tts_meta.train.run_dir import RECORD

_PATH = re.compile(r"""(?<![\w./~-])(?:~[\w.-]*|[A-Za-z]:)?[/\\](?!/)[^,\[\]{}'"]*""")
"""An absolute path in an argument, also after `KEY=` and in lists; not the part of an address after `//`."""


class CallRecord:
    """The record of this call of a verb, after those of earlier calls of the same run; the first process writes it."""

    def __init__(self, output: Path, verb: str, command: str, manifest: Path, used: Manifest, device: str) -> None:
        self._path, self._verb = output / RECORD, verb
        self._data, self._calls = dict[str, Any](), list[dict[str, Any]]()
        if not is_first():
            return
        speakers, seconds = len(used.speakers), sum(utterance.seconds for utterance in used)
        self._data = {
            "manifest": without_absolute_path(manifest),
            "sha256": sha256_file(manifest),
            "utterances": len(used),
            "hours": round(seconds / 3600, 4),
            "speakers": speakers,
        }
        call = {"command": excerpt(without_absolute_paths(command), MAX_COMMAND - 1), "version": _version("tts_meta")}
        call |= {**code_commit(), "torch": str(torch.__version__), "python": platform.python_version()}
        call |= {"machine": _machine(device), "processes": rank_and_world()[1], "started": _now(), "ended": None}
        self._calls = [*_earlier_calls(self._path), call]
        del self._calls[1 : max(1, len(self._calls) - MAX_CALLS + 1)]
        self._write()

    def finished(self) -> dict[str, Any]:
        """Return the record by the name of the verb, for `runs` in `state.json`, and write it with the time."""
        if not is_first():
            return {}
        self._calls[-1]["ended"] = _now()
        self._write()
        return {self._verb: {"data": self._data, "calls": self._calls}}

    def _write(self) -> None:
        with atomic_file(self._path) as temporary:
            text = json.dumps({"data": self._data, "calls": self._calls}, indent=1, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")


def without_absolute_path(path: str | Path) -> str:
    """Return a path relative to the working directory if it is in it, else unchanged if relative, else its name."""
    text = str(path)
    if "\\" in text:
        windows = PureWindowsPath(text)
        return windows.name if windows.drive or windows.root else text
    expanded = Path(text).expanduser() if text.startswith("~") else Path(text)
    if not expanded.is_absolute():
        return text if not text.startswith("~") else expanded.name
    working = Path.cwd()
    return str(expanded.relative_to(working)) if expanded.is_relative_to(working) else expanded.name


def without_absolute_paths(command: str) -> str:
    """Return a command line whose absolute paths are as `without_absolute_path` returns them."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return shlex.join(_PATH.sub(lambda match: without_absolute_path(match[0]), word) for word in words)


def code_commit() -> dict[str, Any]:
    """Return the git commit of this package's code and whether its files have changes; None for both without git."""
    folder = Path(__file__).resolve().parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()

    try:
        # An installed package may be in a folder of another repository, which does not track its files.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _earlier_calls(path: Path) -> list[dict[str, Any]]:
    """The calls in `run.json`; none if it is missing or damaged, because it does not change the result of a run."""
    try:
        record = read_header(path, RunRecord, "")
    except TtsMetaError:
        return []
    return [call.model_dump(mode="json") for call in record.calls]


def _machine(device: str) -> str:
    """System, processor architecture and number of CPUs, and the GPU if it computes; not the name of the host."""
    gpu = f", {torch.cuda.get_device_name()}" if device.startswith("cuda") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs{gpu}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
