"""The module variances that meta-training learns: in the base, in `clone` and in `inspect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Result, write_recordings

from tts_meta.adapt import CloneSettings, Voice, adaptable_modules, chosen_modules
from tts_meta.adapt.settings import NEGLIGIBLE
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.report.module_report import module_distances

RunCli = Callable[..., Result]
GRIFFIN_LIM = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def meta_base(meta_run: Path) -> Path:
    """The folder of the meta-trained base."""
    return meta_run / "base"


@pytest.fixture(scope="module")
def prior(meta_base: Path) -> ModulePrior:
    """The prior that meta-training learned."""
    prior = load_base(meta_base).prior
    assert prior is not None
    return prior


@pytest.fixture(scope="module")
def adapted(prior: ModulePrior) -> set[str]:
    """The modules whose variance is not negligible."""
    largest = max(prior.variances.values())
    return {name for name, variance in prior.variances.items() if variance >= NEGLIGIBLE * largest}


@pytest.fixture
def voice_path(run_cli: RunCli, meta_base: Path, adapted: set[str], tmp_path: Path) -> Path:
    """A voice that `clone` adapted from the meta-trained base."""
    path = tmp_path / "ann.voice.safetensors"
    recordings = write_recordings(tmp_path, 2)
    summary = run_cli("clone", *recordings, "-o", path, "--base", meta_base, "--steps", 2, "--json").json
    assert set(summary["modules"]) == adapted
    return path


def test_a_meta_trained_base_holds_the_learned_variances_and_their_history(meta_base: Path, prior: ModulePrior) -> None:
    learner = load_base(meta_base).learner
    assert learner is not None and (learner.learner, learner.meta_steps) == ("sigma-reptile", 3)
    assert learner.modules == tuple(prior.variances) and learner.settings["inner_steps"] == 3
    assert len(set(prior.variances.values())) > 1
    assert prior.sigma_history.keys() == prior.variances.keys()
    for name, sigmas in prior.sigma_history.items():
        assert len(sigmas) == 3 and sigmas[-1] ** 2 == pytest.approx(prior.variances[name], rel=1e-4)


def test_clone_adapts_the_modules_whose_variance_is_not_negligible(
    meta_base: Path, adapted: set[str], voice_path: Path
) -> None:
    assert set(chosen_modules(load_base(meta_base), CloneSettings()).names) == adapted
    assert voice_path.is_file()


def test_inspect_draws_a_longer_bar_for_a_larger_sigma(
    run_cli: RunCli, meta_base: Path, prior: ModulePrior, tmp_path: Path
) -> None:
    image = tmp_path / "sigma.png"
    result = run_cli("inspect", meta_base, *GRIFFIN_LIM, "--picture", image)
    assert result.status == 0 and image.read_bytes().startswith(b"\x89PNG")
    bars = {line.split()[0]: line.count("#") for line in result.out.splitlines() if line.endswith("#")}
    assert set(bars) == set(prior.variances)
    lengths = [bars[name] for name in sorted(prior.variances, key=lambda name: prior.variances[name])]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


def test_inspect_lists_the_learned_sigmas_as_json(run_cli: RunCli, meta_base: Path, prior: ModulePrior) -> None:
    data = run_cli("inspect", meta_base, *GRIFFIN_LIM, "--json").json
    variances = {module["module"]: module["sigma"] ** 2 for module in data["modules"] if "sigma" in module}
    assert variances == pytest.approx(prior.variances) and data["learner"]["learner"] == "sigma-reptile"


def test_the_html_page_of_inspect_shows_the_sigmas_and_the_distances_of_a_voice(
    run_cli: RunCli, meta_base: Path, prior: ModulePrior, voice_path: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert run_cli("inspect", meta_base, *GRIFFIN_LIM, "--html", page, "--voice", voice_path).status == 0
    text = page.read_text()
    assert all(f">{name}<" in text for name in prior.variances) and text.count("data:image/png") == 3
    assert "Distance of the voices from the base" in text and "during meta-training" in text


def test_html_and_voice_of_inspect_require_a_base(
    run_cli: RunCli, meta_base: Path, voice_path: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert run_cli("inspect", voice_path, "--html", page).failed(2, "--html shows what a base learned in meta-training")
    assert run_cli("inspect", voice_path, "--voice", voice_path).failed(
        2, "--voice shows what a base learned in meta-training"
    )
    assert run_cli("inspect", meta_base, "--html", tmp_path / "page.png").failed(2, "NAME.html")


def test_inspect_shows_the_distance_of_a_voice_in_every_module(
    run_cli: RunCli, meta_base: Path, prior: ModulePrior, adapted: set[str], voice_path: Path
) -> None:
    base = load_base(meta_base)
    distances = module_distances(base, adaptable_modules(base), [Voice.load(voice_path)])
    command = ("inspect", meta_base, *GRIFFIN_LIM, "--voice", voice_path)
    listed = {module["module"]: module for module in run_cli(*command, "--json").json["modules"]}
    moved = {name: module["moved"] for name, module in listed.items() if "moved" in module}
    assert moved == pytest.approx({name: distance for name, (distance, _) in distances.items()})
    assert set(moved) == adapted
    name, (distance, relative_distance) = next(iter(distances.items()))
    columns = next(line.split() for line in run_cli(*command).out.splitlines() if line.startswith(name))
    assert columns[-2:] == [f"{distance / prior.sigmas[name]:.3f}", f"{relative_distance:.3f}"]


def test_inspect_draws_no_image_of_a_base_without_a_prior(run_cli: RunCli, meta_corpus: Path, tmp_path: Path) -> None:
    arguments = ("inspect", meta_corpus / "base", *GRIFFIN_LIM, "--picture", tmp_path / "sigma.png")
    assert run_cli(*arguments).failed(1, "has no prior", "tts-meta meta-train")
    assert not (tmp_path / "sigma.png").exists()


def test_a_module_with_a_negligible_variance_does_not_adapt(base: Base) -> None:
    factors = {"speaker.mean": 0.9, "encoder.embedding": 1.0, "duration.output.bias": 1.01, "postnet.output.bias": 12.0}
    variances = {name: factor * NEGLIGIBLE for name, factor in factors.items()} | {"decoder.output.weight": 1.0}
    scaled = {name: 4e-4 * variance for name, variance in variances.items()}
    chosen = chosen_modules(base.with_prior(ModulePrior(scaled)), CloneSettings())
    assert chosen.names == ("encoder.embedding", "duration.output.bias", "decoder.output.weight", "postnet.output.bias")


def test_the_distance_of_voices_from_the_base_is_measured_per_module(base: Base) -> None:
    partition = adaptable_modules(base).select(["postnet.output", "speaker.mean"])
    deltas = {"postnet.output.bias": torch.full((80,), 0.3), "speaker.mean": torch.tensor([3.0, 4.0, 0, 0, 0, 0])}
    voices = [Voice(deltas, base.hash, ("speaker.mean",), 1), Voice({}, base.hash, (), 1)]
    distances = module_distances(base, partition, voices)
    assert set(distances) == {"postnet.output.bias", "speaker.mean"}
    distance, relative_distance = distances["speaker.mean"]
    assert distance == pytest.approx((25 / 6) ** 0.5)
    rms = base.acoustic.speaker.mean.square().mean().sqrt()
    assert relative_distance == pytest.approx((25 / 6) ** 0.5 / float(rms), rel=1e-4)
    with pytest.raises(TtsMetaError, match="was cloned with base another"):
        module_distances(base, partition, [Voice(deltas, "another", (), 1)])
