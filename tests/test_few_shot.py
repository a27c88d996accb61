"""The few-shot benchmark end to end, on tones: which cells there are, what they say, what a second run makes anew."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from commands import run
from helpers import RATE, same_weights, tiny_base, tiny_source_filter

from tts_meta.adapt import CloneSettings, Recording, Voice, adaptable_modules, clone_examples, prepare_recordings
from tts_meta.adapt.baselines.lora import clone_lora
from tts_meta.audio import prepare_waveform, read_audio
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.corpus import Example, Manifest, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults, run_few_shot
from tts_meta.evaluate.few_shot.results_io import read_trials, write_trials
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.similarity import mean_embedding
from tts_meta.evaluate.speaker_encoder import SpeakerEncoder
from tts_meta.evaluate.voice import COPY, REAL, score_voices
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.report.few_shot import write_few_shot_report

CELLS = importlib.import_module("tts_meta.evaluate.few_shot.trials")
METHODS = importlib.import_module("tts_meta.evaluate.methods")
LORA = importlib.import_module("tts_meta.adapt.baselines.lora")
NOTE = (
    "{}, where an earlier run of the same versions of methods and judges left it ({} of {} cells); "
    "not computed in this run.\n"
)


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
    results = run_few_shot(recipe, base, vocoder(), lambda line: None)
    trials = results.trials
    combinations = [(name, n, steps) for name in ("all", "biases") for n in (1, 2) for steps in (0, 2)]
    assert [(c.learner, c.sentences, c.steps) for c in trials] == combinations
    systems = [trial.system for trial in trials]
    assert systems[1] == "all, 1 sentence, 2 steps"
    said = [(row.system, row.id) for row in results.scores()]
    assert said[:4] == [(system, u.id) for u in _unseen(recipe) for system in (REAL, COPY)]
    assert said[4:] == [(system, u.id) for system in systems for u in _unseen(recipe)]
    assert trials[1].parameters == sum(module.size for module in adaptable_modules(base).modules)
    assert trials[5].parameters == sum(module.size for module in adaptable_modules(base).select(["*.bias"]).modules)
    assert trials[0].parameters == trials[0].bytes == 0  # the base as it is
    assert all(trial.sound(1).exists() for trial in trials) and trials[0].embeddings.shape == (2, 256)

    voice = clone_examples(base, _adapt_on(recipe, base, 2), CloneSettings(("*",), 2))
    unseen = [Recording(u.audio, u.text) for u in _unseen(recipe)]
    example = prepare_recordings(unseen, base, "ben", lambda line: None)[0]
    batch = collate([example], {"ben": -1}, base.acoustic.reduction)
    voice.save(tmp_path / "ben.voice.safetensors")
    model = Voice.load(tmp_path / "ben.voice.safetensors").apply(base)
    expected = float(acoustic_loss(model, model(batch), batch).nll) / len(example.mel)
    found = next(trial for trial in trials if trial.system == "all, 2 sentences, 2 steps").scores[0]
    assert found["nll"] == pytest.approx(expected, rel=1e-3)

    table = write_few_shot_report(tmp_path, results, base.config.audio.mel)
    assert table.startswith("2 unseen sentences of 1 speaker;") and "NLL per frame (nats)" in table
    few, many = (part.split("\n\n")[1].splitlines() for part in table.split("### From ")[1:])
    names = ["| all, 0 steps", "| all, 2 steps", "| biases, 0 steps", "| biases, 2 steps"]
    assert [line.split(" | ")[0] for line in few[2:]] == [f"| {REAL}", f"| {COPY}", *names]
    biases = next(trial for trial in trials if trial.system == "biases, 2 sentences, 2 steps")
    assert many[-1].endswith(f" | {biases.parameters:,} | {biases.bytes / 1024:,.0f} | {biases.cpu_seconds:.1f} |")
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert [line["parameters"] for line in lines] == [trial.parameters for trial in trials]
    assert lines[1]["bytes"] > lines[-1]["bytes"] > 0 and (tmp_path / "curves.png").exists()
    page = (tmp_path / "index.html").read_text()
    assert all(f"{system}" in page for system in ("all, 2 sentences, 2 steps", "biases, 2 sentences, 2 steps"))

    monkeypatch.setattr(CELLS, "clone_examples", Mock(side_effect=AssertionError("made anew")))
    again = run_few_shot(recipe, base, vocoder(), lambda line: None)
    assert [trial.cpu_seconds for trial in again.trials] == [trial.cpu_seconds for trial in trials]
    assert {trial.source for trial in trials} == {"this run"} and {trial.source for trial in again.trials} == {"cache"}
    marked = write_few_shot_report(tmp_path, again, base.config.audio.mel)
    assert "†" not in table and marked.count("steps † |") == 8
    assert marked.endswith("† " + NOTE.format("read from the cache folder", 8, 8))
    assert "all, 1 sentence, 0 steps †" in (tmp_path / "index.html").read_text()
    assert again.scores() == results.scores()
    with pytest.raises(AssertionError, match="made anew"):
        run_few_shot(config(long_corpus, tmp_path, seed=1), base, vocoder(), lambda line: None)


def test_a_voice_is_made_once_whoever_judges_it(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"learners": {"all": {"modules": ["*"]}}, "steps": [2]}
    first = run_few_shot(config(long_corpus, tmp_path, **one), base, vocoder(), lambda line: None)

    monkeypatch.setattr(CELLS, "clone_examples", Mock(side_effect=AssertionError("made anew")))
    judged = {"metrics": ["similarity", "variance"], "score_on": 1}  # one sentence that was not adapted on, as before
    again = run_few_shot(config(long_corpus, tmp_path, **one, **judged), base, vocoder(), lambda line: None)
    for trial, before in zip(again.trials, first.trials, strict=True):
        assert trial.voice == before.voice and trial.key != before.key and trial.cpu_seconds == before.cpu_seconds
        assert trial.key.split("/")[0] == before.key.split("/")[0]
        assert {"variance", "similarity", "nll"} <= set(trial.scores[0].measures) and len(trial.scores) == 1


def test_what_another_machine_measured_is_not_made_anew(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = {"speakers": ["ann", "ben"], "sentences": [2]}
    first = run_few_shot(config(long_corpus, tmp_path / "there", **its), base, vocoder(), lambda line: None)
    write_few_shot_report(tmp_path / "there", first, base.config.audio.mel)

    monkeypatch.setattr(CELLS, "clone_examples", Mock(side_effect=AssertionError("made anew")))
    recipe = config(long_corpus, tmp_path / "here", cached_results=tmp_path / "there" / "trials.jsonl", **its)
    renamed = recipe.learners | {"everything": recipe.learners["all"]}
    recipe = recipe.model_copy(update={"learners": renamed})
    again = run_few_shot(recipe, base, vocoder(), lambda line: None)
    assert [row for row in again.scores() if "everything" not in row.system] == first.scores()
    rates = first.error_rates()
    assert {name: rate for name, rate in again.error_rates().items() if name in rates} == rates
    assert {row["nll"] for row in again.scores() if "everything, 2 sentences, 2" in row.system} == {
        row["nll"] for row in again.scores() if "all, 2 sentences, 2" in row.system
    }
    assert not any(trial.here for trial in again.trials) and {trial.source for trial in again.trials} == {
        "cached_results"
    }
    table = write_few_shot_report(tmp_path / "here", again, base.config.audio.mel)
    assert table.startswith("4 unseen sentences of 2 speakers;")
    shown = {line.split(" | ")[0]: line.split(" | ")[1:-1] for line in table.split("\n\n")[2].splitlines()}
    assert shown["| everything, 2 steps ‡"] == shown["| all, 2 steps ‡"]
    page = (tmp_path / "here" / "index.html").read_text()
    assert page.count("<audio") == 2 * 2  # of each speaker two recordings, and no voice
    with pytest.raises(AssertionError, match="made anew"):
        run_few_shot(recipe.model_copy(update={"seed": 1}), base, vocoder(), lambda line: None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "cannot read the cells"),
        ("{", "line 2 is no cell"),
        ('{"key": 1}', "line 2 is no cell"),
        ("a key of another form", "line 2 is no cell"),
    ],
)
def test_a_file_that_holds_no_cells_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "trials.jsonl"
    write_trials(path, [])
    assert read_trials(path) == {}
    if line:
        trial = Trial(
            "all", "ben", 1, None, 3, tmp_path / "voice" / "judged", 4, 5, 0.5, (), np.ones((1, 256), np.float32)
        )
        write_trials(path, [trial])
        if line.startswith("a key"):
            line = path.read_text().strip().replace("voice/judged", "voice")
        path.write_text(path.read_text() + line + "\n")
    else:
        path.unlink()
    with pytest.raises(TtsMetaError, match=f"trials.jsonl.*{said}|{said}.*trials.jsonl"):
        read_trials(path)


def _adapt_on(recipe: FewShotBenchmark, base: Base, count: int) -> list[Example]:
    chosen = recipe.choose(Manifest.load(recipe.manifest))["ben"].adapt_on
    recordings = [Recording(u.audio, u.text) for u in chosen[:count]]
    return prepare_recordings(recordings, base, "ben", lambda line: None)


def test_tables_of_differences_are_those_of_the_scores(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learners = {"all": {"modules": ["*"]}, "biases": {"modules": ["*.bias"], "learning_rate": 1e-2}}
    recipe = config(long_corpus, tmp_path, speakers=["ann", "ben"], sentences=[2], steps=[0, 3], learners=learners)
    results = run_few_shot(recipe, base, vocoder(), lambda line: None)
    table = write_few_shot_report(tmp_path, results, base.config.audio.mel)
    nll = {
        trial.system: np.average(
            [row["nll"] for one in results.trials if one.system == trial.system for row in one.scores],
            weights=[
                row.measures["nll"].weight for one in results.trials if one.system == trial.system for row in one.scores
            ],
        )
        for trial in results.trials
    }
    lines = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table.splitlines()}
    best = {
        name: min(nll[f"{name}, 2 sentences, 0 steps"], nll[f"{name}, 2 sentences, 3 steps"])
        for name in ("all", "biases")
    }
    shown = float(lines["biases"][2].split(" [")[0])
    assert shown == pytest.approx(best["biases"] - best["all"], abs=0.06)
    rates = results.error_rates()
    assert set(rates) == {REAL, COPY, *nll}
    assert all(0 <= rate.low <= rate.mean <= rate.high <= 1 for rate in rates.values())
    assert f"{rates[REAL].mean:.3f}" in next(line for line in table.splitlines() if REAL in line)


def test_rivals_without_steps_speak_in_voices_that_the_base_has(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learners = {"near": {"method": "nearest"}, "mixed": {"method": "zero-shot"}}
    recipe = config(long_corpus, tmp_path, learners=learners)
    trials = run_few_shot(recipe, base, vocoder(), lambda line: None).trials
    assert [(trial.learner, trial.sentences, trial.steps) for trial in trials] == [
        (name, n, 0) for name in learners for n in (1, 2)
    ]
    near, mixed = (Voice.load(trial.voice) for trial in (trials[1], trials[3]))
    offsets = base.acoustic.speaker.offsets
    assert near.scores == {"nearest": "ben"}  # one of the base's own
    torch.testing.assert_close(near.deltas["speaker.mean"], offsets[1], rtol=1e-3, atol=1e-4)
    # Between the two speakers there are, and nearer to the right one.
    part = (
        (mixed.deltas["speaker.mean"] - offsets[0]) @ (offsets[1] - offsets[0]) / (offsets[1] - offsets[0]).norm() ** 2
    )
    assert 0.5 < float(part) < 1.1
    assert trials[0].parameters == 6


def test_lora_adapters_are_the_voice(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    examples = _adapt_on(config(long_corpus, tmp_path), base, 2)
    settings = CloneSettings(("decoder", "postnet"), 5, 1e-2)
    voice, again = (clone_lora(base, examples, 2, settings) for _ in range(2))
    up, down = (voice.deltas[f"decoder.output.weight{side}"] for side in (":up", ":down"))
    assert up.shape[1] == down.shape[0] == 2 and float(up.abs().max()) > 0
    assert same_weights(voice.deltas, again.deltas) and float(voice.deltas["decoder.output.bias"].norm()) > 0
    assert not any("lstms" in delta and "weight" in delta for delta in voice.deltas)
    changed = voice.changes(base)
    torch.testing.assert_close(changed["decoder.output.weight"], up @ down)
    voice.save(tmp_path / "a.voice.safetensors")
    assert same_weights(Voice.load(tmp_path / "a.voice.safetensors").deltas, voice.deltas)
    moved = voice.apply(base)
    batch = collate(examples[:1], {"ben": -1}, base.acoustic.reduction)
    before, after = (float(acoustic_loss(model, model(batch), batch).nll) for model in (base.acoustic, moved))
    assert after < before
    with pytest.raises(UsageError, match="none of the chosen modules"):
        clone_lora(base, examples, 2, CloneSettings(("speaker.mean",), 1))


def test_the_factors_of_every_kind_of_layer_multiply_to_what_peft_adds() -> None:
    torch.manual_seed(0)
    model = torch.nn.ModuleDict(
        {"line": torch.nn.Linear(5, 7), "conv": torch.nn.Conv1d(4, 6, 3), "table": torch.nn.Embedding(9, 8)}
    )
    shapes = {name: layer.weight.shape for name, layer in model.items()}
    LORA._inject(model, list(model), 2)
    for name, value in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(value)
    for name in shapes:
        layer: Any = model[name]
        up, down = LORA._factors(layer)
        assert up.shape[1] == down.shape[0] == 2
        torch.testing.assert_close((up @ down).reshape(shapes[name]), layer.get_delta_weight("default").detach())


def data(recipe: FewShotBenchmark, folder: Path) -> Any:
    """What the cells of ben share, with one metric that any machine has."""
    chosen = recipe.choose(Manifest.load(recipe.manifest))["ben"]
    own = chosen.adapt_on, chosen.score_on, chosen.references
    return CELLS.SpeakerData("ben", *own, vocoder(), Scorer(["variance"]), Mock(), 0, 800, folder)


VERSIONS = {
    "clone": ["CLONE_VERSION", "RECORDINGS_VERSION", "NO_PRIOR_LR", "NO_PRIOR_STEPS", "SIGMA_LR", "NEGLIGIBLE"],
    "lora": ["LORA_VERSION", "RECORDINGS_VERSION", "LEARNING_RATE", "NO_PRIOR_STEPS"],
    "nearest": ["NEAREST_VERSION"],
    "zero-shot": ["ZERO_SHOT_VERSION"],
}


def test_a_changed_version_of_a_method_or_a_judge_makes_a_new_key(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = data(config(long_corpus, tmp_path), tmp_path)
    learned = replace(base, prior=ModulePrior({"speaker.mean": 1e-2}, base.hash))
    kinds = get_args(MethodConfig.model_fields["method"].annotation)
    learners: dict[str, tuple[MethodConfig, int | None]] = {name: (MethodConfig(method=name), 3) for name in kinds}
    learners["auto_stop"] = MethodConfig(auto_stop=True), None

    def voices() -> dict[str, str]:
        return {name: CELLS._voice_key(own, learned, its, 2, steps) for name, (own, steps) in learners.items()}

    before, judged = voices(), CELLS._judged_key(its)
    assert len(set(before.values())) == 5 and voices() == before
    depends = {name: set(its) for name, its in VERSIONS.items()}
    depends["auto_stop"] = depends["clone"] | {"STOPPING_VERSION"}
    for version in sorted(set().union(*depends.values())):
        with monkeypatch.context() as changed:
            changed.setattr(METHODS, version, 99)
            after = voices()
            assert {name for name in after if after[name] != before[name]} == {
                name for name, its in depends.items() if version in its
            }, version
            assert CELLS._judged_key(its) == judged, "how a voice is made does not change how it is judged"
    for version in ("JUDGE_VERSION", "SPEECH_VERSION", "RECORDINGS_VERSION"):
        with monkeypatch.context() as changed:
            changed.setattr(CELLS, version, 99)
            assert CELLS._judged_key(its) != judged and voices() == before
    its.scorer.metrics["variance"] = replace(its.scorer.metrics["variance"], version=99)
    assert CELLS._judged_key(its) != judged


def test_a_cell_of_an_older_version_is_computed_again(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = config(long_corpus, tmp_path, sentences=[1], steps=[1], learners={"all": {"modules": ["*"]}})
    first = run_few_shot(one, base, vocoder(), lambda line: None).trials[0]
    cached_results = one.model_copy(update={"output": tmp_path / "other", "cached_results": tmp_path / "trials.jsonl"})
    write_trials(tmp_path / "trials.jsonl", [first])
    told: list[str] = []
    assert run_few_shot(cached_results, base, vocoder(), told.append).trials[0].source == "cached_results"
    assert told == ["ben: all, 1 sentence, 1 step (cached_results)"]
    monkeypatch.setattr(METHODS, "CLONE_VERSION", 99)
    for recipe in (one, cached_results):
        again = run_few_shot(recipe, base, vocoder(), lambda line: None).trials[0]
        assert again.source == "this run" and again.key != first.key


def test_similarity_is_measured_to_sentences_neither_adapted_on_nor_scored(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    manifest = Manifest.load(long_corpus / "manifest.jsonl")
    several = [
        config(long_corpus, tmp_path),
        config(long_corpus, tmp_path, seed=5),
        config(long_corpus, tmp_path, sentences=[1], score_on=3, longest=20.0),
    ]
    chosen = [recipe.choose(manifest)["ben"] for recipe in several]
    for one in chosen:
        kinds = [{u.audio for u in part} for part in (one.adapt_on, one.score_on, one.references)]
        assert len(set.union(*kinds)) == sum(map(len, kinds)) and len(one.references) == 5
        assert one.references == chosen[0].references, "the same in every recipe"
    own = sorted((u.seconds for u in manifest if u.speaker == "ben"), reverse=True)
    assert sorted((u.seconds for u in chosen[0].references), reverse=True) == own[:5]

    results = run_few_shot(several[0], base, vocoder(), lambda line: None)
    encoder = SpeakerEncoder.load()

    def sound(path: Path) -> np.ndarray:
        return encoder.embed(prepare_waveform(read_audio(path, RATE), base.config.audio, str(path)), RATE)

    voice = mean_embedding([sound(u.audio) for u in chosen[0].references])
    for trial in results.trials:
        for row, embedding in zip(trial.scores, trial.embeddings, strict=True):
            assert row["similarity"] == pytest.approx(float(voice @ embedding), abs=1e-4)
    real = next(one for one in results.spoken if one.system == REAL)
    assert real.scores["similarity"] == pytest.approx(float(voice @ sound(real.utterance.audio)), abs=1e-5)
    with pytest.raises(UsageError, match=r"\.wav: similarity is measured to it and it is scored"):
        score_voices(base, {}, vocoder(), chosen[0].score_on, Mock(), chosen[0].score_on[1:])


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        ({"method": "lora", "auto_stop": True}, "learner 'one': method lora does not use auto_stop; it uses base, "),
        ({"method": "nearest", "auto_stop": True}, "method nearest does not use auto_stop; it uses base, sentences"),
        ({"method": "zero-shot", "steps": [3]}, "method zero-shot does not use steps"),
        ({"method": "lora", "prior_scale": 2.0}, "method lora does not use prior_scale"),
        ({"method": "lora", "variance": 0.1}, "method lora does not use variance"),
        ({"method": "lora", "rank": 0}, "LoRA needs a rank of 1 or more"),
        (
            {"auto_stop": True, "variance": 1.0},
            "with a variance no loop stops by itself; leave out variance or auto_stop",
        ),
        ({"auto_stop": True, "learning_rate": 0.1}, "with a learning_rate no loop stops by itself"),
        ({"auto_stop": True, "modules": ["vocoder.*"]}, "the vocoder's loop does not stop by itself"),
    ],
)
def test_settings_that_a_method_would_ignore_are_refused_before_any_work(
    base: Base, tmp_path: Path, learner: dict, said: str
) -> None:
    learned = replace(base, prior=ModulePrior({"speaker.mean": 1e-2}, base.hash))
    recipe = config(tmp_path / "no corpus", tmp_path, learners={"one": learner})
    with pytest.raises(UsageError, match=said):
        run_few_shot(recipe, learned, SourceFilterVocoder(tiny_source_filter()), pytest.fail)


def test_settled_without_a_prior_is_refused_before_any_work(base: Base, tmp_path: Path) -> None:
    recipe = config(tmp_path / "no corpus", tmp_path, learners={"one": {"auto_stop": True}})
    with pytest.raises(UsageError, match="auto_stop needs a learned prior, and the base has none; give steps"):
        run_few_shot(recipe, base, vocoder(), pytest.fail)


def test_what_adapting_costs_is_time_of_the_processor(
    base: Base, long_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(*arguments: object, **named: object) -> Voice:
        time.sleep(0.3)
        return clone_examples(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(CELLS, "clone_examples", waiting)
    began, clock = time.process_time(), time.perf_counter()
    recipe = config(long_corpus, tmp_path, sentences=[1], steps=[1], learners={"all": {"modules": ["*"]}})
    trial = run_few_shot(recipe, base, vocoder(), lambda line: None).trials[0]
    assert 0 < trial.cpu_seconds < time.process_time() - began
    assert time.perf_counter() - clock > trial.cpu_seconds + 0.3


def test_what_is_scored_hangs_on_how_many_are_set_apart(long_corpus: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(long_corpus / "manifest.jsonl")
    whole, part = (config(long_corpus, tmp_path, sentences=n, support_pool=2).choose(manifest) for n in ([1, 2], [1]))
    assert whole == part == config(long_corpus, tmp_path).choose(manifest)
    assert whole != config(long_corpus, tmp_path, sentences=[1]).choose(manifest)


def _unseen(recipe: FewShotBenchmark) -> list:
    return recipe.choose(Manifest.load(recipe.manifest))["ben"].score_on


def test_a_learner_may_have_a_base_of_its_own(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    other = tiny_base(seed=1)
    save_base(other, tmp_path / "other")
    learners = {
        "ours": {"modules": ["speaker.mean"]},
        "theirs": {"modules": ["speaker.mean"], "base": tmp_path / "other"},
    }
    recipe = config(long_corpus, tmp_path / "run", sentences=[1], steps=[0], learners=learners)
    trials = run_few_shot(recipe, base, vocoder(), lambda line: None).trials
    assert [Voice.load(trial.voice).base_hash for trial in trials] == [base.hash, other.hash]


def test_a_learner_may_end_by_itself(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learned = replace(base, prior=ModulePrior({"postnet.output.bias": 0.1, "speaker.mean": 1e-2}, base.hash))
    learners = {"ours": {"auto_stop": True}, "all": {"modules": ["*"], "variance": 1.0}}
    recipe = config(long_corpus, tmp_path, sentences=[2], steps=[0, 2], learners=learners)
    results = run_few_shot(recipe, learned, vocoder(), lambda line: None)
    ours, *others = results.trials
    assert ours.system == "ours, 2 sentences, stopped automatically" and ours.steps is None and ours.steps_done >= 50
    assert [trial.steps for trial in others] == [0, 2] == [trial.steps_done for trial in others]
    assert Voice.load(ours.voice).steps == ours.steps_done
    assert "stopped automatically" not in table_of(tmp_path, results, "After many steps")
    assert "| all | " in table_of(tmp_path, results, "Best step, less the best of ours")


def test_a_report_where_all_end_by_themselves_has_levels_in_place_of_curves(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    learned = replace(base, prior=ModulePrior({"speaker.mean": 1e-2}, base.hash))
    recipe = config(long_corpus, tmp_path, sentences=[2], learners={"ours": {"auto_stop": True}})
    results = run_few_shot(recipe, learned, vocoder(), lambda line: None)
    assert "| ours, stopped automatically | " in write_few_shot_report(tmp_path / "report", results, MelConfig())
    assert (tmp_path / "report" / "curves.png").exists()


def test_a_learner_that_ends_by_itself_may_go_on_too(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learned = replace(base, prior=ModulePrior({"postnet.output.bias": 0.1, "speaker.mean": 1e-2}, base.hash))
    learners = {"ours": {"auto_stop": True, "steps": [1, 20]}}
    recipe = config(long_corpus, tmp_path, sentences=[2], learners=learners)
    results = run_few_shot(recipe, learned, vocoder(), lambda line: None)
    assert [trial.steps for trial in results.trials] == [1, 20, None]
    table = table_of(tmp_path, results, "After many steps")
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| ours, 20 steps",
        "| ours, stopped automatically",
    ]


def test_only_cells_that_ask_the_prior_are_made_anew_under_another(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    learners = {"ours": {}, "all": {"modules": ["*"], "variance": 1.0}, "lora": {"method": "lora"}}
    recipe = config(long_corpus, tmp_path, sentences=[2], steps=[1], learners=learners)

    def folders(variance: float, wider: float = 1.0, asked: float | None = None) -> list[Path]:
        learned = replace(base, prior=ModulePrior({"speaker.mean": variance}, base.hash, prior_scale=wider))
        ours = recipe.learners["ours"].model_copy(update={"prior_scale": asked})
        its = recipe.model_copy(update={"learners": recipe.learners | {"ours": ours}})
        return [trial.folder for trial in run_few_shot(its, learned, vocoder(), lambda line: None).trials]

    first = folders(1e-2)
    assert [one == two for one, two in zip(first, folders(1e-3), strict=True)] == [False, True, True]
    assert folders(1e-2, wider=4.0) == folders(1e-2, asked=4.0) and folders(1e-2, asked=4.0)[0] != first[0]


def test_another_prior_or_one_sigma_for_all_in_place_of_those_found(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    found = {"speaker.mean": 1e-2, "postnet.output.bias": 1e-4}
    prior = ModulePrior(found, base.hash, adapted_modules=("speaker.mean",), prior_scale=2.0)
    same = ModulePrior(dict.fromkeys(found, 0.25), base.hash)

    def voice(own: ModulePrior | None, **learner: object) -> Voice:
        recipe = config(long_corpus, tmp_path, sentences=[2], steps=[3], learners={"one": learner})
        return Voice.load(run_few_shot(recipe, replace(base, prior=own), vocoder(), lambda line: None).trials[0].voice)

    ours, theirs, learned = voice(prior, isotropic=0.5), voice(same), voice(prior)
    assert set(ours.modules) == set(found) and learned.modules == ("speaker.mean",)
    assert all(torch.equal(delta, theirs.deltas[name]) for name, delta in ours.deltas.items())
    file = tmp_path / "prior.safetensors"
    replace(prior, weights_hash="another base").save(file)
    for one in voice(None, prior=file), voice(same, prior=file):
        assert all(torch.equal(one.deltas[name], delta) for name, delta in learned.deltas.items())
    with pytest.raises(TtsMetaError, match="cannot be read"):
        voice(prior, prior=tmp_path / "none.safetensors")
    with pytest.raises(UsageError, match="leave out one of them"):
        voice(prior, prior=file, variance=1.0)
    with pytest.raises(UsageError, match="the base has none"):
        voice(None, isotropic=0.5)
    with pytest.raises(UsageError, match="leave out variance"):
        voice(prior, isotropic=0.5, variance=1.0)


def table_of(folder: Path, results: FewShotResults, head: str) -> str:
    """The report's table whose head begins so; empty where there is none."""
    text = write_few_shot_report(folder, results, MelConfig())
    return text.split(f"| {head}")[1].split("\n\n")[0] if f"| {head}" in text else ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sentences": [0]}, "sentences must be 1 or more"),
        ({"support_pool": 1}, "set_apart is 1, and a learner asks for 2 sentences"),
        ({"steps": [-1]}, "steps must be 0 or more"),
        ({"learners": {"one": {"sentences": [0]}}}, "sentences must be 1 or more"),
        ({"learners": {"one": {"method": "lora", "rank": 1, "modules": ["speaker.mean"]}}}, "LoRA adapts linear"),
        ({"sentences": [30]}, "32 are needed"),
        ({"learners": {"none": {"modules": ["nothing"]}}}, "no module matches 'nothing'"),
        ({"learners": {"wide": {"prior_scale": 2.0}}}, "prior_scale scales the base's learned prior"),
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
    assert done.status == 0 and "### From 1 sentence\n" in done.out and "| biases | " in done.out
    assert run(capsys, "benchmark", tmp_path / "none.yaml").failed(1, "cannot read", "none.yaml")
