"""A page in headless Chromium, controlled by the DevTools protocol over two pipes, without a driver or package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1400,1000",
)
# Chromium reads commands from file descriptor 3 and writes answers to 4, so the pipes are moved to these numbers.
_START = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """The page of a running browser."""

    def __init__(self, commands: int, answers: int, deadline: float) -> None:
        self._commands, self._answers, self._deadline = commands, answers, deadline
        self._last_id, self._buffer = 0, b""
        targets = self._call("Target.getTargets")["targetInfos"]
        target_id = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session: str | None = None
        self._session = self._call("Target.attachToTarget", targetId=target_id, flatten=True)["sessionId"]

    def open(self, address: str) -> None:
        """Open an address. The page may still be loading when this returns."""
        self._call("Page.navigate", url=address)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        options = {"expression": script, "awaitPromise": True, "returnByValue": True}
        result = self._call("Runtime.evaluate", **options)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"])
        return result["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Return the value of an expression as soon as it is true. Raises TimeoutError if it does not become true."""
        while True:
            if value := self.evaluate(script):
                return value
            if time.monotonic() > self._deadline:
                raise TimeoutError(f"still false at the deadline: {script}")
            time.sleep(0.1)

    def screenshot(self, path: Path) -> None:
        """Write a PNG of the window."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self) -> bytes:
        """Return the next message, which ends with a null byte."""
        while b"\0" not in self._buffer:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0 or not select.select([self._answers], [], [], remaining)[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._answers, 1 << 16)
            if not data:
                raise TimeoutError("the browser has exited")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return message


@contextmanager
def browser(profile: Path, seconds: float = 60.0) -> Iterator[Page]:
    """Yield the page of a browser with a new profile; calls fail after `seconds`."""
    assert CHROMIUM is not None
    browser_input, commands = os.pipe()
    answers, browser_output = os.pipe()
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    starter = [sys.executable, "-c", _START, str(browser_input), str(browser_output), *command]
    process = subprocess.Popen(
        starter,
        pass_fds=(browser_input, browser_output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(browser_input)
    os.close(browser_output)
    try:
        yield Page(commands, answers, time.monotonic() + seconds)
    finally:
        os.close(commands)  # The browser exits when the pipe is closed.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(answers)
