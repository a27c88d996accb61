"""Meta-training of the vocoder: its prior, its weights, and mistakes in the recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import run
from faults import error_line
from helpers import same_weights
from meta_train_runs import meta_recipe

from tts_meta.adapt import CloneSettings, adaptable_vocoder_modules, clone_examples
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError
from tts_meta.models.pretrained import load_base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter
from tts_meta.train.meta_targets import VocoderTarget
from tts_meta.train.meta_train import MetaTrainConfig, meta_train

SETTINGS = {"inner_solver": "adam", "inner_lr": 0.1, "scale_lr_by_sigma": True, "inner_steps": 3, "cg_max_iters": 2}
SETTINGS |= {"variance": 1e-3, "outer_lr": 0.0, "hessian": "difference"}


def vocoder_recipe(corpus: Path, output: Path, **changes: object) -> MetaTrainConfig:
    data = {"modules": ["vocoder.*"], "vocoder": str(corpus / "vocoder"), "crops_per_step": 2, "settings": SETTINGS}
    return meta_recipe(corpus, output, **data | changes)


@pytest.fixture(scope="module")
def vocoder_run(meta_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that learns variances of the vocoder's modules and leaves its weights unchanged."""
    output = tmp_path_factory.mktemp("vocoder_run") / "run"
    assert meta_train(vocoder_recipe(meta_corpus, output)) == output / "vocoder"
    return output


def test_meta_training_gives_the_vocoder_a_prior(meta_corpus: Path, vocoder_run: Path) -> None:
    assert not (vocoder_run / "base").exists()
    before, after = load_source_filter(meta_corpus / "vocoder"), load_source_filter(vocoder_run / "vocoder")
    assert before.prior is None and after.prior is not None and after.hash == before.hash
    assert tuple(after.prior.variances) == adaptable_vocoder_modules(SourceFilterVocoder(after)).names
    assert len(set(after.prior.variances.values())) > 1
    runs = after.state["runs"]
    assert after.state == {"corpus": "tones", "meta_learner": "sigma-reptile", "meta_steps": 3, "runs": runs}
    assert set(runs) == {"meta-train"}
    assert all(len(history) == 3 for history in after.prior.sigma_history.values())


def test_inspect_lists_the_sigmas_of_the_vocoder(
    meta_corpus: Path, vocoder_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prior = load_source_filter(vocoder_run / "vocoder").prior
    assert prior is not None
    data = run(capsys, "inspect", meta_corpus / "base", "--vocoder", vocoder_run / "vocoder", "--json").json
    variances = {module["module"]: module["sigma"] ** 2 for module in data["modules"] if "sigma" in module}
    assert variances == pytest.approx(prior.variances)


def test_the_prior_of_the_vocoder_limits_how_far_a_voice_adapts(meta_corpus: Path, vocoder_run: Path) -> None:
    base, generator = load_base(meta_corpus / "base"), load_source_filter(vocoder_run / "vocoder")
    prior = generator.prior
    assert prior is not None
    names = tuple(prior.variances)
    utterances = Manifest.load(meta_corpus / "manifest.jsonl").utterances
    examples = VocoderTarget(base, SourceFilterVocoder(generator), names, 2).examples(utterances)
    settings = CloneSettings(modules=("vocoder.*",), vocoder_steps=20, crops_per_step=2)

    def largest_delta(variance: float) -> float:
        vocoder = SourceFilterVocoder(generator)
        same = replace(prior, variances=dict.fromkeys(names, variance))
        vocoder.generator.learner = SavedLearner.of_prior(same, "vocoder", generator.hash)
        voice = clone_examples(load_base(meta_corpus / "base"), examples, settings, vocoder=vocoder)
        return max(float(delta.abs().max()) for delta in voice.deltas.values())

    # 20 steps of 0.2 standard deviations that decay to zero: no parameter moves more than two standard deviations.
    assert 1e-6 < largest_delta(1e-10) < 2.1e-5 and 1e-3 < largest_delta(1e-4) < 2.1e-2


def test_reptile_changes_the_network_of_the_vocoder_but_not_the_pitch_predictor(
    meta_corpus: Path, tmp_path: Path
) -> None:
    settings = {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 2, "outer_solver": "sgd", "outer_lr": 0.5}
    recipe = vocoder_recipe(meta_corpus, tmp_path / "run", learner="reptile", settings=settings, meta_steps=1)
    before, after = load_source_filter(meta_corpus / "vocoder"), load_source_filter(meta_train(recipe))
    assert after.prior is None and not same_weights(before.net, after.net) and same_weights(before.pitch, after.pitch)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modules": ["*", "vocoder.*"]}, "the acoustic model and the vocoder in two runs"),
        ({"rank": 2}, "remove rank from the recipe"),
        ({"vocoder": "griffin-lim"}, "only the light vocoder has modules that can adapt"),
        ({"modules": ["vocoder.nothing"]}, r"no module matches 'vocoder.nothing'"),
    ],
)
def test_a_mistake_in_a_recipe_for_the_vocoder_is_named(
    meta_corpus: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        meta_train(vocoder_recipe(meta_corpus, tmp_path / "run", **changes))


def test_gauss_newton_products_of_the_vocoder_are_refused_before_the_run(meta_corpus: Path, tmp_path: Path) -> None:
    config = vocoder_recipe(meta_corpus, tmp_path / "run", settings=SETTINGS | {"hessian": "gauss-newton"})
    assert error_line(lambda: meta_train(config), UsageError) == (
        "learner 'sigma-reptile' needs the outputs of the model with the curvature of the likelihood (outputs); "
        "this domain does not have it; set hessian to 'difference'"
    )
    assert not (tmp_path / "run").exists()
