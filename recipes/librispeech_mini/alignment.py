"""Evaluate the aligner of a base: against pocketsphinx, on speech of known times, and on wrong transcripts.

python -m recipes.librispeech_mini.alignment              minutes on one core; prints tables
python -m recipes.librispeech_mini.alignment held-out     or some of the parts: held-out, noisy
python -m recipes.librispeech_mini.alignment --base DIR   another base than the shipped one

Needs `runs/librispeech_mini/manifest.jsonl` (`tts-meta prepare`) and pip install '.[alignment,multilingual]'. Writes
into `runs/librispeech_mini/alignment/`: `sentences.jsonl` with the worst word of every sentence, and `excluded.jsonl`
with the planted faults that training would exclude, and the reasons. `alignment.md` explains the tables.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from recipes.librispeech_mini import alignment_tables as tables
from recipes.librispeech_mini.alignment_base import BaseAligner
from recipes.librispeech_mini.alignment_checks import print_wrong_transcripts
from recipes.librispeech_mini.alignment_pocketsphinx import PocketsphinxAligner
from tts_meta.cli import run_command
from tts_meta.corpus import Manifest
from tts_meta.models.pretrained import load_base

HELD_OUT = ("ls1580", "ls7021", "ls4992")
NOISY = "train_noisy"
PARTS = ("held-out", "noisy")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    # argparse also checks the empty list against the choices.
    parser.add_argument(
        "parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"{' or '.join(PARTS)}; default: both"
    )
    parser.add_argument("--manifest", type=Path, default=Path("runs/librispeech_mini/manifest.jsonl"))
    parser.add_argument("--output", type=Path, default=Path("runs/librispeech_mini/alignment"))
    parser.add_argument("--base", type=Path, help="folder of a base; default: the shipped one")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use only every Nth sentence, to save time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest, every = Manifest.load(arguments.manifest), arguments.every
    arguments.output.mkdir(parents=True, exist_ok=True)
    base, sphinx = load_base(arguments.base), PocketsphinxAligner()
    if "held-out" in (arguments.parts or PARTS):
        aligner = BaseAligner(base)
        utterances = list(manifest.of_speakers(HELD_OUT))[::every]
        reference = tables.pocketsphinx_reference(aligner, utterances, sphinx)
        tables.print_pocketsphinx_errors(aligner, reference, arguments.output)
        tables.print_early_words(aligner, reference)
        tables.print_espeak_errors(aligner, utterances, sphinx)
        tables.print_consistency(aligner, utterances)
        tables.print_pause_errors(aligner, utterances, reference, "held-out speakers")
        print_wrong_transcripts(aligner, utterances, arguments.output)
    if "noisy" in (arguments.parts or PARTS):
        # The costs of the search were tuned on the speakers above. These speakers were not used for any tuning.
        aligner = BaseAligner(base)
        utterances = list(manifest.of_split(NOISY))[::every]
        reference = tables.pocketsphinx_reference(aligner, utterances, sphinx)
        tables.print_pause_errors(aligner, utterances, reference, f"speakers of `{NOISY}`")


if __name__ == "__main__":
    sys.exit(run_command(main))
