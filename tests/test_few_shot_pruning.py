"""Prune and remeasure: which modules are kept, and the panels of the figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_meta.adapt import Voice, adaptable_modules
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.evaluate.few_shot.pruning import module_orders, prune
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.report.pruning import pruning_panels, relative_changes


def recipe(long_corpus: Path, output: Path) -> FewShotBenchmark:
    settings = {
        "manifest": long_corpus / "manifest.jsonl",
        "split": "train",
        "speakers": ["ben"],
        "output": output,
        "metrics": ["similarity"],
        "score_on": 1,
        "sentences": [1],
        "steps": [2],
        "learners": {"all": {"modules": ["*"]}, "mean voice": {"learner": "mean-voice"}},
    }
    return parse_config(settings, FewShotBenchmark, "test")


def test_voices_are_cloned_again_with_the_modules_that_each_order_keeps(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    names = adaptable_modules(base).names
    prior = ModulePrior({name: 1e-4 / number for number, name in enumerate(names, 1)})
    learned, vocoder = base.with_prior(prior), GriffinLim(MelConfig(), iterations=2)
    changes = relative_changes(learned)
    results = prune(recipe(long_corpus, tmp_path), [3, 1], learned, vocoder, changes, lambda line: None, [3])
    voices = {trial.learner: Voice.load(trial.voice_file) for trial in results.trials}
    modules = {name: voice.modules for name, voice in voices.items()}
    assert list(modules) == ["all", "σ: 3", "σ: 1", "change: 3", "random: 3", "mean voice"]
    assert modules["mean voice"] == ()
    assert modules["all"] == names and modules["σ: 3"] == names[:3] and modules["σ: 1"] == names[:1]
    orders = module_orders(learned, changes([voices["all"]]), seed=0)
    assert all(sorted(order) == sorted(names) for order in orders.values())
    assert set(modules["change: 3"]) == set(orders["change"][:3])
    assert set(modules["random: 3"]) == set(orders["random"][:3])
    panels = pruning_panels(results, len(names))
    assert [panel.y_label for panel in panels] == ["Similarity", "NLL per frame (nats)"]
    for panel in panels:
        assert list(panel.curves) == ["σ", "change", "random"]
        numbers = {order: [x for x, _ in curve] for order, curve in panel.curves.items()}
        assert numbers == {"σ": [1, 3, len(names)], "change": [3, len(names)], "random": [3, len(names)]}
        assert list(panel.reference_lines) == ["mean voice"]
    with pytest.raises(TtsMetaError, match="has no learned prior to order modules by"):
        module_orders(base, {}, seed=0)
