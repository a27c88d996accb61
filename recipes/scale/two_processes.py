"""Measure the speed of pretraining and of meta-training with one process and with two, on this machine.

    python -m recipes.scale.two_processes MANIFEST --folder runs/two_processes

The program runs `tts-meta pretrain` and `tts-meta meta-train` with the recipes of `recipes/own_corpus` for a few steps,
under `torchrun` with one process and with two, on the first recordings of the training split of MANIFEST. Each process
has one thread. The speeds are those that the runs log, after their first steps. The machine must be idle and have two
cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.recipe_io import markdown_table
from tts_meta.cli import run_command
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError

PROCESSES = (1, 2)
RECIPES = Path(__file__).resolve().parents[1] / "own_corpus"
BASE = Path(__file__).resolve().parents[2] / "checkpoints" / "base"
PRETRAIN = ("aligner.steps=4", "acoustic.steps=12", "log_every=1", "save_every=100", "sample_every=100")
META_TRAIN = ("splits=[train]", "support=3", "query=2", "meta_steps=4", "save_every=100", "settings.inner_steps=20")
SKIPPED = {"pretrain": 4, "meta-train": 1}
"""First steps of a run that are not measured, because they load and compile."""


def subset(manifest: Path, folder: Path, count: int) -> Path:
    """Write a manifest of the first `count` utterances of the split `train`. Raises TtsMetaError if there are fewer."""
    utterances = tuple(Manifest.load(manifest).of_split("train"))[:count]
    if len(utterances) < count:
        raise TtsMetaError(f"{manifest}: the split train has {len(utterances)} utterances; set --utterances lower")
    path = folder / "manifest.jsonl"
    Manifest(utterances).save(path)
    return path


def run(verb: str, recipe: Path, processes: int, output: Path, changes: Sequence[str]) -> None:
    """Run a training verb under torchrun, one thread a process. Raises TtsMetaError with the error of the verb."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "tts_meta.cli", verb, str(recipe), "--set", f"output={output}", "--device", "cpu"]
    command += [word for change in changes for word in ("--set", change)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith("tts-meta: ")]
        raise TtsMetaError(f"{verb} failed (processes: {processes}): {(errors or lines or ['no message'])[-1]}")


def logged(folder: Path, tag: str, skipped: int) -> list[float]:
    """Return the values of a scalar in the log of a run, without the first steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [event.value for event in events.Scalars(tag)][skipped:]


def measure(manifest: Path, folder: Path) -> dict[str, list[float]]:
    """Return seconds of speech per second of pretraining, and meta-steps per minute, for each number of processes."""
    data = (f"manifest={manifest}", f"cache={folder / 'cache'}")
    speeds: dict[str, list[float]] = {"pretrain": [], "meta-train": []}
    for processes in PROCESSES:
        output = folder / f"pretrain_{processes}"
        run("pretrain", RECIPES / "pretrain.yaml", processes, output, (*data, *PRETRAIN))
        values = logged(output / "acoustic", "acoustic/seconds_of_speech_per_second", SKIPPED["pretrain"])
        speeds["pretrain"].append(statistics.median(values))
        output = folder / f"meta_train_{processes}"
        run("meta-train", RECIPES / "meta_train.yaml", processes, output, (*data, f"base={BASE}", *META_TRAIN))
        speeds["meta-train"].append(60 / statistics.mean(logged(output, "meta/seconds", SKIPPED["meta-train"])))
    return speeds


def table(speeds: dict[str, list[float]]) -> str:
    """Return the Markdown table of both speeds and their ratio."""
    units = {"pretrain": "seconds of speech per second", "meta-train": "meta-steps per minute"}
    rows = [
        [verb, unit, *(f"{value:.1f}" for value in speeds[verb]), f"{speeds[verb][1] / speeds[verb][0]:.2f}"]
        for verb, unit in units.items()
    ]
    return markdown_table(["stage", "unit", "one process", "two processes", "ratio"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifest", type=Path, help="manifest of a prepared corpus with a split `train`")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/two_processes"), help="folder of the runs; made again"
    )
    parser.add_argument("--utterances", type=int, default=200, help="number of utterances of the split `train`")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    print(table(measure(subset(arguments.manifest, arguments.folder, arguments.utterances), arguments.folder)))


if __name__ == "__main__":
    sys.exit(run_command(main))
