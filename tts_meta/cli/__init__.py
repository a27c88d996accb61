"""The command line, `tts-meta`: one file per verb. The library never imports it.

The exit status is 0 for success, 1 for a failure, 2 for wrong use, 130 after Ctrl-C, 143 after SIGTERM. An error is one
line on stderr that says what is wrong and what to do. The environment variable TTS_META_DEBUG=1 shows the Python
traceback instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

START_TIME = time.perf_counter()
"""When the program started, for `--profile`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `tts-meta` with `arguments`, by default those of the process, and return the exit status."""
    verb_arguments = list(sys.argv[1:] if arguments is None else arguments)

    def run_verb() -> int:
        from tts_meta.cli.app import run

        return run(verb_arguments)

    return run_command(run_verb)


def run_command(work: Callable[[], int | None]) -> int:
    """Run `work`, print any error that it raises as one line, and return the exit status. Scripts call it too.

    The exit status is what `work` returns, 0 for None, or the status of the error as listed above.
    """
    from tts_meta.cli.signals import TERMINATED_STATUS, sigterm_raises
    from tts_meta.cli.streams import discard_stdout, flush_stdout, open_standard_streams, write_error

    open_standard_streams()
    with sigterm_raises() as received:
        try:
            status = work() or 0
            flush_stdout()
            return status
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("TTS_META_DEBUG") == "1":
                raise
            from tts_meta.cli.error_reporting import describe

            status, line = describe(error)
            if isinstance(error, OSError):
                discard_stdout()
            if line:
                write_error(f"tts-meta: {line}")
            return TERMINATED_STATUS if received else status
