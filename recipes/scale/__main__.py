"""Measure sampling, preparation and memory against the number of speakers, and compute the account of large corpora.

    python -m recipes.scale                       measures, writes cost.jsonl, cost.png and account.md into this folder
    python -m recipes.scale --account             computes account.md from cost.jsonl and speech.json again
    python -m recipes.scale --speech CORPUS       measures alignment and training on recordings; writes speech.json

Each stage runs in a process of its own, on a synthetic corpus (`stages.py`). Times are CPU times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from recipes.recipe_io import markdown_table, save_figure
from recipes.scale.account import account_page
from recipes.scale.speech import measure_speech
from recipes.scale.stages import LINES, STAGES, write_corpus
from tts_meta.cli import run_command

FOLDER = Path(__file__).parent
SPEAKERS = (10, 100, 1000, 10_000)
Row = dict[str, Any]


def measure(speakers: int, folder: Path) -> Row:
    """Return the figures of all stages for a corpus of this many speakers."""
    write_corpus(folder, speakers)
    row: Row = {"speakers": speakers, "lines": speakers * LINES}
    for name in STAGES:
        command = [sys.executable, "-m", "recipes.scale.stages", "--one", name, "--folder", str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row[name] = {key: round(value, 3) for key, value in json.loads(done.stdout).items()}
    return row


def cost_table(rows: list[Row]) -> str:
    """Return the Markdown table of CPU seconds and peak memory of the stages."""
    head = ["speakers", "sentences", "prepare, without audio", "split", "read", "an episode", "batches of an epoch"]
    lines = []
    for row in rows:
        cells = [f"{row[name]['seconds']:.1f} s, {row[name]['mib']:.0f} MiB" for name in ("prepare", "split", "read")]
        cells += [f"{row['sample']['episode_ms']:.2f} ms", f"{row['batches']['epoch_seconds']:.2f} s"]
        lines.append([f"{row['speakers']:,}", f"{row['lines']:,}", *cells])
    return markdown_table(head, lines)


def draw(rows: list[Row], path: Path) -> None:
    """Draw CPU time and memory above that of the imports against the number of sentences."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    lines = [row["lines"] for row in rows]
    for name in ("prepare", "split", "read"):
        times.plot(lines, [row[name]["seconds"] for row in rows], "o-", label=name)
        memory.plot(lines, [row[name]["mib"] for row in rows], "o-", label=name)
    times.plot(lines, [row["batches"]["epoch_seconds"] for row in rows], "o-", label="batches of an epoch")
    times.plot(lines, [row["sample"]["episode_ms"] / 1000 for row in rows], "o-", label="an episode")
    times.set(xscale="log", yscale="log", xlabel="sentences", ylabel="CPU time, s")
    memory.axhline(1024, color="grey", linestyle=":")
    memory.set(xscale="log", xlabel="sentences", ylabel="peak memory, MiB", ylim=(0, None))
    times.legend(fontsize=8, loc=(0.03, 0.12))
    memory.legend(fontsize=8)
    for axes in (times, memory):
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--speakers", type=int, nargs="+", default=SPEAKERS, help="numbers of speakers")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the results; this one by default")
    parser.add_argument("--account", action="store_true", help="only compute the account again")
    parser.add_argument("--speech", type=Path, metavar="CORPUS", help="folder of recordings, read by librispeech-mini")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    results = output / "cost.jsonl"
    if arguments.speech is not None:
        (output / "speech.json").write_text(json.dumps(measure_speech(arguments.speech), indent=2) + "\n")
    elif not arguments.account:
        rows = []
        for speakers in arguments.speakers:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(speakers, Path(folder)))
            results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    draw(rows, output / "cost.png")
    speech = output / "speech.json"
    measured = json.loads((speech if speech.exists() else FOLDER / "speech.json").read_text())
    page = f"{cost_table(rows)}\n{account_page(rows[-1], measured)}"
    (output / "account.md").write_text(page)
    print(page, end="")


if __name__ == "__main__":
    sys.exit(run_command(main))
