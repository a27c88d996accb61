"""Speak many different sentences in one process and watch its memory.

    python recipes/memory.py --sentences 300

Prints the resident memory as it goes. Exits with status 1 where the mean of the last 50 sentences is more than 5 %
above that after the first 50. Needs Linux (`/proc/self/statm`).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import sys
from pathlib import Path

from tts_meta import Synthesizer, speak
from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError

WARM_UP, LIMIT = 50, 0.05
_TEXT = (
    "the river was cold and nobody had crossed it since morning but a boat with three lanterns came slowly down from "
    "the village where people still talked about rain harvest prices music their neighbours old stories and what might "
    "happen when winter came early again over hills that looked grey"
)


def sentences(count: int) -> list[str]:
    """Sentences of 1 to 30 words, no two of them alike."""
    draws, words = random.Random(0), _TEXT.split()
    return [f"{' '.join(draws.choices(words, k=draws.randint(1, 30)))} {number}." for number in range(count)]


def resident() -> int:
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run() -> int:
    parser = argparse.ArgumentParser(description="Speak many sentences in one process and watch its memory.")
    parser.add_argument("--sentences", type=int, default=300)
    parser.add_argument("--voice", default="base", help="a voice file, or `base`")
    parser.add_argument("--function", action="store_true", help="use the function `speak`, not one Synthesizer")
    options = parser.parse_args()
    if options.sentences < 2 * WARM_UP:
        raise TtsMetaError(f"--sentences must be {2 * WARM_UP} or more")
    kept = None if options.function else Synthesizer(options.voice)
    held = []
    for number, sentence in enumerate(sentences(options.sentences), start=1):
        _ = speak(options.voice, sentence) if kept is None else kept.speak(sentence)
        held.append(resident())
        if number % WARM_UP == 0:
            print(f"after {number} sentences: {held[-1] / 2**20:.1f} MiB", flush=True)
    first, last = held[WARM_UP - 1], sum(held[-WARM_UP:]) / WARM_UP
    growth = last / first - 1
    print(f"growth after the first {WARM_UP}: {100 * growth:+.1f} %, at most {100 * LIMIT:.0f} % is allowed")
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
        print(f"after the allocator gave back what is free: {resident() / 2**20:.1f} MiB")
    return int(growth > LIMIT)


if __name__ == "__main__":
    sys.exit(run_command(run))
