"""Deltas of low rank: zero at the start, products of factors after adaptation, stored in voices and priors."""

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
from tts_meta.models.low_rank import LowRankModel, by_parameter_name, expand_factors, expected_delta_rms, low_rank
from tts_meta.models.partition import Module, Partition
from tts_meta.models.pretrained import Base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior


@pytest.fixture(scope="module")
def examples(base: Base) -> list[Example]:
    made = [random_example(base, tone_sentence(seed, words=4), seed, "new") for seed in range(2)]
    shape = torch.linspace(-2, 2, 80)
    return [replace(example, mel=-5 + shape + 0.2 * (example.mel + 5)) for example in made]


def parameter_values(model: LowRankModel) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in model.named_parameters()}


def test_it_starts_as_the_wrapped_model_and_holds_none_of_its_parameters(base: Base, examples: list[Example]) -> None:
    partition = adaptable_modules(base)
    model, low_rank_partition = low_rank(base.acoustic, partition, 2)
    assert low_rank_partition.names == partition.names
    assert sorted(low_rank_partition.parameters()) == sorted(name for name, _ in model.named_parameters())
    assert sum(module.size for module in low_rank_partition.modules) == sum(p.numel() for p in model.parameters())
    data, nll = AcousticTask(base, examples, ()).all_sentences(), acoustic_nll(base.acoustic)
    torch.testing.assert_close(nll(model, data), nll(base.acoustic, data))


def test_a_matrix_has_the_product_of_its_factors_as_delta_and_a_vector_a_full_delta(base: Base) -> None:
    low = LowRankModel(base.acoustic, adaptable_modules(base), 2)
    with torch.no_grad():
        for parameter in low.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    values = by_parameter_name(parameter_values(low))
    deltas = expand_factors(values, {name: p.shape for name, p in base.acoustic.named_parameters()})
    name = "decoder.lstms.1.weight_hh_l0"
    torch.testing.assert_close(deltas[name], values[f"{name}:up"] @ values[f"{name}:down"])
    assert int(torch.linalg.matrix_rank(deltas[name])) == 2
    kernel = next(n for n, p in base.acoustic.named_parameters() if p.ndim == 3 and f"{n}:up" in values)
    assert int(torch.linalg.matrix_rank(deltas[kernel].flatten(1))) == 2
    assert torch.equal(deltas["speaker.mean"], values["speaker.mean"])
    adapted = Voice(values, base.hash, (), 0).apply(base)
    for parameter, delta in deltas.items():
        expected = base.acoustic.get_parameter(parameter) + delta
        torch.testing.assert_close(adapted.get_parameter(parameter), expected)


def test_a_wrapped_layer_equals_the_layer_with_the_deltas_added() -> None:
    inputs = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    layer, expected = nn.Linear(5, 4), nn.Linear(5, 4)
    expected.load_state_dict(layer.state_dict())
    linear = LowRankModel(layer, Partition((Module("all", "Linear", ("weight", "bias"), 24),)), 1)
    with torch.no_grad():
        up, down, bias = (dict(linear.named_parameters())[f"deltas.{n}"] for n in ("weight:up", "weight:down", "bias"))
        up.fill_(0.5)
        bias.fill_(-1.0)
        expected.weight.add_(up @ down)
        expected.bias.add_(bias)
    torch.testing.assert_close(linear(inputs), expected(inputs))


@pytest.mark.parametrize(("shape", "rank"), [((40, 60), 4), ((30, 5, 7), 3), ((50,), 4), ((4, 4), 4), ((40, 60), 0)])
def test_the_expected_rms_of_a_delta_equals_that_of_random_draws(shape: tuple[int, ...], rank: int) -> None:
    sigma, draws = 0.3, torch.Generator().manual_seed(1)
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.zeros(shape))
    partition = Partition((Module("all", "Linear", ("weight",), layer.weight.numel()),))
    deltas = []
    for _ in range(200):
        if rank:
            model = LowRankModel(layer, partition, rank)
            drawn = {name: p + sigma * torch.randn(p.shape, generator=draws) for name, p in model.named_parameters()}
            deltas.append(model.expand(drawn)["weight"].detach())
        else:
            deltas.append(sigma * torch.randn(shape, generator=draws))
    rms = float(torch.stack(deltas).square().mean().sqrt())
    assert expected_delta_rms(layer.weight, rank, sigma) == pytest.approx(rms, rel=0.05)


