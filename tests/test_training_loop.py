from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from faults import error_line, full_disk, interrupted
from helpers import RATE, random_example, same_weights, tiny_base, tone_corpus
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.audio import FeatureCache
from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Batch, Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.report.log import Log
from tts_meta.train import loop as fit_module
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.datasets import BatchStream, align_examples, load_examples
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import (
    OptimiserConfig,
    build_optimiser,
    clip_gradients,
    set_learning_rate,
    update_average,
    weight_average,
)
from tts_meta.train.training_config import FitSettings

OPTIMISER = OptimiserConfig(steps=10, warmup=3, frames_per_batch=120, learning_rate=1e-2)
SETTINGS = FitSettings(
    optimiser=OPTIMISER,
    ema_decay=0.9,
    device="cpu",
    precision="float32",
    log_every=2,
    save_every=4,
    sample_every=100,
    deadline=math.inf,
)


class Toy(nn.Module):
    """Anything with dropout, a matrix, a vector and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(80, 80)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, mel: Tensor) -> Tensor:
        return self.layer(self.dropout(mel))


def toy(seed: int = 0) -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy()


def stream(seed: int = 0) -> BatchStream:
    base = tiny_base()
    texts = ["abc de", "hg fed", "bad cab", "head", "fab gab", "bead", "cafe dg"]
    examples = [random_example(base, text, number) for number, text in enumerate(texts)]
    return BatchStream(examples, {"ann": 0}, OPTIMISER.frames_per_batch, 1, seed)


def toy_loss(model: Toy) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        model.get_buffer("calls").add_(1)
        value = (model(batch.mel) - batch.mel).abs().mean()
        return value, {"twice": 2 * value}

    return loss


def train(folder: Path, settings: FitSettings = SETTINGS, sample: Callable[[Log, int], None] | None = None) -> Toy:
    """Run or go on with a run in `folder`; the random state is that of a new process."""
    model = toy()
    torch.manual_seed(1)
    fit("toy", model, toy_loss(model), stream(), settings, folder, MelConfig(), sample or (lambda log, step: None))
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The weights of a run that nothing stopped."""
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("steps_before", [0, 1, 4, 6, 9])
def test_a_run_that_died_and_went_on_has_the_same_weights_bit_for_bit(
    whole: Toy, tmp_path: Path, steps_before: int
) -> None:
    with interrupted(steps_before):
        train(tmp_path)
    assert same_weights(train(tmp_path), whole)


class Clock:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_out_of_time_keeps_its_state_and_goes_on_from_there(
    whole: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "time", Clock())
        train(tmp_path, replace(SETTINGS, deadline=10.5))
    step = json.loads((tmp_path / "training" / "state.json").read_text())["step"]
    assert 0 < step < OPTIMISER.steps and step % SETTINGS.save_every
    assert same_weights(train(tmp_path), whole)


def test_a_finished_run_called_again_changes_nothing(whole: Toy, tmp_path: Path) -> None:
    train(tmp_path)
    content = (tmp_path / "training" / "tensors.safetensors").read_bytes()
    assert same_weights(train(tmp_path), whole)
    assert (tmp_path / "training" / "tensors.safetensors").read_bytes() == content


def test_what_is_left_in_the_model_is_the_moving_average_in_evaluation_mode(whole: Toy, tmp_path: Path) -> None:
    model = train(tmp_path)
    average = weight_average(model, 0.9)
    state = load_checkpoint(tmp_path / "training", toy(), build_optimiser(toy(), OPTIMISER), average)
    assert same_weights(model.state_dict(), average.module) and not model.training
    assert state["step"] == 10 and int(model.get_buffer("calls")) == 10


def test_sampling_sees_the_average_and_does_not_disturb_the_training(whole: Toy, tmp_path: Path) -> None:
    seen: list[int] = []

    def sample(log: Log, step: int) -> None:
        torch.randn(1000)
        assert torch.is_inference_mode_enabled()
        log.scalar("validation/x", 1.0, step)
        seen.append(step)

    model = train(tmp_path, replace(SETTINGS, sample_every=3), sample)
    assert seen == [3, 6, 9] and same_weights(model, whole)


