"""`export_learner`: write the learner of a meta-training run into the folder of the base that it was trained for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import load_base
from tts_meta.models.saved_learner import CLONING_SETTINGS, FILE


def export_learner(run: Path, base_folder: Path, prior_scale: float = 1.0) -> Path:
    """Write the learner of a run of `meta-train` into the folder of the same base, and return `learner.json`.

    prior_scale: factor of every σ² when a voice is cloned. A learner that was meta-trained with L-BFGS gets the inner
    loop `CLONING_SETTINGS`, because voices from L-BFGS are less similar (recipes/few_shot/solver.yaml). Raises
    TtsMetaError if the run has no learner or changed the weights of the base.
    """
    learned, base = load_base(run / "base"), load_base(base_folder)
    if learned.learner is None or learned.hash != base.hash:
        raise TtsMetaError(f"{run} has no learner for {base_folder}; meta-train that base with trainer.outer_lr 0")
    exported = replace(learned.learner, prior_scale=prior_scale)
    if exported.settings.get("inner_solver") == "l-bfgs":
        exported = replace(exported, settings=dict(CLONING_SETTINGS))
    exported.save_to(base_folder, base.hash)
    return base_folder / FILE
