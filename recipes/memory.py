"""Measure the memory of a process that speaks many different sentences.

    python recipes/memory.py --sentences 300

Prints the resident memory after every 50 sentences. Exits with status 1 if the mean of the last 50 sentences is more
than 5 % above the memory after the first 50. Needs Linux (`/proc/self/statm`).
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
    """Return different sentences of 1 to 30 words."""
    generator, words = random.Random(0), _TEXT.split()
    return [f"{' '.join(generator.choices(words, k=generator.randint(1, 30)))} {number}." for number in range(count)]


def resident_bytes() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the memory of a process that speaks many sentences.")
    parser.add_argument("--sentences", type=int, default=300, help="number of sentences (default: 300)")
    parser.add_argument("--voice", default="base", help="a voice file, or `base`")
    parser.add_argument("--function", action="store_true", help="use the function `speak`, not one Synthesizer")
    options = parser.parse_args()
    if options.sentences < 2 * WARM_UP:
        raise TtsMetaError(f"--sentences must be {2 * WARM_UP} or more")
    synthesizer = None if options.function else Synthesizer(options.voice)
    memory = []
    for number, sentence in enumerate(sentences(options.sentences), start=1):
        _ = speak(options.voice, sentence) if synthesizer is None else synthesizer.speak(sentence)
        memory.append(resident_bytes())
        if number % WARM_UP == 0:
            print(f"after {number} sentences: {memory[-1] / 2**20:.1f} MiB", flush=True)
    first, last = memory[WARM_UP - 1], sum(memory[-WARM_UP:]) / WARM_UP
    growth = last / first - 1
    print(f"growth after the first {WARM_UP} sentences: {100 * growth:+.1f} % (limit: {100 * LIMIT:.0f} %)")
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
        print(f"after malloc_trim(0), which returns free memory to the system: {resident_bytes() / 2**20:.1f} MiB")
    return int(growth > LIMIT)


if __name__ == "__main__":
    sys.exit(run_command(main))
