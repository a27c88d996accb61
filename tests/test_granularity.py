"""Granularity: one module per layer, per kind of parameter of a layer, or per parameter, in training and cloning."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import torch
from faults import error_line
from helpers import similar_examples, tiny_base
from meta_train_runs import short_meta_recipe as recipe

from tts_meta.adapt import CloneSettings, adaptable_modules, chosen_modules, clone_examples
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.learner_files import saved_learner
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.methods import MethodConfig
from tts_meta.meta import create_learner
from tts_meta.models.partition import Granularity, Partition
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.saved_learner import FILE, SavedLearner
from tts_meta.train.meta_train import meta_train

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
EXPECTED: dict[Granularity, tuple[str, ...]] = {
    "layer": ("decoder.lstms.0",),
    "matrix": ("decoder.lstms.0.weight", "decoder.lstms.0.bias"),
    "parameter": tuple(f"decoder.lstms.0.{kind}_{side}_l0" for kind in ("weight", "bias") for side in ("ih", "hh")),
}
"""Modules of the first LSTM of the decoder."""
each_granularity = pytest.mark.parametrize("granularity", GRANULARITIES)


def learner_of(base: Base, granularity: Granularity, rank: int = 2) -> SavedLearner:
    """A learner of the base with a σ for each module, which decreases from module to module."""
    domain = acoustic_domain(base, adaptable_modules(base, granularity), rank)
    learner = create_learner(
        "sigma-imaml", domain, {"inner_solver": "adam", "inner_lr": 0.1, "scale_lr_by_sigma": True}
    )
    with torch.no_grad():
        learner.get_parameter("log_variances").copy_(torch.linspace(-4, -6, len(learner.adapted_modules)))
    return replace(saved_learner(learner, "acoustic", rank, granularity), weights_hash=base.hash)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("granularity") / "base"
    save_base(tiny_base(), folder)
    return load_base(folder)


@each_granularity
def test_the_modules_of_a_layer_depend_on_the_granularity(base: Base, granularity: Granularity) -> None:
    partition = adaptable_modules(base, granularity)
    assert tuple(name for name in partition.names if name.startswith("decoder.lstms.0")) == EXPECTED[granularity]
    assert sorted(partition.parameters()) == sorted(adaptable_modules(base, "layer").parameters())


def test_each_module_is_part_of_one_module_of_the_next_coarser_granularity(base: Base) -> None:
    partitions = [Partition.by_layer(base.acoustic, granularity=granularity) for granularity in GRANULARITIES]
    for coarse, fine in pairwise(partitions):
        assert len(fine.modules) > len(coarse.modules)
        for module in fine.modules:
            assert sum(set(module.parameters) <= set(other.parameters) for other in coarse.modules) == 1
    assert all(module.parameters == (module.name,) for module in partitions[-1].modules)


@each_granularity
def test_meta_training_writes_the_granularity_and_cloning_reads_it(
    meta_corpus: Path, tmp_path: Path, granularity: Granularity, run_cli
) -> None:
    config = recipe(meta_corpus, tmp_path / "run", granularity=granularity, modules=["decoder.lstms.0"], rank=1)
    folder = meta_train(config.model_copy(update={"trainer": config.trainer.model_copy(update={"outer_lr": 0.0})}))
    assert json.loads((folder / FILE).read_text())["granularity"] == granularity
    trained = load_base(folder)
    assert trained.learner is not None and trained.learner.modules == EXPECTED[granularity]
    voice = clone_examples(trained, similar_examples(trained), CloneSettings(modules=("decoder.lstms.0",), steps=2))
    assert voice.modules == EXPECTED[granularity]
    assert all(float(delta.abs().max()) > 0 for delta in voice.changes(trained).values())
    shown = run_cli("inspect", folder).out
    assert f"rank 1, one module per {granularity}" in shown
    assert all(f"\n{name} " in shown for name in EXPECTED[granularity])
    data = run_cli("inspect", folder, "--json").json
    adapted = [module["module"] for module in data["modules"] if "sigma" in module]
    assert tuple(adapted) == EXPECTED[granularity] and data["learner"]["granularity"] == granularity


@each_granularity
def test_a_learner_of_another_granularity_than_that_of_the_base_adapts_its_own_modules(
    base: Base, tmp_path: Path, granularity: Granularity
) -> None:
    other: Granularity = "layer" if granularity != "layer" else "matrix"
    with_other = replace(base, learner=learner_of(base, other))
    learner_of(base, granularity).save(tmp_path)
    settings = CloneSettings(learner=tmp_path, steps=1)
    names = chosen_modules(with_other, settings).names
    assert names and set(names) <= set(adaptable_modules(base, granularity).names)
    assert clone_examples(with_other, similar_examples(base), settings).modules == names
    assert set(chosen_modules(with_other, CloneSettings()).names) <= set(adaptable_modules(base, other).names)
    without_prior = chosen_modules(with_other, CloneSettings(learner="finetune-all")).names
    assert without_prior == adaptable_modules(base, other).names


@each_granularity
def test_the_prior_of_a_learner_keeps_the_granularity_in_benchmarks(
    base: Base, tmp_path: Path, granularity: Granularity
) -> None:
    learner_of(base, granularity).save(tmp_path)
    for method in (MethodConfig(prior=tmp_path), MethodConfig(prior=tmp_path, isotropic=0.1)):
        changed = method.with_prior(base)
        assert changed.learner is not None and changed.learner.granularity == granularity
        chosen = chosen_modules(changed, CloneSettings(modules=("decoder.lstms.0",))).names
        assert chosen == EXPECTED[granularity]


def test_a_learner_file_without_the_key_has_the_default_and_an_unknown_one_is_refused(
    base: Base, tmp_path: Path
) -> None:
    learner_of(base, "matrix").save(tmp_path)
    header = json.loads((tmp_path / FILE).read_text())
    del header["granularity"]
    (tmp_path / FILE).write_text(json.dumps(header))
    assert SavedLearner.load(tmp_path).granularity == "matrix"
    (tmp_path / FILE).write_text(json.dumps(header | {"granularity": "gate"}))
    message = error_line(lambda: SavedLearner.load(tmp_path), TtsMetaError)
    assert "granularity: " in message and "'layer', 'matrix' or 'parameter'" in message


def test_a_granularity_of_the_vocoder_is_refused(meta_corpus: Path, tmp_path: Path) -> None:
    vocoder = {"vocoder": str(meta_corpus / "vocoder"), "modules": ["vocoder.*"]}
    config = recipe(meta_corpus, tmp_path / "run", granularity="layer", **vocoder)
    message = error_line(lambda: meta_train(config), UsageError)
    assert message == "granularity: layer is only for the acoustic model; remove it from the vocoder's recipe"
