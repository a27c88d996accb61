"""How much likelier voices find the sentences that they adapted to than unseen ones: what they learned by heart.

python -m recipes.few_shot.fit RECIPE.yaml [--set KEY=VALUE]      voices of the recipe, made where missing; a table
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
from tts_meta.evaluate.few_shot.trials import Trial, nll_per_frame
from tts_meta.evaluate.scores import NLL, Scores
from tts_meta.evaluate.table import summarise
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import load_vocoder


def own_scores(base: Base, trials: Sequence[Trial], recipe: FewShotBenchmark) -> list[Scores]:
    """Nats a frame of the sentences that each cell's voice adapted to, under the cell's name."""
    found = list[Scores]()
    for speaker, sentences in recipe.choose(Manifest.load(recipe.manifest)).items():
        own = [trial for trial in trials if trial.speaker == speaker]
        most = max(trial.sentences for trial in own)
        examples = align_utterances(sentences.adapt_on[:most], base, speaker, lambda line: None)
        for trial in own:
            voice = Voice.load(trial.voice)
            nll = nll_per_frame(base, voice.apply(base), examples[: trial.sentences])
            pairs = zip(sentences.adapt_on[: trial.sentences], nll, strict=True)
            found += [Scores(utterance.id, speaker, trial.system, {NLL.name: measure}) for utterance, measure in pairs]
    return found


def table(trials: Sequence[Trial], own: Sequence[Scores]) -> str:
    """Of each system: frames that a voice adapted to, in the mean, and nats a frame of those and of unseen ones."""
    unseen = [row for trial in trials for row in trial.scores]
    seen, other = ({one.group[0]: one.intervals[NLL.name] for one in summarise(rows)} for rows in (own, unseen))
    lines = []
    for system in seen:
        weights = [row.measures[NLL.name].weight for row in own if row.system == system]
        frames = sum(weights) / sum(trial.system == system for trial in trials)
        lines.append([system, f"{frames:,.0f}", *(found[system].shown(NLL.digits) for found in (seen, other))])
    return markdown_table(["voices", "frames", "own sentences, NLL per frame (nats)", "unseen sentences"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="of the few-shot benchmark")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="KEY=VALUE of the recipe")
    arguments = parser.parse_args()
    recipe = load_config(arguments.recipe, FewShotBenchmark, (*arguments.changes, "measured=null"))
    base = load_base(recipe.base)
    trials = run_few_shot(recipe, base, load_vocoder(recipe.vocoder), print).trials
    print(table(trials, own_scores(base, trials, recipe)))


if __name__ == "__main__":
    sys.exit(run_command(main))
