"""`tts-meta meta-train`: learn which modules of a base differ between voices."""

from __future__ import annotations

from tts_meta.cli.console import command_line, print_on_first_rank
from tts_meta.cli.options import Changes, Recipe
from tts_meta.cli.training import resumable


def meta_train(
    recipe: Recipe,
    changes: Changes = None,
) -> None:
    """Learn which modules of a base differ between voices.

    A module is one layer's weights or biases. Meta-training clones many training speakers and learns, for each module,
    a standard deviation σ: how far its parameters move from the base to a voice. `tts-meta clone` then adapts only the
    modules with a large σ. The result, a base with these σ (its prior), goes into the output folder of the recipe.
    To resume a run that was stopped, run the same command again.

    \b
    Examples:
      tts-meta meta-train recipes/librispeech_mini/meta_train.yaml
      tts-meta meta-train recipes/librispeech_mini/meta_train.yaml --set learner=sigma-imaml
    """
    from tts_meta.config import load_config
    from tts_meta.train.meta_train import MetaTrainConfig
    from tts_meta.train.meta_train import meta_train as train

    config = load_config(recipe, MetaTrainConfig, changes or ())
    with resumable():
        print_on_first_rank(train(config, command_line()))
