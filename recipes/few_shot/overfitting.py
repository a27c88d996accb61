"""Measure overfitting: the NLL of the sentences that a voice adapted on, and of unseen sentences.

Command: python -m recipes.few_shot.overfitting RECIPE.yaml [--set KEY=VALUE]

The command computes missing voices of the recipe and prints a table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.recipe_io import markdown_table
from tts_meta.adapt import Voice
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.corpus import Manifest
from tts_meta.evaluate.cloning import align_utterances
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.evaluate.few_shot.nll import nll_per_frame
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.scores import NLL, Scores
from tts_meta.evaluate.summary import summarise
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import load_vocoder


def adaptation_scores(base: Base, trials: Sequence[Trial], recipe: FewShotBenchmark) -> list[Scores]:
    """Return the NLL of the sentences that the voice of each trial adapted on.

    The system name of the scores is that of the trial.
    """
    rows = list[Scores]()
    for speaker, sentences in recipe.choose(Manifest.load(recipe.manifest)).items():
        speaker_trials = [trial for trial in trials if trial.speaker == speaker]
        most = max(trial.sentences for trial in speaker_trials)
        examples = align_utterances(sentences.adapt_on[:most], base, speaker, lambda line: None)
        for trial in speaker_trials:
            voice = Voice.load(trial.voice_file)
            nll = nll_per_frame(base, voice.apply(base), examples[: trial.sentences])
            pairs = zip(sentences.adapt_on[: trial.sentences], nll, strict=True)
            rows += [Scores(utterance.id, speaker, trial.system, {NLL.name: measure}) for utterance, measure in pairs]
    return rows


def table(trials: Sequence[Trial], adaptation: Sequence[Scores]) -> str:
    """Return a Markdown table by system.

    The columns are the mean number of frames that a voice adapted on, the NLL of these frames, and the NLL of
    unseen sentences.
    """
    unseen = [row for trial in trials for row in trial.scores]
    seen, other = (
        {summary.group[0]: summary.intervals[NLL.name] for summary in summarise(rows)} for rows in (adaptation, unseen)
    )
    lines = []
    for system in seen:
        weights = [row.measures[NLL.name].weight for row in adaptation if row.system == system]
        frames = sum(weights) / sum(trial.system == system for trial in trials)
        lines.append([system, f"{frames:,.0f}", *(means[system].shown(NLL.digits) for means in (seen, other))])
    return markdown_table(
        ["Voices", "Frames", "Adaptation sentences: NLL per frame (nats)", "Unseen sentences: NLL per frame (nats)"],
        lines,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of the few-shot benchmark")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, (*arguments.changes, "cached_results=null"))
    base = load_base(recipe.base)
    trials = run_few_shot(recipe, base, load_vocoder(recipe.vocoder), print).trials
    print(table(trials, adaptation_scores(base, trials, recipe)))


if __name__ == "__main__":
    sys.exit(run_command(main))
