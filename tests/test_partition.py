"""Partitions: every parameter is in exactly one module, and selection by patterns."""

from __future__ import annotations

import pytest
import torch
from helpers import tiny_base
from torch import nn

from tts_meta.adapt import CloneSettings, adaptable_modules, chosen_modules
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.partition import Partition
from tts_meta.models.vocoders.hifigan import V1, V2, V3, HifiGanConfig, HifiGanGenerator


def layers() -> nn.Module:
    """A model with a layer, a norm after the layer, a parameter of a container, and a parameter of the model itself."""

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 3)
            self.norm = nn.LayerNorm(3)
            self.scale = nn.Parameter(torch.ones(4))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(5))
            self.part = Part()
            self.lstm = nn.LSTM(2, 2)

    return Model()


def models() -> dict[str, nn.Module]:
    with torch.device("meta"):
        vocoders = {name: HifiGanGenerator(config) for name, config in (("V1", V1), ("V2", V2), ("V3", V3))}
    base = tiny_base()
    return {"acoustic": base.acoustic, "aligner": base.aligner, "layers": layers(), **vocoders}


@pytest.mark.parametrize("name", ["acoustic", "aligner", "layers", "V1", "V2", "V3"])
def test_by_layer_holds_every_parameter_exactly_once(name: str) -> None:
    model = models()[name]
    partition = Partition.by_layer(model)
    sizes = {key: parameter.numel() for key, parameter in model.named_parameters()}
    assert sorted(partition.parameters()) == sorted(sizes)
    assert len(set(partition.names)) == len(partition.names)
    for module in partition.modules:
        assert module.size == sum(sizes[key] for key in module.parameters) > 0
        assert module.kind


def test_by_layer_makes_one_module_of_a_layer_and_its_norm() -> None:
    modules = {module.name: (module.kind, module.parameters) for module in Partition.by_layer(layers()).modules}
    lstm = tuple(f"lstm.{kind}_{gate}_l0" for kind in ("weight", "bias") for gate in ("ih", "hh"))
    assert modules == {
        "bias": ("Parameter", ("bias",)),
        "part.scale": ("Parameter", ("part.scale",)),
        "part.linear": ("Linear", ("part.linear.weight", "part.linear.bias", "part.norm.weight", "part.norm.bias")),
        "lstm": ("LSTM", lstm),
    }


def test_biases_and_norms_can_be_separate_from_the_matrices_of_their_layer() -> None:
    partition = Partition.by_layer(layers(), prefix="model.", granularity="matrix")
    modules = {module.name: (module.kind, module.parameters) for module in partition.modules}
    assert modules == {
        "model.bias": ("Parameter", ("model.bias",)),
        "model.part.scale": ("Parameter", ("model.part.scale",)),
        "model.part.linear.weight": ("Linear", ("model.part.linear.weight",)),
        "model.part.linear.bias": (
            "Linear",
            ("model.part.linear.bias", "model.part.norm.weight", "model.part.norm.bias"),
        ),
        "model.lstm.weight": ("LSTM", ("model.lstm.weight_ih_l0", "model.lstm.weight_hh_l0")),
        "model.lstm.bias": ("LSTM", ("model.lstm.bias_ih_l0", "model.lstm.bias_hh_l0")),
    }
    assert [module.size for module in partition.modules] == [5, 4, 6, 9, 32, 16]


def test_the_mean_voice_and_the_speaker_table_are_separate_modules() -> None:
    modules = {module.name: module for module in Partition.by_layer(tiny_base().acoustic).modules}
    assert modules["speaker.mean"].kind == "Parameter" and modules["speaker.mean"].size == 6
    assert modules["speaker.offsets"].parameters == ("speaker.offsets",)


def test_cloning_can_adapt_every_module_except_the_speaker_table_and_the_scales() -> None:
    base = tiny_base()
    all_names = set(Partition.by_layer(base.acoustic, granularity="matrix").names)
    fixed = {"speaker.offsets", "mel_log_scale", "duration_log_scale", "prosody_log_scale"}
    assert all_names - set(adaptable_modules(base).names) == fixed
    chosen = chosen_modules(base, CloneSettings())
    assert {"speaker.mean", "decoder.lstms.0.weight", "decoder.lstms.0.bias"} <= set(chosen.names)


def test_each_layer_of_the_vocoder_is_a_module_under_its_prefix() -> None:
    config = HifiGanConfig(upsample_rates=(4, 4), upsample_kernel_sizes=(8, 8), upsample_initial_channel=8)
    generator = HifiGanGenerator(config)
    partition = Partition.by_layer(generator, prefix="vocoder.")
    convolutions = [
        name for name, layer in generator.named_modules() if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
    ]
    assert partition.names == tuple(f"vocoder.{name}" for name in convolutions)
    both = Partition.by_layer(tiny_base().acoustic, prefix="acoustic.") + partition
    assert len(set(both.parameters())) == len(both.parameters())
    assert both.select(["vocoder.ups.*"]).names == ("vocoder.ups.0", "vocoder.ups.1")


def test_patterns_assign_parameters_in_the_order_of_the_model() -> None:
    partition = Partition.from_patterns(layers(), {"rest": ["part.*", "bias"], "memory": ["lstm.*"]})
    assert partition.names == ("rest", "memory")
    assert partition.modules[0].parameters[0] == "bias" and partition.modules[1].kind == "LSTM"


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"a": ["part.*"], "b": ["lstm.*"]}, "parameter 'bias' is in no module"),
        ({"a": ["*"], "b": ["part.norm.*"]}, "parameter 'part.norm.weight' is in two modules, 'a' and 'b'"),
        ({"a": ["*"], "b": ["dense.*"]}, "module 'b' of the partition matches no parameter"),
        ({}, "parameter 'bias' is in no module"),
    ],
)
def test_a_faulty_partition_is_an_error_that_names_the_parameter(patterns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(TtsMetaError, match=message):
        Partition.from_patterns(layers(), patterns)


def test_selection_keeps_order_and_names_a_pattern_that_matches_nothing() -> None:
    partition = Partition.by_layer(layers())
    assert partition.select(["lstm", "part.*"]).names == ("part.scale", "part.linear", "lstm")
    assert partition.select([]).modules == ()
    assert partition.select(["part"]).names == ("part.scale", "part.linear")
    separate = Partition.by_layer(layers(), granularity="matrix")
    assert separate.select(["lstm"]).names == ("lstm.weight", "lstm.bias")
    assert separate.select(["*.bias", "bias"]).names == ("bias", "part.linear.bias", "lstm.bias")
    with pytest.raises(
        UsageError, match=r"no module matches 'decoder'; modules: bias, part\.scale, part\.linear, lstm"
    ):
        partition.select(["lstm", "decoder"])
