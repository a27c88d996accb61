"""A running TensorBoard server, and the requests of its web pages."""

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
    """A TensorBoard server. address: such as `http://127.0.0.1:6006/`."""

    address: str

    def get(self, path: str, **query: object) -> bytes:
        """Return the body of a page. Raises HTTPError if the status is not 200."""
        return self._send(f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def json(self, path: str, **query: object) -> Any:
        """Return the JSON value of a page."""
        return json.loads(self.get(path, **query))

    def post(self, path: str, data: object) -> Any:
        """Send a JSON value and return the JSON answer."""
        return json.loads(self._send(path, json.dumps(data).encode()))

    def tags(self, plugin: str) -> dict[str, Any]:
        """Return the tags of a plugin, by run."""
        return self.json(f"data/plugin/{plugin}/tags")

    def sounds(self, run: str, tag: str) -> list[tuple[int, bytes]]:
        """Return step and content of every audio clip of a tag, as the page AUDIO requests them."""
        entries = self.json("data/plugin/audio/audio", run=run, tag=tag, sample=0)
        return [(entry["step"], self.get(f"data/plugin/audio/individualAudio?{entry['query']}")) for entry in entries]

    def pictures(self, run: str, tag: str) -> list[tuple[int, bytes]]:
        """Return step and content of every image of a tag, as the page IMAGES requests them."""
        entries = self.json("data/plugin/images/images", run=run, tag=tag, sample=0)
        return [(entry["step"], self.get(f"data/plugin/images/individualImage?{entry['query']}")) for entry in entries]

    def texts(self, run: str, tag: str) -> list[str]:
        """Return the HTML of every text of a tag."""
        return [entry["text"] for entry in self.json("data/plugin/text/text", run=run, tag=tag)]

    def hyperparameters(self) -> dict[str, dict[str, Any]]:
        """Return the hyperparameters by run, as the page HPARAMS requests them."""
        request = {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"], "sliceSize": 1000}
        answer = self.post("data/plugin/hparams/session_groups", request)
        return {group["name"]: group["hparams"] for group in answer["sessionGroups"]}

    def _send(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


@contextmanager
def tensorboard(logs: Path, runs: set[str], seconds: float = 120.0) -> Iterator[Board]:
    """Start `tensorboard` on a free port of this machine and yield it when all `runs` are loaded."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1", "--port", "0"]
    output = logs.parent / "tensorboard.txt"
    deadline = time.monotonic() + seconds
    with output.open("wb") as file:
        process = subprocess.Popen([*command, "--reload_interval", "1"], stdout=file, stderr=file)
    try:
        while not (match := re.search(r"TensorBoard [\d.]+ at (\S+)", output.read_text("utf-8", "replace"))):
            assert process.poll() is None and time.monotonic() < deadline, output.read_text("utf-8", "replace")
            time.sleep(0.1)
        board = Board(match[1])
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
    """Wait until no new tag appears for a second."""
    previous = None
    while (current := [board.tags(plugin) for plugin in ("audio", "images", "text")]) != previous:
        assert time.monotonic() < deadline, "TensorBoard is still loading"
        previous = current
        time.sleep(1)
