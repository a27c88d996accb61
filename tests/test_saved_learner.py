"""The files of a learner: what they keep, and which of them are refused."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import error_line, full_disk
from helpers import tiny_base, tiny_source_filter
from safetensors.torch import load_file
from torch import Tensor

from tts_meta.files import write_tensors
from tts_meta.meta import LEARNERS
from tts_meta.models.pretrained import load_base, save_base
from tts_meta.models.saved_learner import CLONING_SETTINGS, FILE, TENSOR_FILE, SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter

SHIPPED = {
    "log_variances": "4de82b016b0f8357eef6a3b4ff3816167870f8b79e860d225e50d0e5a45bd577",
    "history/sigma": "728e09788b30d47bb305bca676ea5fac509a1bfd971860f72465a2701f83aadf",
}
"""SHA-256 of the values in `checkpoints/base/prior.safetensors`, the file of older versions (commit ca6856b)."""
HISTORY = {"a": [0.5, 1.0], "b": [0.25, 2.0]}


def learner(**changes: Any) -> SavedLearner:
    """A learner with two modules and a prior."""
    complete = SavedLearner(
        "sigma-maml",
        3,
        {"inner_lr": 0.5, "inner_solver": "adam"},
        "acoustic",
        "weights",
        ("a", "b"),
        ("c",),
        {"log_variances": torch.tensor([-1.0, 0.5], dtype=torch.float64), "step_sizes": torch.tensor(0.5)},
        rank=2,
        meta_steps=7,
        adapted_modules=("b",),
        prior_scale=4.0,
        sigma_history=HISTORY,
        origin={"seed": 1},
    )
    return replace(complete, **changes)


def with_tensors(**tensors: Tensor) -> SavedLearner:
    return learner(tensors=tensors, sigma_history={})


def edit(folder: Path, **values: object) -> None:
    """Set keys of `learner.json`."""
    path = folder / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_shipped_learner_has_the_variances_of_the_prior_of_older_versions() -> None:
    base = load_base()
    assert base.learner is not None and base.prior is not None and base.folder is not None
    stored = load_file(base.folder / TENSOR_FILE)
    assert {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in stored.items()} == SHIPPED
    assert base.prior.variances == dict(zip(base.learner.modules, stored["log_variances"].exp().tolist(), strict=True))
    assert (base.learner.learner, base.learner.trained_by, base.learner.meta_steps) == (
        "sigma-imaml",
        "sigma-reptile",
        20,
    )
    assert (base.prior.prior_scale, base.prior.rank) == (2.0, 16)
    for name, sigmas in base.prior.sigma_history.items():
        assert sigmas[-1] == pytest.approx(base.prior.sigmas[name])


def test_the_settings_of_cloning_are_those_of_the_learner_made_of_a_prior() -> None:
    assert CLONING_SETTINGS.keys() <= LEARNERS["sigma-imaml"].Settings.model_fields.keys()
    made = SavedLearner.of_prior(ModulePrior({"a": 1.0}, rank=3), "vocoder", "weights")
    assert (made.learner, made.settings, made.model, made.modules) == (
        "sigma-imaml",
        CLONING_SETTINGS,
        "vocoder",
        ("a",),
    )
    assert made.prior == ModulePrior({"a": 1.0}, rank=3)


def test_a_saved_learner_reads_back_complete(tmp_path: Path) -> None:
    saved = learner()
    saved.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, TENSOR_FILE]
    for path in (tmp_path, tmp_path / FILE):
        loaded = SavedLearner.load(path)
        assert {**vars(loaded), "tensors": {}} == {**vars(saved), "tensors": {}}
        assert loaded.tensors.keys() == saved.tensors.keys()
        assert all(torch.equal(value, saved.tensors[name]) for name, value in loaded.tensors.items())
    assert loaded.prior == ModulePrior({"a": math.exp(-1.0), "b": math.exp(0.5)}, HISTORY, ("b",), 4.0, 2)
    assert json.loads((tmp_path / FILE).read_text())["settings"] == saved.settings


def test_tensors_of_half_precision_are_read_as_float32_and_others_as_they_are(tmp_path: Path) -> None:
    stored = {"code": torch.ones(2, 3).half(), "count": torch.tensor(3), "wide": torch.ones(2, dtype=torch.float64)}
    with_tensors(**stored).save(tmp_path)
    dtypes = {name: value.dtype for name, value in SavedLearner.load(tmp_path).tensors.items()}
    assert dtypes == {"code": torch.float32, "count": torch.int64, "wide": torch.float64}


def test_a_learner_without_finite_variances_has_no_prior(tmp_path: Path) -> None:
    assert with_tensors(step_sizes=torch.ones(5)).prior is None
    infinite = with_tensors(log_variances=torch.full((2,), math.inf))
    infinite.save(tmp_path)
    loaded = SavedLearner.load(tmp_path)
    assert loaded.prior is None and torch.equal(loaded.tensors["log_variances"], infinite.tensors["log_variances"])


TENSOR_FAULTS = {
    "log_variances is not one value for each of 2 modules": {"log_variances": torch.zeros(3)},
    "log_variances has the dtype torch.int64": {"log_variances": torch.zeros(2, dtype=torch.int64)},
    "log_variances contains values that are not finite": {"log_variances": torch.tensor([0.0, math.nan])},
    "log_variances contains variances that are not positive numbers": {"log_variances": torch.tensor([0.0, -math.inf])},
    "step_sizes is not one row for each of 2 modules": {"step_sizes": torch.zeros(3, 4)},
    "step_sizes contains values that are not finite": {"step_sizes": torch.tensor(math.inf)},
    "code contains values that are not finite": {"code": torch.tensor([math.nan]).half()},
    "history/sigma is not one column for each of 2 modules": {"history/sigma": torch.ones(2, 3)},
    "history/sigma contains deviations that are not positive": {"history/sigma": torch.zeros(4, 2)},
    "the tensor '' has no usable name": {"": torch.zeros(1)},
}


@pytest.mark.parametrize("fault", TENSOR_FAULTS)
def test_wrong_tensors_are_neither_read_nor_written(tmp_path: Path, fault: str) -> None:
    wrong = TENSOR_FAULTS[fault]
    assert fault in error_line(lambda: with_tensors(**wrong).save(tmp_path))
    assert list(tmp_path.iterdir()) == []
    learner().save(tmp_path)
    write_tensors(tmp_path / TENSOR_FILE, wrong)
    edit(tmp_path, tensors_hash=hashlib.sha256((tmp_path / TENSOR_FILE).read_bytes()).hexdigest())
    line = error_line(lambda: SavedLearner.load(tmp_path))
    assert f"{TENSOR_FILE}: " in line and (fault in line or "damaged header" in line)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"format": 2}, "not a learner of format 1; meta-train again, or remove learner.json and learner.safetensors"),
        ({"kind": "tts_meta voice"}, "not a learner of format 1"),
        ({"modules": ["a", "a"]}, "a module is named twice"),
        ({"modules": ["a", "b\x1b[2J"]}, "a text contains a control character"),
        ({"modules": [f"m{n}" for n in range(10_001)]}, "modules: List should have at most 10000 items"),
        ({"shared": ["b"]}, "a module is named twice"),
        ({"adapted_modules": ["c"]}, "the module 'c' of adapted_modules is not in modules"),
        ({"modules": ["a", "b", "d"]}, "log_variances is not one value for each of 3 modules"),
        ({"rank": -1}, "rank: Input should be greater than or equal to 0"),
        ({"rank": 10**9}, "rank: Input should be less than or equal to 10000"),
        ({"version": "1"}, "version: Input should be a valid integer"),
        ({"prior_scale": 0.0}, "prior_scale: Input should be greater than 0"),
        ({"model": "aligner"}, "model: Input should be 'acoustic' or 'vocoder'"),
        ({"settings": None}, "settings: Input should be a valid dictionary"),
        ({"learner": "x" * 101}, "learner: String should have at most 100 characters"),
        ({"tensors_hash": "0" * 64}, "learner.safetensors: not the tensors that learner.json names (SHA-256)"),
    ],
)
def test_a_wrong_learner_json_is_one_line(tmp_path: Path, values: dict[str, object], fault: str) -> None:
    learner().save(tmp_path)
    edit(tmp_path, **values)
    assert fault in error_line(lambda: SavedLearner.load(tmp_path))


def test_one_file_without_the_other_is_refused(tmp_path: Path) -> None:
    save_base(replace(tiny_base(), learner=learner()), tmp_path)
    for name in (FILE, TENSOR_FILE):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        assert f"{name}: cannot be read (No such file or directory)" in error_line(lambda: load_base(tmp_path))
        (tmp_path / name).write_bytes(content)
    load_base(tmp_path)


def test_a_crash_between_the_two_files_leaves_a_pair_that_is_refused(tmp_path: Path) -> None:
    learner().save(tmp_path)
    header = (tmp_path / FILE).read_bytes()
    with_tensors(step_sizes=torch.tensor(0.25)).save(tmp_path)
    assert SavedLearner.load(tmp_path).prior is None
    (tmp_path / FILE).write_bytes(header)  # the tensors are renamed first
    assert "not the tensors that learner.json names" in error_line(lambda: SavedLearner.load(tmp_path))


def test_a_write_that_fails_keeps_both_old_files(tmp_path: Path) -> None:
    learner().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(500):
        error_line(lambda: with_tensors(code=torch.ones(1000)).save(tmp_path))
    error_line(lambda: learner(settings={"inner_lr": math.nan}).save(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_base_and_a_vocoder_keep_their_learners_and_refuse_those_of_other_weights(tmp_path: Path) -> None:
    base, generator = replace(tiny_base(), learner=learner()), tiny_source_filter()
    generator.learner = learner(model="vocoder")
    save_base(base, tmp_path / "base")
    save_source_filter(generator, tmp_path / "vocoder", {})
    loaded, vocoder = load_base(tmp_path / "base"), load_source_filter(tmp_path / "vocoder")
    assert loaded.learner is not None and loaded.learner.weights_hash == loaded.hash == base.hash
    assert vocoder.learner is not None and vocoder.learner.weights_hash == vocoder.hash
    assert loaded.prior == vocoder.prior == learner().prior
    for changes in ({"weights_hash": "0" * 64}, {"model": "vocoder"}):
        edit(tmp_path / "base", **{"weights_hash": loaded.hash, "model": "acoustic", **changes})
        assert f"{FILE}: the learner belongs to other weights" in error_line(lambda: load_base(tmp_path / "base"))
    edit(tmp_path / "vocoder", weights_hash=loaded.hash)
    assert "the learner belongs to other weights" in error_line(lambda: load_source_filter(tmp_path / "vocoder"))


def test_a_base_with_the_prior_of_an_older_version_is_refused(tmp_path: Path) -> None:
    save_base(tiny_base(), tmp_path)
    assert load_base(tmp_path).learner is None
    (tmp_path / "prior.safetensors").write_bytes(b"")
    line = error_line(lambda: load_base(tmp_path))
    assert "prior.safetensors: a prior of an older version, which is not read; meta-train again or remove it" in line


def test_a_base_with_another_prior_has_a_learner_of_that_prior() -> None:
    base = replace(tiny_base(), hash="0" * 64)
    changed = base.with_prior(ModulePrior({"a": 1.0}, prior_scale=2.0))
    assert base.learner is None and base.prior is None and changed.acoustic is base.acoustic
    assert changed.learner is not None and changed.learner.weights_hash == base.hash
    assert changed.prior == ModulePrior({"a": 1.0}, prior_scale=2.0)
    assert changed.with_prior(None).learner is None


@pytest.mark.parametrize(
    ("arguments", "options", "fault"),
    [
        (("other", "abc"), {}, "belongs to other weights than those of folder (SHA-256 weights, not other)"),
        (("weights", "bc"), {}, "has the module 'a', which folder has not"),
        (("weights", "ab"), {}, "has the module 'c', which folder has not"),
        (("weights", "abcd"), {"needed": "ad"}, "does not adapt the module 'd'"),
        (("weights", "abc"), {"needed": "c"}, "does not adapt the module 'c'"),
        (("weights", "abc"), {"version": 4}, "was saved by version 3 of its class, and this is version 4"),
    ],
)
def test_a_learner_that_does_not_fit_is_one_line(
    arguments: tuple[str, str], options: dict[str, Any], fault: str
) -> None:
    learner().check_fits("weights", "abcd", Path("folder"), needed="b", version=3)
    line = error_line(lambda: learner().check_fits(*arguments, Path("folder"), **options))
    assert line.startswith("the learner 'sigma-maml' ")
    assert fault in line
