"""Methods of the few-shot benchmark: baselines, LoRA, priors, automatic stopping, and refused settings."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from few_shot_recipes import adaptation_examples, config, table_of, vocoder
from helpers import RATE, same_weights, similar_examples, tiny_base, tiny_source_filter

from tts_meta.adapt import CloneSettings, Voice, adaptable_modules, chosen_modules, clone_examples
from tts_meta.adapt.acoustic_adaptation import acoustic_adaptation
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.learner_choice import choose_acoustic_learner
from tts_meta.adapt.voice import as_stored
from tts_meta.audio import read_audio
from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Manifest, Utterance, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.few_shot.benchmark import run_few_shot
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.evaluate.similarity import voice_embedding
from tts_meta.evaluate.training_speakers import TrainingSpeakers
from tts_meta.meta import create_learner
from tts_meta.models.densities import LAPLACE
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.speaker_encoder import SpeakerEncoder
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.report.few_shot import write_few_shot_report

LORA = importlib.import_module("tts_meta.adapt.baselines.lora")
BEFORE = {
    (0, False): [78, 193.5829],
    (0, True): [26, 97.6389],
    (3, False): [78, 201.1423],
    (3, True): [26, 100.4505],
}
"""By seed and by whether modules are named: the number of tensors of a LoRA voice, and the sum of their magnitudes.

