"""Progress of work on many files: count, rate and time left, on the terminal or as lines in a log."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tts_meta.cli.console import print_message
from tts_meta.cli.progress import progress_bar

_LINE_SECONDS = 60.0
"""Seconds between two lines in a log."""
_BAR_SECONDS = 0.2
"""Seconds between two updates of the bar."""
_RATE_SECONDS = 120.0
"""The rate is that of the last two minutes."""


class Rate:
    """Items a second, without those that an earlier run has done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points: deque[tuple[float, int]] = deque()

    @property
    def has_begun(self) -> bool:
        """Whether a number of items was given."""
        return bool(self._points)

    def describe(self, done: int, total: int) -> str:
        """Return the rate and the time left, such as `14.2/s, 1:56:03 left`; empty as long as they are unknown."""
        now = self._clock()
        if self._points and done < self._points[-1][1]:
            self._points.clear()  # another stage of the work has begun
        self._points.append((now, done))
        while now - self._points[0][0] > _RATE_SECONDS and len(self._points) > 2:
            self._points.popleft()
        seconds, items = now - self._points[0][0], done - self._points[0][1]
        if not seconds or not items:
            return ""
        left = round((total - done) * seconds / items)
        return f"{items / seconds:.1f}/s, {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"


@contextmanager
def work_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that receives the numbers of items that are done and of all items, and shows the progress.

    Without a terminal, a line on stderr appears every minute.
    """
    rate, is_terminal = Rate(), sys.stderr.isatty()
    interval = _BAR_SECONDS if is_terminal else _LINE_SECONDS
    next_time = time.monotonic() + (0.0 if is_terminal else interval)
    with progress_bar(what) as bar:

        def report(done: int, total: int) -> None:
            nonlocal next_time
            if not rate.has_begun:
                rate.describe(done, total)
            if time.monotonic() < next_time and done < total:
                return
            note = rate.describe(done, total)
            if is_terminal:
                bar.update(done, total, note)
            elif time.monotonic() >= next_time:
                print_message(f"{what}: {done} of {total}{note and ', '}{note}")
            next_time = max(next_time, time.monotonic() + interval)

        yield report
