"""Test whether the vocoder can learn a speaker: spectral distances to recordings before and after it adapts.

python -m recipes.librispeech_mini.vocoder_adaptation [--vocoder FOLDER] [--set KEY=VALUE]      five minutes on one core

The light vocoder adapts to ten sentences of each speaker of `tune.yaml`, as `clone --modules 'vocoder.*'` does, and
copies ten other sentences of the same speaker and of each other speaker. If the distance to the recordings of the
others falls as much as that to the speaker's own, the vocoder has not learned the speaker. Prints tables.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import cast

import torch

from recipes.recipe_io import markdown_table
from tts_meta.adapt import CloneSettings, VocoderTask, adaptable_vocoder_modules, clone_examples, vocoder_nll
from tts_meta.adapt.vocoder_task import generator_modules
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.corpus import Example, Manifest
from tts_meta.evaluate.benchmark_config import choose_sentences
from tts_meta.evaluate.cloning import CloningBenchmark
from tts_meta.evaluate.confidence import Interval, mean_interval
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, shipped_vocoder
from tts_meta.train.meta_targets import VocoderTarget

RECIPE = Path("recipes/librispeech_mini/tune.yaml")
CROPS = 8
"""Crops in each random draw that a distance is measured on."""
NOT_ADAPTED = ""
"""The key of the vocoder before adaptation."""

SupportAndQuery = tuple[Sequence[Example], Sequence[Example]]
"""Sentences of a speaker to adapt on, and others to score."""
Distances = Mapping[tuple[str, str], Sequence[float]]
"""By (speaker the vocoder adapted to, speaker of the recordings): the distance on each draw. All use the same draws."""


@torch.no_grad()
def distances(vocoder: SourceFilterVocoder, examples: Sequence[Example], draws: int) -> list[float]:
    """Spectral energy distance between recordings and the vocoder's copies of them, on each draw of crops."""
    task, nll = VocoderTask(vocoder.generator, examples), vocoder_nll(vocoder.generator)
    batches = (task.sample(CROPS, seed) for seed in range(draws))
    return [float(nll(vocoder.generator, batch)) / task.samples for batch in batches]


def adapt_to_each(
    base: Base, vocoder: SourceFilterVocoder, speakers: Mapping[str, SupportAndQuery], settings: CloneSettings
) -> dict[str, SourceFilterVocoder]:
    """The vocoder, under `NOT_ADAPTED`, and a copy adapted to the support sentences of each speaker."""
    vocoders = {NOT_ADAPTED: vocoder}
    for speaker, (support, _) in speakers.items():
        voice = clone_examples(base, support, settings, vocoder=vocoder)
        vocoders[speaker] = cast(SourceFilterVocoder, voice.apply_vocoder(vocoder))
    return vocoders


def measure(
    vocoders: Mapping[str, SourceFilterVocoder], speakers: Mapping[str, SupportAndQuery], draws: int
) -> Distances:
    """The distances of each vocoder to the query sentences of each speaker."""
    return {
        (adapted_to, speaker): distances(vocoder, query, draws)
        for adapted_to, vocoder in vocoders.items()
        for speaker, (_, query) in speakers.items()
    }


def change(measured: Distances, to_own_recordings: bool) -> Interval:
    """Mean change of the distances in percent, to a speaker's own recordings or to those of the others."""
    percentages, speakers = list[float](), list[str]()
    for (adapted_to, speaker), after in measured.items():
        if adapted_to != NOT_ADAPTED and (adapted_to == speaker) == to_own_recordings:
            before = measured[NOT_ADAPTED, speaker]
            percentages += [100 * (new / old - 1) for new, old in zip(after, before, strict=True)]
            speakers += [speaker] * len(after)
    return mean_interval(percentages, speakers)


@torch.no_grad()
def module_rows(vocoders: Mapping[str, SourceFilterVocoder]) -> list[list[str]]:
    """A row per module, largest σ first: parameters, σ, and σ and distance moved relative to its weights (RMS)."""
    before, *after = (dict(vocoder.generator.named_parameters()) for vocoder in vocoders.values())
    deltas = [{name: parameters[name] - before[name] for name in before} for parameters in after]
    sigmas = prior.sigmas if (prior := vocoders[NOT_ADAPTED].generator.prior) else {}
    rows = []
    for module in generator_modules(adaptable_vocoder_modules(vocoders[NOT_ADAPTED])):
        size, moved = (module.root_mean_square(*tensors) or 0.0 for tensors in ([before], deltas))
        sigma = sigmas.get(module.name, 0.0)
        cells = [module.name, f"{module.size:,}", f"{sigma:.4f}", f"{sigma / size:.3f}", f"{moved / size:.4f}"]
        rows.append((sigma, cells))
    return [cells for _, cells in sorted(rows, key=lambda row: -row[0])]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--vocoder", type=Path, default=shipped_vocoder(), help="folder of a light vocoder; default: the shipped one"
    )
    parser.add_argument(
        "--prior-scale", type=float, nargs="*", default=[1.0], help="multipliers of its prior variances; default: 1"
    )
    parser.add_argument("--steps", type=int, default=CloneSettings.vocoder_steps, help="inner steps; default: 100")
    parser.add_argument("--draws", type=int, default=32, help="draws of eight crops to measure on; default: 32")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="replace a value of tune.yaml"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    base, vocoder = load_base(), SourceFilterVocoder(load_source_filter(arguments.vocoder))
    config = load_config(RECIPE, CloningBenchmark, arguments.changes)
    load_examples = VocoderTarget(base, vocoder, (), CROPS).examples
    chosen = choose_sentences(Manifest.load(config.manifest), config, config.adapt_on)
    speakers = {name: (load_examples(split.adapt_on), load_examples(split.score_on)) for name, split in chosen.items()}
    no_prior = CloneSettings(modules=("vocoder.*",), vocoder_steps=arguments.steps, variance=1.0)
    settings_by_name = {"no prior": no_prior}
    if vocoder.generator.prior is not None:
        for prior_scale in arguments.prior_scale:
            settings_by_name[f"its prior, {prior_scale:g} σ²"] = replace(
                no_prior, variance=None, prior_scale=prior_scale
            )
    rows, vocoders = [], {NOT_ADAPTED: vocoder}
    for name, settings in settings_by_name.items():
        vocoders = adapt_to_each(base, vocoder, speakers, settings)
        measured = measure(vocoders, speakers, arguments.draws)
        means = [
            f"{fmean(measured[NOT_ADAPTED, speaker]):.4f} → {fmean(measured[speaker, speaker]):.4f}"
            for speaker in speakers
        ]
        changes = [change(measured, own).shown(2, signed=True) for own in (True, False)]
        rows.append([name, *means, *changes])
        print(name, *rows[-1][1:], flush=True)
    print(markdown_table(["adapted with", *speakers, "to own recordings, %", "to recordings of others, %"], rows))
    if vocoder.generator.prior is not None:
        headings = ["module", "parameters", "σ", "σ / weights", f"moved / weights, {rows[-1][0]}"]
        print(markdown_table(headings, module_rows(vocoders)))


if __name__ == "__main__":
    sys.exit(run_command(main))
