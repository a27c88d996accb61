"""Vocoders beside each other: copies of recordings, and what the base says, by each of them.

python -m recipes.librispeech_mini.vocoders [PART]... [--vocoder NAME_OR_PATH]...      an hour on one core; two tables

Copies: ten sentences of each `eval` speaker, recording -> mel -> vocoder. Said: ten training speakers of the base say
two sentences each of the held-back ones, the very same mels for every vocoder. `held-back`: copies of the speakers held
back, to choose settings by. Tables, scores and a page to listen to go to `runs/librispeech_mini/vocoders`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from tts_meta.config import load_config
from tts_meta.corpus import Manifest
from tts_meta.evaluate import Scorer, Settings
from tts_meta.evaluate.cloning import CloningBenchmark, choose_sentences, run_cloning
from tts_meta.evaluate.voice import COPY, OWN, REAL, Spoken, score_voices
from tts_meta.models.base import load_base
from tts_meta.models.vocoder import load_vocoder
from tts_meta.report.cloning import write_cloning_report

RECIPES, RUNS = Path("recipes/librispeech_mini"), Path("runs/librispeech_mini/vocoders")
METRICS = ("pesq", "stoi", "distance", "distillmos", "dnsmos", "words", "similarity")
VOCODERS = ("hifigan", "light", "griffin-lim")


def named(spoken: Iterable[Spoken], vocoder: str) -> list[Spoken]:
    """The same, what a vocoder made under its name."""
    return [
        one
        if one.system == REAL
        else dataclasses.replace(one, system=vocoder, scores=dataclasses.replace(one.scores, system=vocoder))
        for one in spoken
    ]


def copies(vocoders: Iterable[str], config: CloningBenchmark) -> list[Spoken]:
    """Recordings of the speakers of a recipe and their copies by each vocoder."""
    base, scorer = load_base(), Scorer(METRICS, Settings())
    chosen = choose_sentences(Manifest.load(config.manifest), config)
    spoken: list[Spoken] = []
    for name in vocoders:
        vocoder = load_vocoder(name)
        for others, its in chosen.values():
            made = score_voices(base, {}, vocoder, its, len(its), scorer, others, config.cache_folder)
            spoken += named((one for one in made if one.system == COPY or not spoken_has(spoken, one)), name)
    return spoken


def spoken_has(spoken: Iterable[Spoken], one: Spoken) -> bool:
    """Whether a recording is among what was scored."""
    return any(other.system == one.system and other.utterance.id == one.utterance.id for other in spoken)


def said(vocoders: Iterable[str], config: CloningBenchmark) -> list[Spoken]:
    """The readers' recordings of sentences, and the sentences in voices of the base by each vocoder."""
    spoken: list[Spoken] = []
    for name in vocoders:
        rows = run_cloning(config, load_base(config.base), load_vocoder(name), print)
        rows = [one for one in rows if one.system == OWN or (one.system == REAL and not spoken_has(spoken, one))]
        spoken += named(rows, name)
    return spoken


PARTS = {
    "copies": ("score.yaml", copies),
    "held-back": ("tune.yaml", copies),
    "said": ("voices.yaml", said, "score_on=2"),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="of copies, said, held-back; the first two if not given")
    parser.add_argument("--vocoder", action="append", help="as `speak --vocoder`; the known ones if not given")
    arguments = parser.parse_args()
    mel_config, shared = load_base().config.audio.mel, (f"metrics=[{', '.join(METRICS)}]", f"cache={RUNS / 'scores'}")
    for part in arguments.parts or ("copies", "said"):
        name, score, *changes = PARTS[part]
        config = load_config(RECIPES / name, CloningBenchmark, (*shared, *changes))
        print(write_cloning_report(RUNS / part, score(arguments.vocoder or VOCODERS, config), mel_config, part))
