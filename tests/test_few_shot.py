"""The few-shot benchmark end to end, on tones: which cells there are, what they say, what a second run makes anew."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from commands import run
from helpers import tiny_base

from tts_meta.adapt import Recording, Voice, adaptable, align_recordings, clone_examples
from tts_meta.config import MelConfig, parse_config
from tts_meta.corpus import Manifest, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.cloning import choose_sentences
from tts_meta.evaluate.few_shot import FewShotBenchmark, run_few_shot
from tts_meta.evaluate.voice import COPY, REAL
from tts_meta.models.base import Base, save_base
from tts_meta.models.griffin_lim import GriffinLim
from tts_meta.models.losses import acoustic_loss
from tts_meta.report.cloning import write_few_shot_report

FEW_SHOT = importlib.import_module("tts_meta.evaluate.few_shot")


@pytest.fixture
def base() -> Base:
    base = tiny_base()
    base.hash = "a base"
    return base


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


def test_every_learner_speaks_from_every_count_after_every_number_of_steps(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = config(long_corpus, tmp_path)
    cells, spoken = run_few_shot(recipe, base, vocoder(), lambda line: None)
    combinations = [(name, n, steps) for name in ("all", "biases") for n in (1, 2) for steps in (0, 2)]
    assert [(c.learner, c.sentences, c.steps) for c in cells] == combinations
    systems = [cell.system for cell in cells]
    assert systems[1] == "all, 1 sentences, 2 steps"
    assert [(one.system, one.utterance.id) for one in spoken if one.system in (REAL, COPY)] == [
        (system, u.id) for u in _unseen(recipe) for system in (REAL, COPY)
    ]
    assert [one.system for one in spoken if one.system not in (REAL, COPY)] == [s for s in systems for _ in range(2)]
    assert cells[0].parameters == sum(module.size for module in adaptable(base).modules)
    assert cells[4].parameters == sum(module.size for module in adaptable(base).select(["*.bias"]).modules)

    chosen, _ = choose_sentences(Manifest.load(recipe.manifest), recipe, 2)["ben"]
    examples = align_recordings([Recording(u.audio, u.text) for u in chosen], base, "ben", lambda line: None)
    voice = clone_examples(base, examples, FEW_SHOT.CloneSettings(("*",), 2))
    unseen = [Recording(u.audio, u.text) for u in _unseen(recipe)]
    example = align_recordings(unseen, base, "ben", lambda line: None)[0]
    batch = collate([example], {"ben": -1}, base.acoustic.reduction)
    model = voice.apply(base)
    expected = float(acoustic_loss(model, model(batch), batch).nll) / len(example.mel)
    found = next(one for one in spoken if one.system == "all, 2 sentences, 2 steps")
    assert found.scores["nats"] == pytest.approx(expected, rel=1e-3)

    table = write_few_shot_report(tmp_path, cells, spoken, base.config.audio.mel)
    assert "| biases, 2 sentences, 2 steps | 1 | 2 |" in table and "Nats a frame" in table
    lines = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert [line["parameters"] for line in lines] == [cell.parameters for cell in cells]
    assert lines[0]["bytes"] > lines[-1]["bytes"] > 0 and (tmp_path / "index.html").exists()

    def no_more(*given: object, **named: object) -> None:
        raise AssertionError("made already")

    monkeypatch.setattr(FEW_SHOT, "clone_examples", no_more)
    again, said = run_few_shot(recipe, base, vocoder(), lambda line: None)
    assert [cell.seconds for cell in again] == [cell.seconds for cell in cells]
    assert [one.scores.measures for one in said] == [one.scores.measures for one in spoken]
    with pytest.raises(AssertionError, match="made already"):
        run_few_shot(config(long_corpus, tmp_path, seed=1), base, vocoder(), lambda line: None)


def _unseen(recipe: FewShotBenchmark) -> list:
    return choose_sentences(Manifest.load(recipe.manifest), recipe, 2)["ben"][1]


def test_a_learner_may_have_a_base_of_its_own(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    other = tiny_base(seed=1)
    save_base(other, tmp_path / "other")
    learners = {
        "ours": {"modules": ["speaker.mean"]},
        "theirs": {"modules": ["speaker.mean"], "base": tmp_path / "other"},
    }
    recipe = config(long_corpus, tmp_path / "run", sentences=[1], steps=[0], learners=learners)
    cells, _ = run_few_shot(recipe, base, vocoder(), lambda line: None)
    assert [Voice.load(cell.path).base_hash for cell in cells] == [base.hash, other.hash]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sentences": [0]}, "sentences must be 1 or more"),
        ({"steps": [-1]}, "steps 0 or more"),
        ({"sentences": [30]}, "32 are needed"),
        ({"learners": {"none": {"modules": ["nothing"]}}}, "no module matches 'nothing'"),
    ],
)
def test_cells_that_cannot_be_are_refused(
    base: Base, long_corpus: Path, tmp_path: Path, changes: dict, said: str
) -> None:
    with pytest.raises((UsageError, TtsMetaError), match=said):
        run_few_shot(config(long_corpus, tmp_path, **changes), base, vocoder(), lambda line: None)


def test_the_command_reads_which_benchmark_a_recipe_is(
    long_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_base(tiny_base(), tmp_path / "base")
    recipe = config(
        long_corpus, tmp_path / "run", base=tmp_path / "base", vocoder="griffin-lim", sentences=[1], steps=[0]
    )
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    done = run(capsys, "benchmark", tmp_path / "recipe.yaml")
    assert done.status == 0 and "biases, 1 sentences, 0 steps" in done.out
    assert run(capsys, "benchmark", tmp_path / "none.yaml").failed(1, "cannot read", "none.yaml")
