"""The file of a prior: the shipped one, one of another format, and one that belongs to other weights."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from tts_meta.errors import TtsMetaError
from tts_meta.files import write_tensors
from tts_meta.models.pretrained import load_base
from tts_meta.models.shrinkage_prior import FILE, ModulePrior


def test_the_shipped_prior_has_its_scale_and_rank_and_ends_at_the_last_sigmas() -> None:
    prior = load_base().prior
    assert prior is not None and prior.prior_scale == 2.0 and prior.rank == 16
    assert prior.origin["learner"] == "sigma-reptile" and prior.origin["meta_steps"] == 20
    assert prior.sigma_history.keys() == prior.variances.keys()
    for name, sigmas in prior.sigma_history.items():
        assert sigmas[-1] == pytest.approx(prior.sigmas[name])


def test_a_prior_of_another_format_is_a_one_line_error(tmp_path: Path) -> None:
    header = {"format": "1", "kind": "tts_meta prior", "modules": '["a"]', "base": "", "origin": "{}", "kept": "[]"}
    write_tensors(tmp_path / FILE, {"log_variances": torch.zeros(1, dtype=torch.float64)}, header)
    with pytest.raises(TtsMetaError, match=r"prior\.safetensors: not a prior of format 2; meta-train again") as error:
        ModulePrior.load(tmp_path / FILE)
    assert "\n" not in str(error.value)


def test_a_prior_that_belongs_to_other_weights_is_refused(tmp_path: Path) -> None:
    written = ModulePrior({"a": 0.25}, "").save_to(tmp_path, "first")
    assert written.weights_hash == "first" and ModulePrior.load_from(tmp_path, "first") == written
    with pytest.raises(TtsMetaError, match=r"prior\.safetensors: the prior belongs to other weights"):
        ModulePrior.load_from(tmp_path, "second")
    assert ModulePrior.load_from(tmp_path / "empty", "first") is None


def test_an_isotropic_prior_keeps_only_modules_hash_and_rank() -> None:
    prior = ModulePrior({"a": 0.25, "b": 4.0}, "hash", {"learner": "x"}, {"a": [1.0]}, ("a",), 2.0, 3)
    assert prior.strongest(0.5) == ("a",) and ModulePrior(prior.variances, "").strongest(0.5) == ("b",)
    same = prior.isotropic(0.5)
    assert same.variances == {"a": 0.25, "b": 0.25} and (same.weights_hash, same.rank) == ("hash", 3)
    reset = {"sigma_history", "adapted_modules", "prior_scale"}
    defaults = ModulePrior({}, "")
    assert all(
        getattr(same, field.name) == getattr(defaults, field.name) for field in fields(same) if field.name in reset
    )
