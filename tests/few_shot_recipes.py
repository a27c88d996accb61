"""A small recipe of the few-shot benchmark on tones, and what the tests of the benchmark share."""

from __future__ import annotations

from pathlib import Path

from tts_meta.adapt import Recording, prepare_recordings
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.corpus import Example, Manifest, Utterance
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.report.few_shot import write_few_shot_report


def config(long_corpus: Path, output: Path, **changes: object) -> FewShotBenchmark:
    settings = {
        "manifest": long_corpus / "manifest.jsonl",
        "split": "train",
        "speakers": ["ben"],
        "output": output,
        "metrics": ["similarity"],
        "score_on": 2,
        "sentences": [1, 2],
        "steps": [0, 2],
        "learners": {"all": {"modules": ["*"]}, "biases": {"modules": ["*.bias"], "learning_rate": 1e-2}},
    }
    return parse_config(settings | changes, FewShotBenchmark, "test")


def vocoder() -> GriffinLim:
    return GriffinLim(MelConfig(), iterations=2)


def scored_utterances(recipe: FewShotBenchmark) -> list[Utterance]:
    return recipe.choose(Manifest.load(recipe.manifest))["ben"].score_on


def adaptation_examples(recipe: FewShotBenchmark, base: Base, count: int) -> list[Example]:
    chosen = recipe.choose(Manifest.load(recipe.manifest))["ben"].adapt_on
    recordings = [Recording(u.audio, u.text) for u in chosen[:count]]
    return prepare_recordings(recordings, base, "ben", lambda line: None)


def table_of(folder: Path, results: FewShotResults, head: str) -> str:
    """The table of the report that starts with this heading; empty if there is none."""
    text = write_few_shot_report(folder, results, MelConfig())
    return text.split(f"| {head}")[1].split("\n\n")[0] if f"| {head}" in text else ""
