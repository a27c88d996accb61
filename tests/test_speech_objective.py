"""The query loss on free-running speech of the adapted voice: its terms, its gradient, and meta-training with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import error_line
from helpers import in_double, randomise, similar_examples, tiny_base
from meta_train_runs import TRAINABLE, meta_recipe, short_meta_recipe, whole_and_resumed, write_meta_corpus
from processes import in_two_processes
from safetensors.torch import load_file
from torch import Tensor
from toy_domains import make_learner, regression_domain, regression_loss, regression_task

from tts_meta.adapt import AcousticTask, adaptable_modules
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import ADAPTATION_DENSITY, AcousticBatch, acoustic_nll
from tts_meta.adapt.speech_objective import QueryObjective, SpeechObjective, query_loss
from tts_meta.corpus import EpisodeSampler, Example, Manifest
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, GradientLearner, MetaTrainer, Task, create_learner
from tts_meta.models.pretrained import Base, load_base
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.meta_train import _draw_tasks, build_learner, build_target, meta_train

SPEECH = {"likelihood": 0.0, "words": 1.0, "voice": 0.5}
LEARNS_FROM_QUERY = [name for name in TRAINABLE if LEARNERS[name].uses_query_loss]


def objective_of(base: Base) -> SpeechObjective:
    return SpeechObjective(base, QueryObjective(**SPEECH))


def batches_of(base: Base, examples: Sequence[Example], *modules: str) -> tuple[AcousticBatch, ...]:
    return AcousticTask(base, examples, modules or adaptable_modules(base).names).all_sentences()


def randomised_base() -> Base:
    """A tiny base none of whose weights is 0, in double precision."""
    base = tiny_base()
    randomise(base.acoustic, 1)
    base.acoustic.postfilter.gain.copy_(torch.linspace(0.9, 1.4, 80))
    base.acoustic.double()
    base.aligner.double()
    return base


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("modules", [(), ("speaker.mean",), ("decoder.output.weight",)])
def test_the_voice_says_what_the_synthesizer_says_with_these_durations(rank: int, modules: tuple[str, ...]) -> None:
    """With any cache of activations that do not change."""
    base = randomised_base()
    examples = in_double(similar_examples(base))
    domain = acoustic_domain(base, adaptable_modules(base).select(modules or ("*",)), rank)
    sentences = objective_of(base).speak(domain.bind({}), batches_of(base, examples, *modules))
    by_length = sorted(examples, key=lambda example: len(example.mel))
    for example, sentence in zip(by_length, sorted(sentences, key=lambda s: len(s.spoken)), strict=True):
        expected = base.acoustic.generate(example.tokens, durations=example.durations)
        torch.testing.assert_close(sentence.spoken, expected, atol=1e-9, rtol=0)
        torch.testing.assert_close(sentence.recorded, example.mel, atol=0, rtol=0)
        assert torch.equal(sentence.symbols, example.tokens.repeat_interleave(example.durations))


@pytest.mark.parametrize("weights", [SPEECH, {"words": 1.0}, {"likelihood": 0.0, "voice": 1.0}])
def test_the_gradient_is_that_of_finite_differences(weights: dict[str, float]) -> None:
    base = randomised_base()
    loss = SpeechObjective(base, QueryObjective(**weights))
    domain = replace(acoustic_domain(base, adaptable_modules(base), 2), query_loss=loss)
    learner = create_learner("sigma-imaml", domain, {})
    assert isinstance(learner, GradientLearner)
    data, generator = batches_of(base, in_double(similar_examples(base))), torch.Generator().manual_seed(0)

    def nll(params: Tensor) -> Tensor:
        return learner.likelihood.of_query.nll(params, learner.shared.detach(), [data])[0]

    start = learner.adapted.detach()[None]
    params = (start + 0.01 * torch.randn(start.shape, generator=generator, dtype=start.dtype)).requires_grad_()
    (gradient,) = torch.autograd.grad(nll(params), params)
    for _ in range(3):
        direction = torch.randn(start.shape, generator=generator, dtype=start.dtype)
        step = 1e-6 * direction
        with torch.no_grad():
            expected = (nll(params + step) - nll(params - step)) / 2e-6
        torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    base = randomised_base()
    data = batches_of(base, in_double(similar_examples(base)))
    objective, call = objective_of(base), acoustic_domain(base, adaptable_modules(base)).bind({})
    sentences = objective.speak(call, data)
    likelihood = acoustic_nll(base.acoustic, ADAPTATION_DENSITY)(call, data)
    words, voice = objective.words(sentences), objective.voice(sentences)
    assert min(float(words), float(voice)) > 0
    weights = QueryObjective(likelihood=2.0, words=3.0, voice=4.0)
    torch.testing.assert_close(SpeechObjective(base, weights)(call, data), 2 * likelihood + 3 * words + 4 * voice)
    assert query_loss(base, QueryObjective()) is None, "the default is the likelihood of the support"
    one = SpeechObjective(base, QueryObjective(words=1.0))(call, data[0])
    both = SpeechObjective(base, QueryObjective(words=1.0))(call, data)
    assert 0 < float(one) < float(both)


def test_the_recording_itself_has_the_divergence_zero() -> None:
    base = randomised_base()
    sentences = objective_of(base).speak(base.acoustic, batches_of(base, in_double(similar_examples(base))))
    same = [replace(sentence, spoken=sentence.recorded) for sentence in sentences]
    assert float(objective_of(base).voice(same)) == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def spoken_by_the_shipped_base() -> tuple[Base, tuple[AcousticBatch, ...], SpeechObjective]:
    """Sentences in the voice of a training speaker, as if they were recordings."""
    base, examples = load_base(), list[Example]()
    phones = [symbol for symbol in base.symbols.symbols if symbol.lstrip("ˈˌ").isalpha()]
    for number in range(3):
        tokens = base.symbols.encode(" ".join("".join(phones[number + k : number + k + 4]) for k in range(0, 40, 4)))
        durations = torch.full_like(tokens, 7)
        mel = base.acoustic.generate(tokens, 3, durations)
        examples.append(Example(str(number), "new", tokens, durations, mel.detach()))
    return base, batches_of(base, examples), objective_of(base)


def terms(objective: SpeechObjective, call: Callable[..., Any], data: Sequence[AcousticBatch]) -> tuple[float, float]:
    with torch.no_grad():
        sentences = objective.speak(call, data)
        return float(objective.words(sentences)), float(objective.voice(sentences))


def test_a_voice_that_says_wrong_phones_has_worse_words(
    spoken_by_the_shipped_base: tuple[Base, tuple[AcousticBatch, ...], SpeechObjective],
) -> None:
    base, data, objective = spoken_by_the_shipped_base
    name = "encoder.embedding.weight"
    weight = base.acoustic.get_parameter(name).detach()
    wrong = weight.clone()
    spoken = torch.tensor([symbol.lstrip("ˈˌ").isalpha() for symbol in base.symbols.symbols])
    rows = 1 + spoken.nonzero().squeeze(1)
    wrong[rows] = weight[rows.roll(7)]  # each phone is pronounced as another one
    domain = acoustic_domain(base, adaptable_modules(base))
    right, swapped = (terms(objective, domain.bind({name: value}), data)[0] for value in (weight, wrong))
    assert swapped > 2 * right


def test_the_voice_of_the_recordings_diverges_less_than_other_voices(
    spoken_by_the_shipped_base: tuple[Base, tuple[AcousticBatch, ...], SpeechObjective],
) -> None:
    base, data, objective = spoken_by_the_shipped_base
    domain, mean = acoustic_domain(base, adaptable_modules(base)), base.acoustic.speaker.mean.detach()
    voices = [mean + base.acoustic.speaker.offsets.detach()[speaker] for speaker in (3, 0, 7, 11)]
    own, *others = (terms(objective, domain.bind({"speaker.mean": voice}), data)[1] for voice in voices)
    assert own < 0.05 * min(others)


def test_the_query_loss_replaces_the_loss_of_the_query_only() -> None:
    """A query loss that shifts its targets gives the gradient of a task whose query has shifted targets."""

    def shifted(call: Callable[..., Any], data: tuple[Tensor, Tensor]) -> Tensor:
        return regression_loss(call, (data[0], data[1] + 0.5))

    task = regression_task(0)
    moved = Task(task.support, (task.query[0], task.query[1] + 0.5))
    values = {"inner_lr": 0.004, "inner_steps": 5, "variance": 0.01}
    for name in LEARNS_FROM_QUERY:
        with_loss = make_learner(name, values, regression_domain(query_loss=shifted)).meta_gradient([task])
        expected = make_learner(name, values).meta_gradient([moved])
        torch.testing.assert_close(with_loss.loss_after, expected.loss_after)
        torch.testing.assert_close(with_loss.loss_before, expected.loss_before)
        for key, value in expected.gradient.items():
            torch.testing.assert_close(with_loss.gradient[key], value, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", TRAINABLE)
def test_only_learners_with_implicit_gradients_can_use_the_recipe_key(
    meta_corpus: Path, tmp_path: Path, name: str
) -> None:
    config = short_meta_recipe(meta_corpus, tmp_path / "run", learner=name, query_objective=SPEECH)
    if name in LEARNS_FROM_QUERY:
        assert build_learner(config, build_target(config)).domain.query_loss is not None
        return
    assert error_line(lambda: meta_train(config), UsageError) == (
        f"learner '{name}' cannot use query_objective; remove it from the recipe, or choose a learner with implicit "
        "gradients, such as sigma-imaml"
    )
    line = error_line(lambda: make_learner(name, {}, regression_domain(query_loss=regression_loss)), UsageError)
    assert line.startswith(f"learner '{name}' cannot use the query loss of the domain; ")
    assert not (tmp_path / "run").exists()


def test_the_learners_of_the_key_are_those_with_implicit_gradients() -> None:
    assert set(LEARNS_FROM_QUERY) == {"sigma-imaml", "sigma-reptile", "imaml"}


def test_wrong_values_of_the_recipe_key_are_named(meta_corpus: Path, tmp_path: Path) -> None:
    nothing = dict.fromkeys(SPEECH, 0.0)
    line = error_line(lambda: short_meta_recipe(meta_corpus, tmp_path, query_objective=nothing), TtsMetaError)
    assert "query_objective" in line and "give one of likelihood, words and voice a weight above 0" in line
    with pytest.raises(TtsMetaError, match=r"query_objective\.words"):
        short_meta_recipe(meta_corpus, tmp_path, query_objective={"words": -1.0})
    changes = {"modules": ["vocoder.*"], "vocoder": str(meta_corpus / "vocoder"), "query_objective": SPEECH}
    config = short_meta_recipe(meta_corpus, tmp_path / "run", **changes)
    line = error_line(lambda: meta_train(config), UsageError)
    value = "likelihood=0.0 words=1.0 voice=0.5"
    assert line == f"query_objective: {value} is only for the acoustic model; remove it from the vocoder's recipe"


SETTINGS = {"inner_solver": "l-bfgs", "inner_steps": 3, "variance": 1e-4, "warm_start": True, "cg_max_iters": 3}
CHANGES = {"learner": "sigma-imaml", "settings": SETTINGS, "episodes": 2, "meta_steps": 4, "query_objective": SPEECH}


def test_meta_training_resumes_and_differs_from_that_by_likelihood(
    meta_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: str, **changes: Any) -> dict[str, Tensor]:
        meta_train(meta_recipe(meta_corpus, tmp_path / folder, **CHANGES | changes))
        return load_file(tmp_path / folder / "training" / "tensors.safetensors")

    whole, resumed = whole_and_resumed(run, monkeypatch)
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[name], whole[name]) for name in whole)
    by_likelihood = run("likelihood", query_objective={})
    (name,) = (name for name in whole if name.endswith("log_variances") and "optimiser" not in name)
    assert not torch.equal(whole[name], by_likelihood[name])


def meta_steps() -> dict[str, Any]:
    """Two meta-steps: the state of the learner and the metrics."""
    corpus = Path(os.environ["META_CORPUS"])
    config = meta_recipe(corpus, corpus / "run", **CHANGES, tasks=3)
    target, usable = build_target(config), Manifest.load(config.manifest).utterances
    trainer = MetaTrainer(build_learner(config, target), config.trainer, meta_steps=config.meta_steps)
    sampler = EpisodeSampler(usable, config.support, config.query, config.seed, config.episodes)
    steps = [asdict(trainer.step(_draw_tasks(config, trainer, target, sampler))) for _ in range(2)]
    return {"rank": rank_and_world()[0], "state": trainer.state_dict(), "steps": steps}


def test_two_processes_take_the_steps_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_meta_corpus(tmp_path / "corpus")
    monkeypatch.setenv("META_CORPUS", str(corpus))
    (tmp_path / "processes").mkdir()
    first, second = in_two_processes(meta_steps, tmp_path / "processes")
    alone = meta_steps()
    for name, value in alone["state"].items():
        torch.testing.assert_close(first["state"][name], value, atol=1e-5, rtol=1e-4)
        assert torch.equal(first["state"][name], second["state"][name])
    for expected, metrics in zip(alone["steps"], first["steps"], strict=True):
        assert (metrics["tasks"], metrics["skipped"]) == (3, 0)
        assert metrics["loss_after"] == pytest.approx(expected["loss_after"], rel=1e-4)