def test_scalars_of_the_loss_the_gradient_and_the_speed_are_logged(tmp_path: Path) -> None:
    train(tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    names = ["gradient_norm", "learning_rate", "loss", "seconds_of_speech_per_second", "twice"]
    assert sorted(events.Tags()["scalars"]) == [f"toy/{name}" for name in names]
    assert [event.step for event in events.Scalars("toy/loss")] == [2, 4, 6, 8, 10]
    assert events.Scalars("toy/twice")[0].value == pytest.approx(2 * events.Scalars("toy/loss")[0].value)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    train(tmp_path, replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 40})))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    losses = [event.value for event in events.Scalars("toy/loss")]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("bad", [(2,), (2, 3)])
def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path, bad: tuple[int, ...]) -> None:
    model = toy()

    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        value = model(batch.mel).abs().mean()
        return value * (math.nan if step in bad else 1.0), {}

    assert fit("toy", model, loss, stream(), SETTINGS, tmp_path, MelConfig()) == 10
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_losses_that_stay_not_finite_end_the_run(tmp_path: Path) -> None:
    model = toy()
    settings = replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 100}))
    with pytest.raises(TtsMetaError, match="toy: 20 steps in a row were not finite; lower learning_rate"):
        fit(
            "toy",
            model,
            lambda batch, step: (model(batch.mel).sum() * math.nan, {}),
            stream(),
            settings,
            tmp_path,
            MelConfig(),
        )


