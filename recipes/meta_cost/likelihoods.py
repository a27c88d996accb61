"""Compare densities of errors: voices that `clone` adapts under each, and products that the gradient of σ needs.

Command: python -m recipes.meta_cost.likelihoods RECIPE.yaml [--set KEY=VALUE]

Each speaker is cloned under each density from the same sentences, with the same prior and the settings of `clone`. The
voices speak other sentences. The command prints a table of scores and costs, and a table of differences to the first
density. The results of each speaker are kept in the output folder, so a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipes.meta_cost.curvature import MOST, TOLERANCE, System
from recipes.meta_cost.densities import compared_densities
from recipes.recipe_io import markdown_table
from tts_meta.adapt import AcousticTask, CloneSettings, Voice, chosen_modules
from tts_meta.adapt.acoustic_adaptation import acoustic_adaptation
from tts_meta.adapt.adaptation import stored_deltas
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example, Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig, SentenceSplit, choose_sentences
from tts_meta.evaluate.cloning import align_utterances
from tts_meta.evaluate.few_shot.nll import nll_per_frame
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.score_files import scores_from_record, scores_to_record
from tts_meta.evaluate.scores import NLL, Scores
from tts_meta.evaluate.summary import compare, summarise
from tts_meta.evaluate.voice import score_voices
from tts_meta.files import atomic_file
from tts_meta.meta import GradientLearner
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.densities import Density
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder

OWN = "nll_under_density"
"""Key of the likelihood under the density that the voice adapted under."""
SHOWN: Mapping[str, tuple[str, int]] = {
    OWN: ("NLL per frame, own density", 1),
    NLL.name: ("NLL per frame, Laplace", 1),
    "similarity": ("similarity", 3),
    "cer": ("CER", 3),
    "distillmos": ("DistillMOS", 2),
}
"""Headings and digits of the scores."""


class LikelihoodConfig(BenchmarkConfig):
    """Recipe of the comparison."""

    adapt_on: int = 5
    """Number of sentences to clone from."""
    systems: int = 2
    """Number of speakers whose linear system is solved."""


@dataclass(frozen=True)
class Costs:
    """The costs of a voice: inner steps, their CPU seconds, and products of conjugate gradient.

    products: number of products until the residual is `TOLERANCE`; None if it was not measured.
    """

    steps: int
    cpu_seconds: float
    products: int | None


@dataclass(frozen=True)
class SpeakerResult:
    """The scores of all sentences of a speaker in all voices, and the costs of each voice by density."""

    rows: list[Scores]
    costs: dict[str, Costs]

    def save(self, path: Path, key: object) -> None:
        """Write the result. key: what it depends on."""
        rows = [scores_to_record(row) for row in self.rows]
        costs = {name: vars(costs) for name, costs in self.costs.items()}
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps({"key": key, "rows": rows, "costs": costs}), encoding="utf-8")

    @classmethod
    def load(cls, path: Path, key: object) -> SpeakerResult | None:
        """Return the result of a file that `save` wrote with the same key, or None."""
        data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if data.get("key") != key:
            return None
        costs = {name: Costs(**values) for name, values in data["costs"].items()}
        return cls([scores_from_record(row) for row in data["rows"]], costs)


@default_torch_state(preserve_rng=True)
def adapt(
    base: Base, support: Sequence[Example], unseen: Sequence[Example], density: Density, solve: bool
) -> tuple[AcousticModel, Costs]:
    """Adapt to the support sentences with the settings of `clone`, but with this density; return the voice.

    solve: solve the linear system of the unseen sentences at the adapted parameters.
    """
    settings = CloneSettings()
    modules = chosen_modules(base, settings)
    adaptation = acoustic_adaptation(base, modules, support, [], settings, density=density)
    learner, task = adaptation.learner, adaptation.support.task
    assert isinstance(learner, GradientLearner)
    start = time.process_time()
    adapted = learner.adapt([task], adaptation.budget)
    seconds, products = time.process_time() - start, None
    if solve:
        query = AcousticTask(base, unseen, learner.changing_modules).all_sentences()
        system = System(learner, replace(task, query=query), adapted)
        products = system.recorded("gauss-newton").solve(system.right, MOST, TOLERANCE).steps
    voice = Voice(stored_deltas(learner, learner.start(), adapted), base.hash, modules.names, adapted.steps[0])
    return voice.apply(base), Costs(voice.steps, seconds, products)


def score(
    config: LikelihoodConfig,
    base: Base,
    vocoder: Vocoder,
    sentences: SentenceSplit,
    unseen: Sequence[Example],
    voices: Mapping[Density, AcousticModel],
) -> list[Scores]:
    """Return the scores of the unseen sentences in each voice, with their likelihood under both densities."""
    models = {density.name: (model, vocoder) for density, model in voices.items()}
    scorer = config.scorer(base.language)
    spoken = score_voices(base, models, vocoder, sentences.score_on, scorer, sentences.references, config.cache_folder)
    likelihoods: dict[tuple[str, str], dict[str, Measure]] = {}
    for density, model in voices.items():
        own, laplace = nll_per_frame(base, model, unseen, density), nll_per_frame(base, model, unseen)
        for utterance, *measures in zip(sentences.score_on, own, laplace, strict=True):
            likelihoods[density.name, utterance.id] = dict(zip((OWN, NLL.name), measures, strict=True))
    rows = [sentence.scores for sentence in spoken if sentence.system in models]
    return [replace(row, measures={**row.measures, **likelihoods[row.system, row.id]}) for row in rows]


def compare_densities(config: LikelihoodConfig, base: Base, vocoder: Vocoder) -> list[SpeakerResult]:
    """Return the result of each speaker, computed or read. Raises TtsMetaError for a base without a learned prior."""
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no learned prior; give a meta-trained base by --set base=FOLDER")
    key, results = [base.hash, base.prior.variances, config.model_dump(mode="json")], list[SpeakerResult]()
    chosen = choose_sentences(Manifest.load(config.manifest), config, config.adapt_on)
    for number, (speaker, sentences) in enumerate(chosen.items()):
        path = config.output / f"{speaker}.json"
        if (result := SpeakerResult.load(path, key)) is None:
            result = _measure(config, base, vocoder, sentences, number < config.systems)
            result.save(path, key)
        results.append(result)
        print(speaker, result.costs, file=sys.stderr, flush=True)
    return results


def _measure(
    config: LikelihoodConfig, base: Base, vocoder: Vocoder, sentences: SentenceSplit, solve: bool
) -> SpeakerResult:
    speaker = sentences.score_on[0].speaker
    support, unseen = (
        align_utterances(part, base, speaker, lambda line: None) for part in (sentences.adapt_on, sentences.score_on)
    )
    adapted = {density: adapt(base, support, unseen, density, solve) for density in compared_densities()}
    voices = {density: model for density, (model, _) in adapted.items()}
    rows = score(config, base, vocoder, sentences, unseen, voices)
    return SpeakerResult(rows, {density.name: costs for density, (_, costs) in adapted.items()})


def score_table(results: Sequence[SpeakerResult]) -> str:
    """Return a Markdown table of the mean scores and costs of each density."""
    rows, lines = [row for result in results for row in result.rows], []
    for summary in summarise(rows):
        (density,) = summary.group
        costs = [result.costs[density] for result in results]
        scores = [f"{summary.intervals[name].mean:.{SHOWN[name][1]}f}" for name in _scored(rows)]
        steps, seconds = (statistics.mean(getattr(cost, name) for cost in costs) for name in ("steps", "cpu_seconds"))
        products = ", ".join(str(cost.products) for cost in costs if cost.products is not None)
        lines.append([density, *scores, f"{steps:.0f}", f"{seconds:.1f}", products])
    return markdown_table(["density", *_headings(rows), "steps", "CPU s", f"products to {TOLERANCE:g}"], lines)


def difference_table(results: Sequence[SpeakerResult]) -> str:
    """Return a Markdown table of the mean differences to the first density, with intervals."""
    rows = [row for result in results for row in result.rows]
    first, *others = results[0].costs
    lines = [
        [name, *(compare(rows, key, name, first).shown(SHOWN[key][1], signed=True) for key in _scored(rows))]
        for name in others
    ]
    return markdown_table([f"density, minus {first}", *_headings(rows)], lines)


def _scored(rows: Sequence[Scores]) -> list[str]:
    return [name for name in SHOWN if name in rows[0].measures]


def _headings(rows: Sequence[Scores]) -> list[str]:
    return [SHOWN[name][0] for name in _scored(rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of this program")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    config = load_config(arguments.recipe, LikelihoodConfig, arguments.changes)
    base, vocoder = load_base(config.base), load_vocoder(config.vocoder)
    results = compare_densities(config, base, vocoder)
    print(score_table(results))
    print(difference_table(results))


if __name__ == "__main__":
    sys.exit(run_command(main))