The function `clone_lora` of commit 58e5ac1 made these voices.
"""


def test_baselines_without_steps_use_voices_of_training_speakers(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learners = {"near": {"learner": "nearest"}, "mixed": {"learner": "zero-shot"}}
    recipe = config(long_corpus, tmp_path, learners=learners)
    trials = run_few_shot(recipe, base, vocoder(), lambda line: None).trials
    assert [(trial.learner, trial.sentences, trial.steps) for trial in trials] == [
        (name, n, 0) for name in learners for n in (1, 2)
    ]
    near, mixed = (Voice.load(trial.voice_file) for trial in (trials[1], trials[3]))
    offsets = base.acoustic.speaker.offsets
    assert near.scores["nearest"] == "ben" and near.scores["sentences"] == 2  # a training speaker
    assert near.steps == 0 and near.modules == ("speaker.mean",)
    torch.testing.assert_close(near.deltas["speaker.mean"], offsets[1], rtol=1e-3, atol=1e-4)
    # Between the two training speakers, and nearer to the one who spoke the recordings.
    position = (
        (mixed.deltas["speaker.mean"] - offsets[0]) @ (offsets[1] - offsets[0]) / (offsets[1] - offsets[0]).norm() ** 2
    )
    assert 0.5 < float(position) < 1.1
    assert trials[0].parameters == 6


def test_baselines_without_steps_equal_their_formulas_on_embeddings_of_the_whole_recordings(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    recipe = config(long_corpus, tmp_path)
    manifest, encoder = Manifest.load(recipe.manifest), SpeakerEncoder.load()

    def embed(utterances: Sequence[Utterance]) -> np.ndarray:
        return voice_embedding(encoder, [(read_audio(utterance.audio, RATE), RATE) for utterance in utterances])

    embeddings = np.stack([embed(manifest.of_speakers((name,)).utterances) for name in base.speakers])
    target = embed(recipe.choose(manifest)["ben"].adapt_on[:2])
    offsets = base.acoustic.speaker.offsets.detach().numpy()
    inputs, targets = embeddings - embeddings.mean(0), offsets - offsets.mean(0)
    gram = inputs @ inputs.T
    weights = np.linalg.solve(gram + 0.1 * np.trace(gram) / 2 * np.eye(2), inputs @ (target - embeddings.mean(0)))
    regressed = offsets.mean(0) + weights @ targets

    tasks = TrainingSpeakers.of(base, manifest).trained_tasks
    np.testing.assert_array_equal(tasks.embeddings.numpy(), embeddings)
    examples = adaptation_examples(recipe, base, 2)
    for learner, offset in ("nearest", offsets[int(np.argmax(embeddings @ target))]), ("zero-shot", regressed):
        voice = clone_examples(base, examples, CloneSettings(learner=learner), trained_tasks=tasks)
        torch.testing.assert_close(voice.deltas, as_stored({"speaker.mean": torch.tensor(offset)}))


def test_a_lora_voice_consists_of_its_adapters(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    examples = adaptation_examples(config(long_corpus, tmp_path), base, 2)
    settings = CloneSettings(("decoder", "postnet"), 5, 1e-2, learner="lora", learner_settings={"rank": 2})
    voice, again = (clone_examples(base, examples, settings) for _ in range(2))
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
    with pytest.raises(UsageError, match="the chosen modules contain none"):
        clone_examples(base, examples, CloneSettings(("speaker.mean",), 1, learner="lora"))
    with pytest.raises(UsageError, match="does not use rank; leave out rank; its own setting of this name"):
        clone_examples(base, examples, CloneSettings(rank=2, learner="lora"))


def test_lora_voices_move_as_far_as_those_of_the_code_before_it_was_a_learner() -> None:
    """Within 3 %, because that code drew other sentences and another dropout in each step."""
    base = tiny_base()
    for seed, modules in product((0, 3), ((), ("decoder", "postnet"))):
        settings = CloneSettings(
            modules, 5, 1e-2, history_mixing=0.0, seed=seed, learner="lora", learner_settings={"rank": 2}
        )
        chosen = chosen_modules(base, settings)
        adaptation = acoustic_adaptation(base, chosen, similar_examples(base), [], settings, density=LAPLACE)
        deltas = adaptation.run(lambda progress: None).deltas  # the errors had Laplace densities
        sums = [float(delta.double().abs().sum()) for delta in deltas.values()]
        assert [len(sums), sum(sums)] == pytest.approx(BEFORE[seed, bool(modules)], rel=0.03)


def test_lora_has_its_own_default_learning_rate(base: Base) -> None:
    choice = choose_acoustic_learner(base, CloneSettings(learner="lora"))
    assert create_learner(choice.name, acoustic_domain(base, adaptable_modules(base)), choice.settings).settings == (
        LORA.LoraSettings(rank=8, inner_lr=1e-3)
    )


def test_the_product_of_the_factors_equals_the_delta_of_peft_for_every_layer_type() -> None:
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


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({"learner": "lora", "auto_stop": True}, "learners.one: learner 'lora' does not stop automatically; leave out"),
        ({"learner": "nearest", "auto_stop": True}, "learner 'nearest' does not use auto_stop; leave out auto_stop"),
        ({"learner": "zero-shot", "steps": [3]}, "learner 'zero-shot' does not use steps; leave out steps"),
        ({"learner": "zero-shot", "settings": {"rigde": 1}}, "learner 'zero-shot': unknown key 'rigde'; did you mean"),
        ({"learner": "nearest", "learning_rate": 0.1}, "learner 'nearest' does not use learning_rate"),
        ({"learner": "nearest", "isotropic": 0.1}, "learner 'nearest' does not use isotropic"),
        ({"learner": "mean-voice", "modules": ["*"]}, "learner 'mean-voice' does not use modules; leave out modules"),
        ({"learner": "lora", "prior_scale": 2.0}, "learners.one: prior_scale scales the base's learned prior"),
        ({"learner": "lora", "variance": 0.1}, "learner 'lora' does not use variance"),
        ({"learner": "lora", "settings": {"rank": 0}}, "learner 'lora': .*rank"),
        ({"learner": "lora", "rank": 2}, "learner 'lora' does not use rank; leave out rank; its own setting"),
        ({"learner": "maml", "settings": {"inner_rate": 2}}, "learner 'maml': unknown key 'inner_rate'; did you"),
        ({"learner": "nothing"}, "no learner 'nothing': neither a folder with learner.json nor one of the names "),
        (
            {"auto_stop": True, "variance": 1.0},
            "with variance, no loop stops automatically; leave out variance or auto_stop",
        ),
        ({"auto_stop": True, "learning_rate": 0.1}, "with learning_rate, no loop stops automatically"),
        ({"auto_stop": True, "modules": ["vocoder.*"]}, "the loop of the vocoder does not stop automatically"),
    ],
)
def test_settings_that_a_method_does_not_use_are_refused_before_any_work(
    base: Base, tmp_path: Path, learner: dict, message: str
) -> None:
    learned = base.with_prior(ModulePrior({"speaker.mean": 1e-2}))
    recipe = config(tmp_path / "no corpus", tmp_path, learners={"one": learner})
    with pytest.raises(UsageError, match=message):
        run_few_shot(recipe, learned, SourceFilterVocoder(tiny_source_filter()), pytest.fail)


def test_auto_stop_without_a_prior_is_refused_before_any_work(base: Base, tmp_path: Path) -> None:
    recipe = config(tmp_path / "no corpus", tmp_path, learners={"one": {"auto_stop": True}})
    with pytest.raises(UsageError, match="auto_stop needs a learned prior, but the base has none; give steps"):
        run_few_shot(recipe, base, vocoder(), pytest.fail)


def test_a_method_may_have_another_base(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    other = tiny_base(seed=1)
    save_base(other, tmp_path / "other")
    learners = {
        "ours": {"modules": ["speaker.mean"]},
        "theirs": {"modules": ["speaker.mean"], "base": tmp_path / "other"},
    }
    recipe = config(long_corpus, tmp_path / "run", sentences=[1], steps=[0], learners=learners)
    trials = run_few_shot(recipe, base, vocoder(), lambda line: None).trials
    assert [Voice.load(trial.voice_file).base_hash for trial in trials] == [base.hash, other.hash]


def test_the_path_of_a_learner_brings_its_base_and_does_not_fit_another(base: Base, tmp_path: Path) -> None:
    other = tiny_base(seed=1)
    save_base(other, tmp_path / "other")
    other.learner = SavedLearner("maml", 1, {"inner_solver": "adam"}, "acoustic", other.hash, ("speaker.mean",))
    save_base(other, tmp_path / "other")
    save_base(base, tmp_path / "base")
    for path in (tmp_path / "other", tmp_path / "other" / "learner.json"):
        method = MethodConfig(learner=str(path))
        assert method.base_folder == tmp_path / "other"
        assert method.choice(load_base(method.base_folder)).name == "maml"
    wrong = {"one": {"learner": str(tmp_path / "other"), "base": tmp_path / "base"}}
    with pytest.raises(TtsMetaError, match="the learner 'maml' belongs to other weights than those of"):
        run_few_shot(config(tmp_path / "none", tmp_path, learners=wrong), base, vocoder(), pytest.fail)


def test_a_loop_may_stop_automatically(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learned = base.with_prior(ModulePrior({"postnet.output.bias": 0.1, "speaker.mean": 1e-2}))
    learners = {"ours": {"auto_stop": True}, "all": {"modules": ["*"], "variance": 1.0}}
    recipe = config(long_corpus, tmp_path, sentences=[2], steps=[0, 2], learners=learners)
    results = run_few_shot(recipe, learned, vocoder(), lambda line: None)
    ours, *others = results.trials
    assert ours.system == "ours, 2 sentences, stopped automatically" and ours.steps is None and ours.steps_done >= 50
    assert [trial.steps for trial in others] == [0, 2] == [trial.steps_done for trial in others]
    assert Voice.load(ours.voice_file).steps == ours.steps_done
    assert "stopped automatically" not in table_of(tmp_path, results, "Many steps")
    assert "| all | " in table_of(tmp_path, results, "Best step minus the best step of ours")


def test_a_report_of_loops_that_stop_automatically_has_levels_instead_of_curves(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    learned = base.with_prior(ModulePrior({"speaker.mean": 1e-2}))
    recipe = config(long_corpus, tmp_path, sentences=[2], learners={"ours": {"auto_stop": True}})
    results = run_few_shot(recipe, learned, vocoder(), lambda line: None)
    assert "| ours, stopped automatically | " in write_few_shot_report(tmp_path / "report", results, MelConfig())
    assert (tmp_path / "report" / "curves.png").exists()


def test_a_method_may_stop_automatically_and_run_fixed_steps_too(base: Base, long_corpus: Path, tmp_path: Path) -> None:
    learned = base.with_prior(ModulePrior({"postnet.output.bias": 0.1, "speaker.mean": 1e-2}))
    learners = {"ours": {"auto_stop": True, "steps": [1, 20]}}
    recipe = config(long_corpus, tmp_path, sentences=[2], learners=learners)
    results = run_few_shot(recipe, learned, vocoder(), lambda line: None)
    assert [trial.steps for trial in results.trials] == [1, 20, None]
    table = table_of(tmp_path, results, "Many steps")
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
        "| ours, 20 steps",
        "| ours, stopped automatically",
    ]


def test_a_method_may_use_another_prior_or_one_sigma_for_all_modules(
    base: Base, long_corpus: Path, tmp_path: Path
) -> None:
    variances = {"speaker.mean": 1e-2, "postnet.output.bias": 1e-4}
    prior = ModulePrior(variances, adapted_modules=("speaker.mean",), prior_scale=2.0)
    same = ModulePrior(dict.fromkeys(variances, 0.25))

    def voice(base_prior: ModulePrior | None, **learner: object) -> Voice:
        recipe = config(long_corpus, tmp_path, sentences=[2], steps=[3], learners={"one": learner})
        return Voice.load(
            run_few_shot(recipe, base.with_prior(base_prior), vocoder(), lambda line: None).trials[0].voice_file
        )

    ours, theirs, learned = voice(prior, isotropic=0.5), voice(same), voice(prior)
    assert set(ours.modules) == set(variances) and learned.modules == ("speaker.mean",)
    assert all(torch.equal(delta, theirs.deltas[name]) for name, delta in ours.deltas.items())
    folder = tmp_path / "another base"
    SavedLearner.of_prior(prior, "acoustic", "another base").save(folder)
    for from_file in voice(None, prior=folder), voice(same, prior=folder / "learner.json"):
        assert all(torch.equal(from_file.deltas[name], delta) for name, delta in learned.deltas.items())
    with pytest.raises(TtsMetaError, match="cannot be read"):
        voice(prior, prior=tmp_path / "none.json")
    without_prior = SavedLearner("maml", 1, {}, "acoustic", "another base", ("speaker.mean",))
    without_prior.save(tmp_path / "maml")
    with pytest.raises(TtsMetaError, match="maml: the learner has no prior; name a learner with a learned prior"):
        voice(prior, prior=tmp_path / "maml")
    with pytest.raises(UsageError, match="leave out one of them"):
        voice(prior, prior=folder, variance=1.0)
    with pytest.raises(UsageError, match="the base has no learned prior"):
        voice(None, isotropic=0.5)
    with pytest.raises(UsageError, match="leave out variance"):
        voice(prior, isotropic=0.5, variance=1.0)
