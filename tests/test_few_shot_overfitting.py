"""The recipe that compares the likelihood of adaptation sentences and unseen sentences."""

from __future__ import annotations

from pathlib import Path

from recipes.few_shot import overfitting
from tts_meta.adapt import Voice
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.griffin_lim import GriffinLim


def test_a_voice_without_a_prior_overfits_its_adaptation_sentences(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    settings = {
        "manifest": long_corpus / "manifest.jsonl",
        "split": "train",
        "speakers": ["ben"],
        "output": tmp_path,
        "metrics": ["similarity"],
        "score_on": 1,
        "sentences": [2],
        "learners": {"free": {"modules": ["*"], "variance": 1.0, "learning_rate": 0.01, "steps": [0, 60]}},
    }
    recipe = parse_config(settings, FewShotBenchmark, "test")
    trials = run_few_shot(recipe, base, GriffinLim(MelConfig(), iterations=2), print).trials
    adaptation = overfitting.adaptation_scores(base, trials, recipe)
    adapted = {trial.system: int(Voice.load(trial.voice_file).scores["sentences"]) for trial in trials}
    for system, count in adapted.items():
        assert len([row for row in adaptation if row.system == system]) == count
    before, after = (next(row["nll"] for row in adaptation if row.system == trial.system) for trial in trials)
    gained = trials[0].scores[0]["nll"] - trials[1].scores[0]["nll"]
    assert before - after > max(gained, 1.0)
    rows = [line.strip("| ").split(" | ") for line in overfitting.table(trials, adaptation).splitlines()[2:]]
    assert [row[0] for row in rows] == list(adapted) and len({row[1] for row in rows}) == 1
    assert [float(row[2].split()[0]) for row in rows] == sorted(
        (float(row[2].split()[0]) for row in rows), reverse=True
    )