def test_the_step_size_rises_in_a_line_and_falls_as_a_cosine() -> None:
    config = OptimiserConfig(steps=110, warmup=10, learning_rate=2.0, final_lr_fraction=0.1)
    optimiser = build_optimiser(toy(), config)
    rates = [set_learning_rate(optimiser, config, step) for step in range(111)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(2.0) and rates[60] == pytest.approx(1.1) and rates[110] == pytest.approx(0.2)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert all(group["lr"] == rates[-1] for group in optimiser.param_groups)


def test_matrices_decay_and_vectors_do_not() -> None:
    groups = build_optimiser(toy(), OPTIMISER).param_groups
    decays = {tuple(parameter.shape): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decays == {(80, 80): OPTIMISER.weight_decay, (80,): 0.0}


def test_the_moving_average_is_the_weighted_mean_of_the_weights_so_far() -> None:
    model, expected = toy(), None
    average = weight_average(model, 0.5)
    expected = model.layer.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            model.layer.weight += step
            model.get_buffer("calls").fill_(step)
        update_average(average, model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.layer.weight.detach()
    torch.testing.assert_close(average.module.state_dict()["layer.weight"], expected)
    assert int(average.module.state_dict()["calls"]) == 19


def test_an_average_without_memory_is_the_model() -> None:
    model = toy()
    average = weight_average(model, 0.0)
    with torch.no_grad():
        model.layer.weight += 1
    update_average(average, model, 100)
    assert same_weights(average.module.state_dict(), model.state_dict())


@pytest.mark.parametrize(("epoch", "position"), [(0, 0), (0, 1), (1, 1), (3, 0)])
def test_batches_go_on_from_any_place_as_they_would_have(epoch: int, position: int) -> None:
    places, whole = [], []
    for at, after, batch in stream().batches(0, 0):
        assert batch is not None
        places.append((at, after))
        whole.append(batch.ids)
        if at > 4:
            break
    start = next(n for n, place in enumerate(places) if place == (epoch, position + 1))
    for (at, after, batch), place, ids in zip(
        stream().batches(epoch, position), places[start:], whole[start:], strict=False
    ):
        assert (at, after) == place and batch is not None and batch.ids == ids
    ends = [n for n, (at, _) in enumerate(places) if at == 1]
    assert sorted(chain.from_iterable(whole[n] for n in ends)) == [f"ann-{n}" for n in range(7)], "all once an epoch"


def test_a_place_at_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    first = zip_first(stream().batches(1, 0), 1)[0]
    length = max(after for at, after, _ in zip_first(stream().batches(0, 0), 20) if at == 0)
    at, after, batch = zip_first(stream().batches(0, length), 1)[0]
    assert (at, after) == (1, 1) and batch.ids == first[2].ids


def zip_first(batches: object, count: int) -> list[tuple[int, int, Batch]]:
    return [item for _, item in zip(range(count), batches, strict=False)]  # pyright: ignore[reportArgumentType]


def test_a_corpus_of_nothing_is_refused_and_does_not_hang() -> None:
    with pytest.raises(TtsMetaError, match="no utterance is left to train on"):
        BatchStream([], {}, 100, 1, 0)


def checkpoint(folder: Path) -> tuple[Toy, torch.optim.Optimizer, AveragedModel]:
    model = toy()
    optimiser, average = build_optimiser(model, OPTIMISER), weight_average(model, 0.5)
    model(torch.randn(2, 80)).sum().backward()
    optimiser.step()
    update_average(average, model, 0)
    save_checkpoint(folder, model, optimiser, average, {"step": 1, "note": "x"})
    return model, optimiser, average


def test_a_checkpoint_restores_weights_moments_average_and_random_state(tmp_path: Path) -> None:
    model, optimiser, average = checkpoint(tmp_path / "c")
    drawn = torch.randn(5)
    other = toy(seed=9)
    restored, mean = build_optimiser(other, OPTIMISER), weight_average(other, 0.5)
    assert load_checkpoint(tmp_path / "c", other, restored, mean) == {"step": 1, "note": "x"}
    assert torch.equal(torch.randn(5), drawn)
    assert same_weights(other, model) and same_weights(mean.module, average.module)
    before, after = optimiser.state_dict()["state"], restored.state_dict()["state"]
    assert before.keys() == after.keys() and all(same_weights(before[n], after[n]) for n in before)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["state.json", "tensors.safetensors"]


def set_state(folder: Path, **changes: object) -> None:
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda folder: (folder / "tensors.safetensors").write_bytes(b"x"),
            "the file is truncated or not a safetensors file",
        ),
        (lambda folder: (folder / "tensors.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "state.json").unlink(), "cannot be read"),
        (lambda folder: (folder / "state.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "state.json").write_text("[1]"), "checkpoint of another version"),
        (lambda folder: (folder / "state.json").write_text('{"format": 9}'), "checkpoint of another version"),
        (lambda folder: set_state(folder, step=-3), "step: Input should be greater than or equal to 0"),
        (lambda folder: set_state(folder, step=1.5), "step: Input should be a valid integer"),
        (lambda folder: set_state(folder, step=None), "step: Input should be a valid integer"),
        (lambda folder: set_state(folder, step=10**30), "a number does not fit 64 bits"),
        (lambda folder: set_state(folder, step=0), "damaged checkpoint"),
        (lambda folder: set_state(folder, position=7), "damaged checkpoint"),
        (lambda folder: set_state(folder, sha256="0" * 64), "damaged checkpoint"),
        (lambda folder: flip_byte(folder / "tensors.safetensors", -5), "damaged checkpoint"),
        (lambda folder: flip_byte(folder / "tensors.safetensors", 200), "damaged"),
    ],
)
def test_a_damaged_checkpoint_is_one_line_that_names_it(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    checkpoint(tmp_path / "c")
    damage(tmp_path / "c")
    other, random = toy(seed=5), torch.get_rng_state()
    average = weight_average(other, 0.5)
    line = error_line(lambda: load_checkpoint(tmp_path / "c", other, build_optimiser(other, OPTIMISER), average))
    assert line.startswith(str(tmp_path / "c")) and said in line and line.endswith("; delete it to start again")
    assert same_weights(other, toy(seed=5)) and torch.equal(torch.get_rng_state(), random)


def test_a_state_beyond_the_end_of_the_run_is_refused(tmp_path: Path) -> None:
    train(tmp_path, replace(SETTINGS, optimiser=OPTIMISER.model_copy(update={"steps": 12})))
    assert "at step 12 of 10" in error_line(lambda: train(tmp_path))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "c")
    other = nn.Linear(2, 2)
    with pytest.raises(TtsMetaError, match="checkpoint of another model"):
        load_checkpoint(tmp_path / "c", other, build_optimiser(other, OPTIMISER), weight_average(other, 0.5))


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    model, optimiser, average = checkpoint(tmp_path / "c")
    content = (tmp_path / "c" / "tensors.safetensors").read_bytes()
    with pytest.raises(TtsMetaError, match="File too large"), full_disk(5000):
        save_checkpoint(tmp_path / "c", model, optimiser, average, {"step": 2})
    assert (tmp_path / "c" / "tensors.safetensors").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_examples_come_in_the_order_of_the_manifest_with_symbols_and_features(tmp_path: Path) -> None:
    base = tiny_base()
    manifest = Manifest.load(tone_corpus(tmp_path, utterances=4))
    cache = FeatureCache(tmp_path / "cache", base.config.audio)
    examples = list(load_examples(manifest, base, cache))
    assert [example.id for example in examples] == [utterance.id for utterance in manifest]
    for example, utterance in zip(examples, manifest, strict=True):
        assert torch.equal(example.tokens, base.encode(utterance.text))
        assert torch.equal(example.mel, cache.mel(utterance.audio)) and example.speaker == utterance.speaker
        assert abs(len(example.mel) * 256 / RATE - utterance.seconds) < 0.4


def test_a_character_no_model_knows_is_named_with_its_sentence(tmp_path: Path) -> None:
    base = tiny_base()
    manifest = Manifest.load(tone_corpus(tmp_path, utterances=2))
    bad = Manifest((manifest.utterances[0], replace(manifest.utterances[1], text="Bad żab")))
    with pytest.raises(TtsMetaError, match="unknown symbol 'ż' in \"Bad żab\""):
        list(load_examples(bad, base, FeatureCache(tmp_path / "cache", base.config.audio)))


def test_sentences_that_cannot_be_what_is_said_are_left_out_and_listed(tmp_path: Path) -> None:
    base = tiny_base()
    pair = [random_example(base, "abc de", 0), random_example(base, "fed gab", 1)]
    scores = [base.aligner.align(e.mel, e.tokens, base.kinds).score for e in pair]
    base.aligner.score_range.copy_(torch.tensor([max(scores) - 1e-4, max(scores)]))
    good, far = pair if scores[0] > scores[1] else reversed(pair)
    short = replace(good, id="short", mel=good.mel[:2])
    kept = list(align_examples([good, short, far], base, tmp_path / "excluded.jsonl"))
    assert [example.id for example in kept] == [good.id] and int(kept[0].durations.sum()) == len(good.mel)
    listed = [json.loads(line) for line in (tmp_path / "excluded.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in listed] == ["short", far.id]
    assert "too short for its transcript" in listed[0]["reason"]
    assert "does not match its transcript" in listed[1]["reason"]


def test_gradients_are_clipped_each_by_its_own_norm() -> None:
    large, small = nn.Linear(3, 1, bias=False), nn.Linear(4, 1, bias=False)
    large.weight.grad, small.weight.grad = torch.full((1, 3), 100.0), torch.full((1, 4), 0.25)
    norm = clip_gradients([large, small], 1.0)
    assert float(norm) == pytest.approx((3e4 + 0.25) ** 0.5)
    assert float(large.weight.grad.norm()) == pytest.approx(1.0, rel=1e-5)
    assert torch.equal(small.weight.grad, torch.full((1, 4), 0.25)), "below the bound of its own"
    large.weight.grad.fill_(math.inf)
    assert not clip_gradients([large, small], 1.0).isfinite()


class Players(nn.Module):
    """Two layers that lower losses of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = toy(0).layer, toy(1).layer


@pytest.mark.parametrize("apart", [False, True])
def test_a_player_with_a_large_gradient_does_not_shorten_the_others_step(apart: bool, tmp_path: Path) -> None:
    """With stochastic gradient descent in place of AdamW, which would scale the step back."""

    def weights(size: float) -> Tensor:
        players = Players()

        def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            own = players.generator(batch.mel).square().mean()
            return own + size * players.discriminator(batch.mel).square().mean(), {}

        one_step = replace(SETTINGS, optimiser=replace_optimiser(steps=1, clip=0.1), ema_decay=0.0)
        parts = [players.generator, players.discriminator] if apart else ()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit_module, "build_optimiser", lambda model, config: torch.optim.SGD(model.parameters(), 0.1))
            fit("s", players, loss, stream(), one_step, tmp_path / f"{size}", MelConfig(), clipped=parts)
        return players.generator.weight.detach().clone()

    assert torch.equal(weights(1.0), weights(1e4)) == apart


def replace_optimiser(**changes: object) -> OptimiserConfig:
    return OPTIMISER.model_copy(update=changes)
