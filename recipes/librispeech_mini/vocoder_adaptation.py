"""Is a voice in the vocoder? How near sound comes to the recordings of a speaker whom the vocoder adapted to.

python -m recipes.librispeech_mini.sound [--vocoder FOLDER] [--set KEY=VALUE]      five minutes on one core; tables

The light vocoder adapts to ten sentences of each speaker of `tune.yaml`, as `clone --modules 'vocoder.*'` does, and
makes ten others of theirs and of each of the other speakers. Where it comes as much nearer to another's recordings as
to the speaker's own, what it learned is not the speaker.
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

from recipes.bench import markdown
from tts_meta.adapt import CloneSettings, VocoderTask, adaptable_vocoder_modules, clone_examples, vocoder_nll
from tts_meta.adapt.vocoder_task import generator_modules
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.corpus import Example, Manifest
from tts_meta.evaluate.cloning import CloningBenchmark, choose_sentences
from tts_meta.evaluate.confidence import Interval, mean_interval
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder, load_source_filter, shipped_vocoder
from tts_meta.train.meta_targets import VocoderTarget

RECIPE = Path("recipes/librispeech_mini/tune.yaml")
CROPS = 8
"""In each of the draws that distances are taken over."""

AcousticBatch = tuple[Sequence[Example], Sequence[Example]]
"""Of a speaker, to adapt on and to score."""
Distances = Mapping[tuple[str, str], Sequence[float]]
"""To the recordings of the second speaker, of what the vocoder of the first makes; a value a draw, the same for all."""


@torch.no_grad()
def distances(vocoder: SourceFilterVocoder, examples: Sequence[Example], draws: int) -> list[float]:
    """Spectral energy distance of what the vocoder makes of recordings' mels to them, of each of the draws of crops."""
    sound, nll = VocoderTask(vocoder.generator, examples), vocoder_nll(vocoder.generator)
    crops = (sound.sample(CROPS, seed) for seed in range(draws))
    return [float(nll(vocoder.generator, one)) / sound.samples for one in crops]


def adapted(
    base: Base, vocoder: SourceFilterVocoder, speakers: Mapping[str, AcousticBatch], settings: CloneSettings
) -> dict[str, SourceFilterVocoder]:
    """The vocoder as it is, which is nobody's (""), and adapted to the first examples of each speaker."""
    made = {"": vocoder}
    for speaker, (own, _) in speakers.items():
        voice = clone_examples(base, own, settings, vocoder=vocoder)
        made[speaker] = cast(SourceFilterVocoder, voice.apply_vocoder(vocoder))
    return made


def measure(
    vocoders: Mapping[str, SourceFilterVocoder], speakers: Mapping[str, AcousticBatch], draws: int
) -> Distances:
    """Of what each vocoder makes of each speaker's other examples."""
    return {
        (whose, heard): distances(vocoder, others, draws)
        for whose, vocoder in vocoders.items()
        for heard, (_, others) in speakers.items()
    }


def change(found: Distances, own: bool) -> Interval:
    """Of distances, percent of what they were: to the speaker's own recordings, or to those of the others."""
    parts, who = list[float](), list[str]()
    for (whose, heard), values in found.items():
        if whose and (whose == heard) == own:
            parts += [100 * (value / before - 1) for value, before in zip(values, found["", heard], strict=True)]
            who += [heard] * len(values)
    return mean_interval(parts, who)


@torch.no_grad()
def modules(vocoders: Mapping[str, SourceFilterVocoder]) -> list[list[str]]:
    """Of each module, the strongest first: parameters, σ, and how far it moved, both in units of its weights."""
    before, *after = (dict(one.generator.named_parameters()) for one in vocoders.values())
    moves = [{name: one[name] - before[name] for name in before} for one in after]
    sigmas = prior.sigmas if (prior := vocoders[""].generator.prior) else {}
    rows = []
    for module in generator_modules(adaptable_vocoder_modules(vocoders[""])):
        size, moved = (module.root_mean_square(*tables) or 0.0 for tables in ([before], moves))
        sigma = sigmas.get(module.name, 0.0)
        rows.append(
            (sigma, [module.name, f"{module.size:,}", f"{sigma:.4f}", f"{sigma / size:.3f}", f"{moved / size:.4f}"])
        )
    return [row for _, row in sorted(rows, key=lambda row: -row[0])]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--vocoder", type=Path, default=shipped_vocoder(), help="its folder; the shipped one if not given"
    )
    parser.add_argument("--prior-scale", type=float, nargs="*", default=[1.0], help="of its prior, if it has one")
    parser.add_argument("--steps", type=int, default=CloneSettings.vocoder_steps, help="of the inner loop")
    parser.add_argument("--draws", type=int, default=32, help="of eight crops, that distances are taken over")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="KEY=VALUE of tune.yaml: speakers")
    arguments = parser.parse_args()
    base, vocoder = load_base(), SourceFilterVocoder(load_source_filter(arguments.vocoder))
    config = load_config(RECIPE, CloningBenchmark, arguments.changes)
    read = VocoderTarget(base, vocoder, (), CROPS).examples
    chosen = choose_sentences(Manifest.load(config.manifest), config, config.adapt_on)
    speakers = {name: (read(own.adapt_on), read(own.score_on)) for name, own in chosen.items()}
    free = CloneSettings(modules=("vocoder.*",), vocoder_steps=arguments.steps, variance=1.0)
    ways = {"no prior": free}
    if vocoder.generator.prior is not None:
        for prior_scale in arguments.prior_scale:
            ways[f"its prior, {prior_scale:g} σ²"] = replace(free, variance=None, prior_scale=prior_scale)
    rows, made = [], {"": vocoder}
    for name, settings in ways.items():
        made = adapted(base, vocoder, speakers, settings)
        found = measure(made, speakers, arguments.draws)
        each = [f"{fmean(found['', one]):.4f} → {fmean(found[one, one]):.4f}" for one in speakers]
        rows.append([name, *each, *(change(found, own).shown(2, signed=True) for own in (True, False))])
        print(name, *rows[-1][1:], flush=True)
    print(markdown(["adapted under", *speakers, "to own recordings, %", "to others', %"], rows))
    if vocoder.generator.prior is not None:
        print(markdown(["module", "parameters", "σ", "σ / weights", f"moved / weights, {rows[-1][0]}"], modules(made)))


if __name__ == "__main__":
    sys.exit(run_command(main))
