"""A running TensorBoard, and what its own pages ask it for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Board:
    """A server at an address, such as `http://127.0.0.1:6006/`."""

    address: str

    def get(self, path: str, **query: object) -> bytes:
        """The body of a page. Raises HTTPError where it does not answer with 200."""
        return self._send(f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def json(self, path: str, **query: object) -> Any:
        return json.loads(self.get(path, **query))

    def post(self, path: str, data: object) -> Any:
        return json.loads(self._send(path, json.dumps(data).encode()))

    def tags(self, plugin: str) -> dict[str, Any]:
        """Tags of a plugin by run."""
        return self.json(f"data/plugin/{plugin}/tags")

    def sounds(self, run: str, tag: str) -> list[tuple[int, bytes]]:
        """Step and content of every sound of a tag, as the audio page plays them."""
        entries = self.json("data/plugin/audio/audio", run=run, tag=tag, sample=0)
        return [(one["step"], self.get(f"data/plugin/audio/individualAudio?{one['query']}")) for one in entries]

    def pictures(self, run: str, tag: str) -> list[tuple[int, bytes]]:
        """Step and content of every picture of a tag, as the image page shows them."""
        entries = self.json("data/plugin/images/images", run=run, tag=tag, sample=0)
        return [(one["step"], self.get(f"data/plugin/images/individualImage?{one['query']}")) for one in entries]

    def texts(self, run: str, tag: str) -> list[str]:
        """HTML of every text of a tag."""
        return [one["text"] for one in self.json("data/plugin/text/text", run=run, tag=tag)]

    def hyperparameters(self) -> dict[str, dict[str, Any]]:
        """Hyperparameters by run, as the page HPARAMS asks for them."""
        asked = {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"], "sliceSize": 1000}
        found = self.post("data/plugin/hparams/session_groups", asked)
        return {one["name"]: one["hparams"] for group in found["sessionGroups"] for one in [group]}

    def _send(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


@contextmanager
def tensorboard(logs: Path, runs: set[str], seconds: float = 120.0) -> Iterator[Board]:
    """The program `tensorboard` on a free port of this machine, with all `runs` loaded within so many seconds."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1", "--port", "0"]
    printed = logs.parent / "tensorboard.txt"
    deadline = time.monotonic() + seconds
    with printed.open("wb") as file:
        process = subprocess.Popen([*command, "--reload_interval", "1"], stdout=file, stderr=file)
    try:
        while not (found := re.search(r"TensorBoard [\d.]+ at (\S+)", printed.read_text("utf-8", "replace"))):
            assert process.poll() is None and time.monotonic() < deadline, printed.read_text("utf-8", "replace")
            time.sleep(0.1)
        board = Board(found[1])
        while not runs <= set(listed := board.json("data/runs")):
            assert time.monotonic() < deadline, f"TensorBoard lists {listed}, not all of {runs}"
            time.sleep(0.1)
        _wait_until_loaded(board, deadline)
        yield board
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_loaded(board: Board, deadline: float) -> None:
    """Wait until a second passes without another tag."""
    before = None
    while (now := [board.tags(plugin) for plugin in ("audio", "images", "text")]) != before:
        assert time.monotonic() < deadline, "TensorBoard goes on loading"
        before = now
        time.sleep(1)
