"""Compare the time of cloning, and the likelihood of the voices, between two versions of the source code.

Command: python -m recipes.few_shot.clone_speed OLD_TREE [--speakers NAME ...] [--threads N]

OLD_TREE is a folder with the other version, for example of `git worktree add OLD_TREE COMMIT`. The command clones each
speaker with the default settings, once per seed and version, and prints a table. Each clone runs in a process of its
own, and the versions alternate. Other load of the machine thus affects both. A step is an inner step; the time of a
clone does not contain loading and alignment. CPU seconds are those of all threads. The NLL is that of whole sentences.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from recipes.recipe_io import markdown_table
from tts_meta.adapt import CloneSettings, clone_examples
from tts_meta.cli import run_command
from tts_meta.corpus import Example, Manifest
from tts_meta.errors import UsageError
from tts_meta.evaluate.cloning import align_utterances
from tts_meta.evaluate.few_shot.nll import nll_per_frame
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base, load_base

NEW_TREE = Path(__file__).resolve().parents[2]
COLUMNS = {"step": "CPU seconds a step", "clone": "CPU seconds a clone", "steps": "steps"}
COLUMNS |= {"adapted": "NLL of adapted sentences", "unseen": "NLL of unseen sentences"}
"""Measurements of a clone, and their names in the table."""
Row = dict[str, float]


def mean_nll(base: Base, model: AcousticModel, examples: Sequence[Example]) -> float:
    """Return the negative log-likelihood of sentences in nats per frame."""
    measures = nll_per_frame(base, model, examples)
    return sum(m.value * m.weight for m in measures) / sum(m.weight for m in measures)


def measure(manifest: Path, speaker: str, seed: int, sentences: int, unseen: int) -> Row:
    """Clone a speaker from the first `sentences` recordings; return the measurements of `COLUMNS`."""
    base = load_base()
    utterances = list(Manifest.load(manifest).of_speakers([speaker]))[: sentences + unseen]
    examples = align_utterances(utterances, base, speaker, lambda line: None)
    times, start = list[float](), time.process_time()
    settings = CloneSettings(seed=seed)
    voice = clone_examples(base, examples[:sentences], settings, lambda step: times.append(time.process_time()))
    cost, model = time.process_time() - start, voice.apply(base)
    return {
        "step": (times[-1] - times[0]) / max(1, len(times) - 1),
        "clone": cost,
        "steps": voice.steps,
        "adapted": mean_nll(base, model, examples[:sentences]),
        "unseen": mean_nll(base, model, examples[sentences:]),
    }


def measure_in(tree: Path, arguments: Sequence[object], threads: int) -> Row:
    """Return the result of `measure` with the source code of a folder, computed in a process of its own."""
    if not (tree / "tts_meta").is_dir():
        raise UsageError(f"{tree}: the folder has no tts_meta; give a working tree of this repository")
    environment = (
        os.environ | {"PYTHONPATH": str(tree.resolve())} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    )
    command = [sys.executable, "-P", __file__, "--worker", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"{tree}: cloning failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def table(rows: Sequence[tuple[str, Row, Row]]) -> str:
    """Return a Markdown table of old and new measurements by clone, their means, and the ratios of the means."""
    sides = [old for _, old, _ in rows], [new for *_, new in rows]
    means = [{name: statistics.mean(row[name] for row in side) for name in COLUMNS} for side in sides]
    lines = [[name, *(f"{old[c]:.3g} → {new[c]:.3g}" for c in COLUMNS)] for name, old, new in (*rows, ("mean", *means))]
    lines.append(["ratio", *(f"{means[1][name] / means[0][name]:.2f}" for name in COLUMNS)])
    return markdown_table(["clone", *COLUMNS.values()], lines)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        manifest, speaker, *numbers = sys.argv[2:]
        print(json.dumps(measure(Path(manifest), speaker, *map(int, numbers))))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old_tree", type=Path, help="folder of the other version of the source code")
    parser.add_argument("--manifest", type=Path, default=Path("runs/librispeech_mini/manifest.jsonl"))
    parser.add_argument("--speakers", nargs="+", default=["ls1580", "ls7021", "ls4992", "ls1221"])
    parser.add_argument("--sentences", type=int, default=8, help="number of sentences to clone from")
    parser.add_argument("--unseen", type=int, default=6, help="number of sentences that only the NLL is measured of")
    parser.add_argument("--seeds", type=int, default=2, help="clones of each speaker")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 keeps the default of torch")
    arguments = parser.parse_args()
    rows = list[tuple[str, Row, Row]]()
    for speaker in arguments.speakers:
        for seed in range(arguments.seeds):
            clone = (arguments.manifest.resolve(), speaker, seed, arguments.sentences, arguments.unseen)
            old, new = (measure_in(tree, clone, arguments.threads) for tree in (arguments.old_tree, NEW_TREE))
            rows.append((f"{speaker}, seed {seed}", old, new))
            print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    sys.exit(run_command(main))
