"""Compare vocoders: copy-synthesis of recordings, and synthesis by the base, with each vocoder.

python -m recipes.librispeech_mini.vocoders [PART]... [--vocoder NAME_OR_PATH]...      an hour on one core; two tables

Parts:
* copy-synthesis: recording to mel to vocoder, ten sentences of each `eval` speaker.
* synthesised: ten training speakers of the base say two sentences each of the held-out speakers. Every vocoder gets the
  same mels.
* held-out: copy-synthesis of the held-out speakers, to choose settings by.
* band: the energy above 8 kHz, where mels hold no information.

Tables, scores and a page to listen to go into `runs/librispeech_mini/vocoders`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recipes.recipe_io import markdown_table
from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.corpus import Manifest
from tts_meta.evaluate import Scorer, Settings
from tts_meta.evaluate.benchmark_config import choose_sentences
from tts_meta.evaluate.cloning import CloningBenchmark, run_cloning
from tts_meta.evaluate.voice import COPY, REAL, Spoken, score_voices
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.cloning import write_cloning_report

RECIPES, RUNS = Path("recipes/librispeech_mini"), Path("runs/librispeech_mini/vocoders")
METRICS = ("pesq", "stoi", "mcd", "distillmos", "dnsmos", "wer", "similarity")
_BAND_START = 8500.0
"""Hz. Above it a recording made at 16 kHz holds only what resampling leaves."""
VOCODERS = ("hifigan", "light", "griffin-lim")


def name_system(spoken: Iterable[Spoken], vocoder: str) -> list[Spoken]:
    """The same sentences; those that are no real recordings get the vocoder as the name of their system."""
    return [
        sentence
        if sentence.system == REAL
        else dataclasses.replace(sentence, system=vocoder, scores=dataclasses.replace(sentence.scores, system=vocoder))
        for sentence in spoken
    ]


def without_repeats(spoken: Iterable[Spoken]) -> list[Spoken]:
    """Each sentence of each system once: every vocoder lists the same real recordings."""
    first: dict[tuple[str, str, str], Spoken] = {}
    for sentence in spoken:
        first.setdefault((sentence.system, sentence.utterance.speaker, sentence.utterance.id), sentence)
    return list(first.values())


def copy_synthesis(vocoders: Iterable[str], config: CloningBenchmark) -> list[Spoken]:
    """Recordings of the speakers of a recipe, and their copies by each vocoder."""
    base, scorer = load_base(), Scorer(METRICS, Settings())
    chosen = choose_sentences(Manifest.load(config.manifest), config, config.adapt_on)
    spoken: list[Spoken] = []
    for name in vocoders:
        vocoder = load_vocoder(name)
        for split in chosen.values():
            scored = score_voices(base, {}, vocoder, split.score_on, scorer, split.references, config.cache_folder)
            spoken += name_system(scored, name)
    return without_repeats(spoken)


def synthesised(vocoders: Iterable[str], config: CloningBenchmark) -> list[Spoken]:
    """Recordings of sentences by their readers, and the sentences in voices of the base by each vocoder."""
    spoken: list[Spoken] = []
    for name in vocoders:
        sentences = run_cloning(config, load_base(config.base), load_vocoder(name), print)
        spoken += name_system((sentence for sentence in sentences if sentence.system != COPY), name)
    return without_repeats(spoken)


def band_energies(vocoders: Iterable[str], config: CloningBenchmark) -> list[list[str]]:
    """Energy of the recordings and their copies above `_BAND_START`, dB relative to the whole, by speaker."""
    base = load_base()
    mel_spec, rate = MelSpec(base.config.audio.mel), base.config.audio.mel.sample_rate
    systems = {REAL: None, **{name: load_vocoder(name) for name in vocoders}}
    rows: dict[str, list[str]] = {name: [name] for name in systems}
    above = np.fft.rfftfreq(rate, 1 / rate) > _BAND_START
    for split in choose_sentences(Manifest.load(config.manifest), config, config.adapt_on).values():
        recordings = [
            load_waveform_and_mel(sentence.source, base.config.audio, mel_spec) for sentence in split.score_on
        ]
        for name, vocoder in systems.items():
            waveforms = [samples if vocoder is None else vocoder(mel[None])[0].numpy() for samples, mel in recordings]
            power = np.mean([np.abs(np.fft.rfft(x[:rate] * np.hanning(rate))) ** 2 for x in waveforms], axis=0)
            rows[name].append(f"{10 * np.log10(power[above].sum() / power.sum() + 1e-12):.0f}")
    return list(rows.values())


PARTS = {
    "copy-synthesis": ("score.yaml", copy_synthesis),
    "held-out": ("tune.yaml", copy_synthesis),
    "synthesised": ("voices.yaml", synthesised, "score_on=2"),
}
DEFAULT_PARTS = ("copy-synthesis", "synthesised", "band")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # argparse also checks the empty list against the choices.
    choices = [[], *PARTS, "band"]
    parser.add_argument(
        "parts", nargs="*", choices=choices, metavar="PART", help=f"default: {', '.join(DEFAULT_PARTS)}"
    )
    parser.add_argument(
        "--vocoder", action="append", help=f"vocoder, as for `tts-meta speak --vocoder`; default: {', '.join(VOCODERS)}"
    )
    arguments = parser.parse_args()
    vocoders = arguments.vocoder or VOCODERS
    mel_config, shared = load_base().config.audio.mel, (f"metrics=[{', '.join(METRICS)}]", f"cache={RUNS / 'scores'}")
    for part in arguments.parts or DEFAULT_PARTS:
        if part == "band":
            config = load_config(RECIPES / "tune.yaml", CloningBenchmark)
            headings = ["energy above 8.5 kHz, dB relative to the whole", *config.speakers]
            print(markdown_table(headings, band_energies(vocoders, config)))
            continue
        recipe, score, *changes = PARTS[part]
        config = load_config(RECIPES / recipe, CloningBenchmark, (*shared, *changes))
        print(write_cloning_report(RUNS / part, score(vocoders, config), mel_config, part))


if __name__ == "__main__":
    sys.exit(run_command(main))
