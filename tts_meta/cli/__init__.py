"""The command line, `tts-meta`: one thin function per verb. The library never imports it.

The exit status is 0 for success, 1 for a failure, 2 for a wrong call, 130 after Ctrl-C. An error is one line on stderr
that says what is wrong and what to do; the environment variable TTS_META_DEBUG=1 shows the Python trace instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

STARTED = time.perf_counter()
"""When the program began, for `--timings`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `tts-meta` with `arguments`, those of the process by default, and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def verb() -> int:
        from tts_meta.cli.app import run

        return run(given)

    return told(verb)


def told(work: Callable[[], int | None]) -> int:
    """Do `work` and return its exit status, 0 where it gives none; whatever it raises is told as above. For scripts."""
    try:
        status = work() or 0
        sys.stdout.flush()
        return status
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("TTS_META_DEBUG") == "1":
            raise
        from tts_meta.cli.faults import describe

        status, line = describe(error)
        if isinstance(error, BrokenPipeError):
            # Nobody reads the output any more; Python would say so once again when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if line:
            print(f"tts-meta: {line}", file=sys.stderr)
        return status
