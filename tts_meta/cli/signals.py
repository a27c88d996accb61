"""SIGTERM as an exception, so that the program stops as after Ctrl-C: no half-written file, and one line on stderr."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED_STATUS = 143
"""Exit status after SIGTERM, by the convention of shells: 128 + SIGTERM."""


@contextmanager
def sigterm_raises() -> Iterator[list[int]]:
    """Inside the block SIGTERM raises KeyboardInterrupt. Yields a list that then holds the number of the signal.

    A second SIGTERM ends the process at once. A handler that the caller has set stays, and so does an ignored SIGTERM.
    Only the main thread can handle signals: in other threads the block changes nothing.
    """
    received: list[int] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield received
        return
    process_id = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process_id:
            os.kill(os.getpid(), number)  # a worker forked inside the block ends as it would without this handler
            return
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handle)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
