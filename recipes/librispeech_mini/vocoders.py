"""Vocoders beside each other: copies of recordings, and what the base says, by each of them.

python -m recipes.librispeech_mini.vocoders [PART]... [--vocoder NAME_OR_PATH]...      an hour on one core; two tables

Copies: ten sentences of each `eval` speaker, recording -> mel -> vocoder. Said: ten training speakers of the base say
two sentences each of the held-back ones, the very same mels for every vocoder. `held-back`: copies of the speakers held
back, to choose settings by. `band`: what is made of the band above 8 kHz, of which mels say nothing. Tables, scores and
a page to listen to go to `runs/librispeech_mini/vocoders`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recipes.bench import markdown
from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.cli import run_command
from tts_meta.config import load_config
from tts_meta.corpus import Manifest
from tts_meta.evaluate import Scorer, Settings
from tts_meta.evaluate.cloning import CloningBenchmark, choose_sentences, run_cloning
from tts_meta.evaluate.voice import COPY, REAL, Spoken, score_voices
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.cloning import write_cloning_report

RECIPES, RUNS = Path("recipes/librispeech_mini"), Path("runs/librispeech_mini/vocoders")
METRICS = ("pesq", "stoi", "mcd", "distillmos", "dnsmos", "wer", "similarity")
_SPEECH_BAND = 8500.0
"""Above it a recording made at 16 kHz holds nothing but what resampling leaves, Hz."""
VOCODERS = ("hifigan", "light", "griffin-lim")


def named(spoken: Iterable[Spoken], vocoder: str) -> list[Spoken]:
    """The same, what a vocoder made under its name."""
    return [
        one
        if one.system == REAL
        else dataclasses.replace(one, system=vocoder, scores=dataclasses.replace(one.scores, system=vocoder))
        for one in spoken
    ]


def once(spoken: Iterable[Spoken]) -> list[Spoken]:
    """The same, each recording once; what vocoders made is under their names once already."""
    kept: dict[tuple[str, str, str], Spoken] = {}
    for one in spoken:
        kept.setdefault((one.system, one.utterance.speaker, one.utterance.id), one)
    return list(kept.values())


def copies(vocoders: Iterable[str], config: CloningBenchmark) -> list[Spoken]:
    """Recordings of the speakers of a recipe and their copies by each vocoder."""
    base, scorer = load_base(), Scorer(METRICS, Settings())
    chosen = choose_sentences(Manifest.load(config.manifest), config, config.adapt_on)
    spoken: list[Spoken] = []
    for name in vocoders:
        vocoder = load_vocoder(name)
        for own in chosen.values():
            made = score_voices(base, {}, vocoder, own.score_on, scorer, own.references, config.cache_folder)
            spoken += named(made, name)
    return once(spoken)


def said(vocoders: Iterable[str], config: CloningBenchmark) -> list[Spoken]:
    """The readers' recordings of sentences, and the sentences in voices of the base by each vocoder."""
    spoken: list[Spoken] = []
    for name in vocoders:
        rows = run_cloning(config, load_base(config.base), load_vocoder(name), print)
        spoken += named((one for one in rows if one.system != COPY), name)
    return once(spoken)


def band_above(vocoders: Iterable[str], config: CloningBenchmark) -> list[list[str]]:
    """What the recordings and their copies hold above 8 kHz, dB of the whole, by speaker."""
    base = load_base()
    mel_spec, rate = MelSpec(base.config.audio.mel), base.config.audio.mel.sample_rate
    systems = {REAL: None, **{name: load_vocoder(name) for name in vocoders}}
    shown: dict[str, list[str]] = {name: [name] for name in systems}
    for own in choose_sentences(Manifest.load(config.manifest), config, config.adapt_on).values():
        real = [load_waveform_and_mel(one.audio, base.config.audio, mel_spec) for one in own.score_on]
        for name, vocoder in systems.items():
            said = [samples if vocoder is None else vocoder(mel[None])[0].numpy() for samples, mel in real]
            power = np.mean([np.abs(np.fft.rfft(x[:rate] * np.hanning(rate))) ** 2 for x in said], axis=0)
            above = np.fft.rfftfreq(rate, 1 / rate) > _SPEECH_BAND
            shown[name].append(f"{10 * np.log10(power[above].sum() / power.sum() + 1e-12):.0f}")
    return list(shown.values())


PARTS = {
    "copies": ("score.yaml", copies),
    "held-back": ("tune.yaml", copies),
    "said": ("voices.yaml", said, "score_on=2"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of copies, said, band, held-back; all but the last if not given")
    parser.add_argument("--vocoder", action="append", help="as `speak --vocoder`; the known ones if not given")
    arguments = parser.parse_args()
    mel_config, shared = load_base().config.audio.mel, (f"metrics=[{', '.join(METRICS)}]", f"cache={RUNS / 'scores'}")
    for part in arguments.parts or ("copies", "said", "band"):
        if part == "band":
            tuned = load_config(RECIPES / "tune.yaml", CloningBenchmark)
            print(markdown(["above 8.5 kHz, dB", *tuned.speakers], band_above(arguments.vocoder or VOCODERS, tuned)))
            continue
        name, score, *changes = PARTS[part]
        config = load_config(RECIPES / name, CloningBenchmark, (*shared, *changes))
        print(write_cloning_report(RUNS / part, score(arguments.vocoder or VOCODERS, config), mel_config, part))


if __name__ == "__main__":
    sys.exit(run_command(main))
