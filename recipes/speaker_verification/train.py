"""Train the ECAPA speaker encoder, the second encoder of the benchmarks.

Command: python -m recipes.speaker_verification.train RECIPE.yaml [--set KEY=VALUE]

The command prints the folder of the encoder.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.train.speaker_verifier import VerifierConfig, train_verifier


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of the training")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    config = load_config(arguments.recipe, VerifierConfig, arguments.changes)
    command = shlex.join(["python", "-m", "recipes.speaker_verification.train", *sys.argv[1:]])
    print(f"encoder: {train_verifier(config, command)}")


if __name__ == "__main__":
    sys.exit(run_command(main))
