"""Matrices that stray in low rank: the model itself at zero, the products when they stray, and all the way to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import random_example, same_weights, tone_sentence
from torch import nn

from tts_meta.adapt import CloneSettings, Voice, acoustic_nll, adaptable_modules, clone_examples
from tts_meta.adapt.acoustic_task import AcousticTask
from tts_meta.corpus import Example, collate
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.low_rank import LowRankModel, by_parameter_name, expected_delta_rms, low_rank, multiply_out
from tts_meta.models.partition import Module, Partition
from tts_meta.models.pretrained import Base
from tts_meta.models.shrinkage_prior import ModulePrior


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    made = [random_example(base, tone_sentence(seed, words=4), seed, "new") for seed in range(2)]
    shape = torch.linspace(-2, 2, 80)
    return [replace(example, mel=-5 + shape + 0.2 * (example.mel + 5)) for example in made]


def own_values(strays: LowRankModel) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in strays.named_parameters()}


def test_at_zero_it_is_the_model_and_holds_no_parameter_of_it(base: Base, examples: list[Example]) -> None:
    partition = adaptable_modules(base)
    strays, moving = low_rank(base.acoustic, partition, 2)
    assert moving.names == partition.names
    assert sorted(moving.parameters()) == sorted(name for name, _ in strays.named_parameters())
    assert sum(module.size for module in moving.modules) == sum(p.numel() for p in strays.parameters())
    data, nll = AcousticTask(base, examples, ()).all_sentences(), acoustic_nll(base.acoustic)
    torch.testing.assert_close(nll(strays, data), nll(base.acoustic, data))


def test_a_matrix_strays_by_the_product_of_its_factors_and_a_vector_as_it_is(base: Base) -> None:
    strays = LowRankModel(base.acoustic, adaptable_modules(base), 2)
    with torch.no_grad():
        for parameter in strays.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    values = by_parameter_name(own_values(strays))
    changes = multiply_out(values, {name: p.shape for name, p in base.acoustic.named_parameters()})
    name = "decoder.lstms.1.weight_hh_l0"
    torch.testing.assert_close(changes[name], values[f"{name}:up"] @ values[f"{name}:down"])
    assert int(torch.linalg.matrix_rank(changes[name])) == 2
    kernel = next(n for n, p in base.acoustic.named_parameters() if p.ndim == 3 and f"{n}:up" in values)
    assert int(torch.linalg.matrix_rank(changes[kernel].flatten(1))) == 2
    assert torch.equal(changes["speaker.mean"], values["speaker.mean"])
    moved = Voice(values, base.hash, (), 0).apply(base)
    for own, change in changes.items():
        torch.testing.assert_close(moved.get_parameter(own), base.acoustic.get_parameter(own) + change)


def test_a_layer_called_with_strays_is_the_layer_with_their_product_added() -> None:
    given = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    layer, whole = nn.Linear(5, 4), nn.Linear(5, 4)
    whole.load_state_dict(layer.state_dict())
    linear = LowRankModel(layer, Partition((Module("all", "Linear", ("weight", "bias"), 24),)), 1)
    with torch.no_grad():
        up, down, bias = (dict(linear.named_parameters())[f"strays.{n}"] for n in ("weight:up", "weight:down", "bias"))
        up.fill_(0.5)
        bias.fill_(-1.0)
        whole.weight.add_(up @ down)
        whole.bias.add_(bias)
    torch.testing.assert_close(linear(given), whole(given))


@pytest.mark.parametrize(("shape", "rank"), [((40, 60), 4), ((30, 5, 7), 3), ((50,), 4), ((4, 4), 4), ((40, 60), 0)])
def test_how_far_an_entry_strays_is_that_of_draws(shape: tuple[int, ...], rank: int) -> None:
    sigma, draws = 0.3, torch.Generator().manual_seed(1)
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.zeros(shape))
    partition = Partition((Module("all", "Linear", ("weight",), layer.weight.numel()),))
    moves = []
    for _ in range(200):
        if rank:
            strays = LowRankModel(layer, partition, rank)
            own = {name: p + sigma * torch.randn(p.shape, generator=draws) for name, p in strays.named_parameters()}
            moves.append(strays.multiply(own)["weight"].detach())
        else:
            moves.append(sigma * torch.randn(shape, generator=draws))
    far = float(torch.stack(moves).square().mean().sqrt())
    assert expected_delta_rms(layer.weight, rank, sigma) == pytest.approx(far, rel=0.05)


def test_small_matrices_stray_whole_and_the_rank_must_be_one_or_more(base: Base) -> None:
    names = {name for name, _ in LowRankModel(base.acoustic, adaptable_modules(base), 1000).named_parameters()}
    assert not [name for name in names if name.endswith((":up", ":down"))]
    with pytest.raises(UsageError, match="at least 1, not 0"):
        LowRankModel(base.acoustic, adaptable_modules(base), 0)


def test_a_voice_in_low_rank_is_small_learns_and_speaks_the_same_from_its_file(
    base: Base, examples: list[Example], tmp_path: Path
) -> None:
    whole, low = (
        clone_examples(base, examples, CloneSettings(steps=30, learning_rate=3e-3, rank=rank)) for rank in (0, 2)
    )
    assert sum(d.numel() for d in low.deltas.values()) < 0.6 * sum(d.numel() for d in whole.deltas.values())
    assert low.modules == whole.modules
    batch = collate(examples, {"new": -1}, base.acoustic.reduction)
    model = low.apply(base)
    before, after = (float(acoustic_loss(m, m(batch), batch).nll) for m in (base.acoustic, model))
    assert after < before
    low.save(tmp_path / "low.voice.safetensors")
    loaded = Voice.load(tmp_path / "low.voice.safetensors")
    assert loaded.deltas.keys() == low.deltas.keys()
    again = float(acoustic_loss(model, loaded.apply(base)(batch), batch).nll)
    assert again == pytest.approx(after, rel=0.02)
    changes = low.changes(base)
    assert changes.keys() == whole.deltas.keys()
    still = clone_examples(base, examples, CloneSettings(steps=0, rank=2))
    assert same_weights(still.apply(base), base.acoustic)


def test_a_factor_without_its_other_is_refused_by_the_name_of_the_voice(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, CloneSettings(steps=1, rank=2))
    name = next(name for name in voice.deltas if name.endswith(":down"))
    for deltas in (
        {own: delta for own, delta in voice.deltas.items() if own != name},
        voice.deltas | {name: torch.zeros(2, 1)},
    ):
        with pytest.raises(
            TtsMetaError,
            match=r"does not fit the base: the factors? .* (stands alone|do not multiply to its shape); clone it",
        ):
            replace(voice, deltas=deltas).apply(base, "ann")


def test_a_prior_of_low_rank_reads_back_and_cloning_follows_its_rank(
    base: Base, examples: list[Example], tmp_path: Path
) -> None:
    prior = ModulePrior({name: 1e-4 for name in adaptable_modules(base).names}, base.hash, rank=2)
    prior.save(tmp_path / "prior.safetensors")
    assert ModulePrior.load(tmp_path / "prior.safetensors").rank == 2
    learned = replace(base, prior=prior)
    followed = clone_examples(learned, examples, CloneSettings(steps=1))
    assert any(name.endswith(":up") for name in followed.deltas)
    free = clone_examples(learned, examples, CloneSettings(steps=1, variance=1.0))
    assert not any(name.endswith(":up") for name in free.deltas)
    with pytest.raises(UsageError, match="learned for changes of rank 2; leave out rank or set a variance"):
        clone_examples(learned, examples, CloneSettings(steps=1, rank=0))
    with pytest.raises(UsageError, match=r"rank must be from 0 .*, not -1"):
        clone_examples(learned, examples, CloneSettings(steps=1, rank=-1))
