"""`tts-meta meta-train`: learn which modules of a base differ between voices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import command_line, is_first_rank, print_on_first_rank
from tts_meta.cli.options import Changes, Device, Recipe
from tts_meta.cli.training import Resume, resumable, with_device
from tts_meta.errors import UsageError

ExportLearner = Annotated[
    Path | None,
    typer.Option(
        "--export-learner",
        metavar="BASE",
        help="After meta-training, also write the learner to the folder of this base. The recipe must start from the "
        "same base and keep its weights (outer_lr 0).",
    ),
]
PriorScale = Annotated[
    float | None,
    typer.Option(
        "--prior-scale",
        metavar="FACTOR",
        min=0.0,
        help="Multiplier of every σ² of the exported learner in `clone`.",
        show_default="1",
    ),
]


def meta_train(
    recipe: Recipe,
    device: Device = None,
    changes: Changes = None,
    export_learner: ExportLearner = None,
    prior_scale: PriorScale = None,
    resume: Resume = None,
) -> None:
    """Learn which modules of a base differ between voices.

    A module is one layer's weights or biases. Meta-training clones many speakers. For each module it learns a standard
    deviation σ: how far the parameters of the module may move from the base to a voice. `tts-meta clone` then adapts
    only the modules with a large σ. The values of σ are part of the learner. The output folder of the recipe gets a
    base with this learner. To resume a run that was stopped, run the same command again.

    \b
    Examples:
      tts-meta meta-train recipes/librispeech_mini/meta_train.yaml
      tts-meta meta-train recipes/librispeech_mini/meta_train.yaml --set learner=sigma-imaml
      tts-meta meta-train recipes/own_corpus/meta_train.yaml --export-learner runs/mine/pretrain/base
    """
    from tts_meta.config import load_config
    from tts_meta.train.export_learner import export_learner as export
    from tts_meta.train.meta_train import MetaTrainConfig
    from tts_meta.train.meta_train import meta_train as train

    if prior_scale is not None and export_learner is None:
        raise UsageError("--prior-scale changes an exported learner; give --export-learner too")
    if prior_scale == 0:
        raise UsageError("--prior-scale must be above 0")
    config = with_device(load_config(recipe, MetaTrainConfig, changes or ()), device)
    config = config if resume is None else config.model_copy(update={"resume": resume})
    with resumable():
        result = train(config, command_line())
    if export_learner is not None and is_first_rank():
        result = export(config.output, export_learner, 1.0 if prior_scale is None else prior_scale)
    print_on_first_rank(result)
