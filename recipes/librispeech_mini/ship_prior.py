"""Put a meta-trained prior beside the base it was learned for: `python -m recipes.librispeech_mini.ship_prior RUN`.

The temperature was chosen on the three speakers held back from meta-training (`recipes/few_shot/tune.yaml`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tts_meta.cli import run_command
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import load_base
from tts_meta.models.shrinkage_prior import FILE

TEMPERATURE = 2.0
"""σ² is taken so many times as wide as it was learned: the least that is near everything set free in similarity."""


def ship(run: Path, base_folder: Path) -> Path:
    """Write the prior of a run's base into the folder of the same base. Raises TtsMetaError where it is another."""
    learned, base = load_base(run / "base"), load_base(base_folder)
    if learned.prior is None or learned.hash != base.hash:
        raise TtsMetaError(f"{run} holds no prior of the base in {base_folder}; meta-train with outer_lr 0")
    replace(learned.prior, prior_scale=TEMPERATURE).save_to(base_folder, base.hash)
    return base_folder / FILE


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run of meta-train")
    parser.add_argument("--base", type=Path, default=Path("checkpoints/base"))
    arguments = parser.parse_args()
    print(ship(arguments.run, arguments.base))


if __name__ == "__main__":
    sys.exit(run_command(main))