def test_small_matrices_have_full_deltas_and_the_rank_must_be_at_least_one(base: Base) -> None:
    names = {name for name, _ in LowRankModel(base.acoustic, adaptable_modules(base), 1000).named_parameters()}
    assert not [name for name in names if name.endswith((":up", ":down"))]
    with pytest.raises(UsageError, match="at least 1, not 0"):
        LowRankModel(base.acoustic, adaptable_modules(base), 0)


def test_a_voice_of_low_rank_is_smaller_fits_its_examples_and_reads_back_from_its_file(
    base: Base, examples: list[Example], tmp_path: Path
) -> None:
    full, low = (
        clone_examples(base, examples, CloneSettings(steps=30, learning_rate=3e-3, rank=rank)) for rank in (0, 2)
    )
    assert sum(d.numel() for d in low.deltas.values()) < 0.6 * sum(d.numel() for d in full.deltas.values())
    assert low.modules == full.modules
    batch = collate(examples, {"new": -1}, base.acoustic.reduction)
    model = low.apply(base)
    before, after = (float(acoustic_loss(m, m(batch), batch).nll) for m in (base.acoustic, model))
    assert after < before
    low.save(tmp_path / "low.voice.safetensors")
    loaded = Voice.load(tmp_path / "low.voice.safetensors")
    assert loaded.deltas.keys() == low.deltas.keys()
    reloaded = float(acoustic_loss(model, loaded.apply(base)(batch), batch).nll)
    assert reloaded == pytest.approx(after, rel=0.02)
    assert low.changes(base).keys() == full.deltas.keys()
    unadapted = clone_examples(base, examples, CloneSettings(steps=1, learning_rate=1e-30, rank=2))
    assert same_weights(unadapted.apply(base), base.acoustic)


def test_a_voice_with_a_factor_that_has_no_match_is_refused_by_name(base: Base, examples: list[Example]) -> None:
    voice = clone_examples(base, examples, CloneSettings(steps=1, rank=2))
    name = next(name for name in voice.deltas if name.endswith(":down"))
    for deltas in (
        {key: delta for key, delta in voice.deltas.items() if key != name},
        voice.deltas | {name: torch.zeros(2, 1)},
    ):
        with pytest.raises(
            TtsMetaError,
            match=r"not fit the base: the factors? .*(matching factor '.+|not multiply to the delta's shape); clone it",
        ):
            replace(voice, deltas=deltas).apply(base, "ann")


def test_a_prior_of_low_rank_reads_back_and_cloning_uses_its_rank(
    base: Base, examples: list[Example], tmp_path: Path
) -> None:
    prior = ModulePrior({name: 1e-4 for name in adaptable_modules(base).names}, rank=2)
    SavedLearner.of_prior(prior, "acoustic", base.hash).save(tmp_path)
    learned = replace(base, learner=SavedLearner.load(tmp_path))
    with_prior = clone_examples(learned, examples, CloneSettings(steps=1))
    assert any(name.endswith(":up") for name in with_prior.deltas)
    without_prior = clone_examples(learned, examples, CloneSettings(steps=1, variance=1.0))
    assert not any(name.endswith(":up") for name in without_prior.deltas)
    with pytest.raises(UsageError, match="learned for changes of rank 2; leave out rank or set a variance"):
        clone_examples(learned, examples, CloneSettings(steps=1, rank=0))
    with pytest.raises(UsageError, match=r"rank must be from 0 .*, not -1"):
        clone_examples(learned, examples, CloneSettings(steps=1, rank=-1))


def test_the_model_computes_with_the_sum_of_value_and_delta(base: Base, examples: list[Example]) -> None:
    """The product and the sum are one operation in the model, and two operations in `expand`."""
    low = LowRankModel(base.acoustic, adaptable_modules(base), 2)
    with torch.no_grad():
        for number, parameter in enumerate(low.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    data, nll = AcousticTask(base, examples, adaptable_modules(base).names).all_sentences(), acoustic_nll(base.acoustic)
    adapted = Voice(by_parameter_name(parameter_values(low)), base.hash, (), 0).apply(base)
    torch.testing.assert_close(nll(low, data), nll(adapted, data), rtol=1e-5, atol=0)
