"""SIGTERM as an exception, so that the work ends as after Ctrl-C: nothing half-written, and one line that says so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED_STATUS = 143
"""As of a program ended by the signal."""


@contextmanager
def sigterm_raises() -> Iterator[list[int]]:
    """Inside, SIGTERM raises KeyboardInterrupt; yield the list that then holds its number.

    A second SIGTERM ends the process at once. A handler of the caller, or that the signal is ignored, stays. Only the
    main thread can handle signals: elsewhere nothing changes.
    """
    received: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield received
        return
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != own:
            os.kill(os.getpid(), number)  # a worker that was forked inside ends as it would without this handler
            return
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
