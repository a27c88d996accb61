from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers import tiny_base

from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import load_base, save_base
from tts_meta.models.saved_learner import CLONING_SETTINGS, SavedLearner
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.train.export_learner import export_learner


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of a run that learned a prior and kept the weights of the base."""
    base = tiny_base()
    prior = ModulePrior({"speaker.mean": 0.25})
    base.learner = SavedLearner.of_prior(prior, "acoustic", "", meta_steps=3, origin={"learner": "sigma-reptile"})
    save_base(base, tmp_path / "run" / "base")
    return tmp_path / "run"


def test_the_learner_of_a_run_is_written_to_its_base_with_a_scale(run_folder: Path, tmp_path: Path) -> None:
    save_base(tiny_base(), tmp_path / "base")
    assert export_learner(run_folder, tmp_path / "base", prior_scale=2.0) == tmp_path / "base" / "learner.json"
    learner = load_base(tmp_path / "base").learner
    assert learner is not None and learner.prior is not None
    assert (learner.trained_by, learner.meta_steps, learner.prior.prior_scale) == ("sigma-reptile", 3, 2.0)
    assert learner.prior.variances == pytest.approx({"speaker.mean": 0.25})


@pytest.mark.parametrize("solver", ["l-bfgs", "adam"])
def test_only_a_learner_of_lbfgs_gets_the_inner_loop_of_cloning(run_folder: Path, tmp_path: Path, solver: str) -> None:
    learner = load_base(run_folder / "base").learner
    assert learner is not None
    settings = {"inner_solver": solver, "inner_steps": 20}
    save_base(tiny_base(), tmp_path / "base")
    replace(learner, settings=settings).save_to(run_folder / "base", load_base(run_folder / "base").hash)
    export_learner(run_folder, tmp_path / "base")
    exported = load_base(tmp_path / "base").learner
    assert exported is not None
    assert exported.settings == (CLONING_SETTINGS if solver == "l-bfgs" else settings)


def test_a_learner_of_another_base_and_a_run_without_a_learner_are_refused(run_folder: Path, tmp_path: Path) -> None:
    save_base(tiny_base(seed=1), tmp_path / "other")
    with pytest.raises(TtsMetaError, match=r"has no learner for .*other; meta-train that base with trainer.outer_lr 0"):
        export_learner(run_folder, tmp_path / "other")
    save_base(tiny_base(), tmp_path / "without" / "base")
    with pytest.raises(TtsMetaError, match="has no learner for"):
        export_learner(tmp_path / "without", run_folder / "base")
    assert not (tmp_path / "other" / "learner.json").exists()


def test_a_scale_without_an_exported_prior_is_refused(run_cli, tmp_path: Path) -> None:
    assert run_cli("meta-train", tmp_path / "recipe.yaml", "--prior-scale", 2).failed(2, "give --export-learner too")
    arguments = ("meta-train", tmp_path / "recipe.yaml", "--export-learner", tmp_path, "--prior-scale", 0)
    assert run_cli(*arguments).failed(2, "must be above 0")
