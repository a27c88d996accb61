"""Meta-training on speakers: every learner runs, a stopped run goes on, and what comes out is a base that clones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import run, write_recordings
from helpers import same_weights, tiny_base, tiny_source_filter, tone_corpus
from processes import under_torchrun
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tts_meta.adapt import (
    CloneSettings,
    Voice,
    adaptable_modules,
    adaptable_vocoder_modules,
    chosen_modules,
    clone_examples,
)
from tts_meta.adapt.settings import NEGLIGIBLE
from tts_meta.config import dump_config, parse_config
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, MetaLearner, MetaStepMetrics, Task
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.report.module_report import module_distances
from tts_meta.train.meta_targets import VocoderTarget
from tts_meta.train.meta_train import MetaTrainConfig, meta_train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers, a tiny base and, after the first run, the features."""
    folder = tmp_path_factory.mktemp("corpus")
    tone_corpus(folder, utterances=8)
    save_base(tiny_base(), folder / "base")
    return folder


def recipe(corpus: Path, output: Path, **changes: object) -> MetaTrainConfig:
    data = {
        "manifest": corpus / "manifest.jsonl",
        "output": output,
        "cache": corpus / "cache",
        "base": corpus / "base",
        "learner": "sigma-reptile",
        "settings": {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 3, "variance": 1e-3, "cg_max_iters": 3},
        "support": 2,
        "query": 1,
        "min_seconds": 0.1,
        "frames_per_step": 200,
        "meta_steps": 3,
        "save_every": 1,
    }
    return parse_config(data | changes, MetaTrainConfig, "recipe")


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert meta_train(recipe(corpus, output)) == output / "base"
    return output


LEARNING = {"inner_steps": 3, "inner_lr": 1e-5, "variance": 0.1, "cg_max_iters": 2, "hessian": "difference"}


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_meta_trains_on_speakers(
    corpus: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapting lowers the query loss by an eighth, and meta-training lowers it before and after adapting."""
    found, step = list[MetaStepMetrics](), MetaLearner.meta_step
    monkeypatch.setattr(MetaLearner, "meta_step", lambda *given: found.append(step(*given)) or found[-1])
    settings = LEARNING | {"outer_lr": 5e-3, "step_lr": 1e-7, "first_order_fraction": 0.0}
    config = recipe(corpus, tmp_path / "run", learner=name, settings=settings, meta_steps=2, frames_per_step=200)
    before, after = load_base(corpus / "base"), load_base(meta_train(config))
    first, last = found[0], found[-1]
    assert len(found) == 2 and not any(one.skipped for one in found)
    preset = LEARNERS[name]
    if name.startswith("finetune"):  # they adapt after meta-training only
        assert all(one.loss_after == one.loss_before for one in found)
    else:
        enough = {"all": 0.88, "head": 0.95, "context": 0.9999}[preset.adapts]
        assert all(one.loss_after < enough * one.loss_before for one in found)
    assert last.loss_before < first.loss_before and last.loss_after < 0.98 * first.loss_after
    assert not same_weights(before.acoustic, after.acoustic)
    assert (after.prior is None) == (preset.prior == "none")
    if after.prior is not None:
        learned = {value for value in after.prior.variances.values() if value != pytest.approx(0.1, rel=1e-6)}
        assert bool(learned) == (preset.prior == "shrinkage")


def test_the_variances_learned_stand_beside_the_base_and_clone_and_inspect_follow_them(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = load_base(finished / "base")
    assert base.prior is not None and base.prior.origin["learner"] == "sigma-reptile"
    variances = dict(base.prior.variances)
    assert len(set(variances.values())) > 1 and base.prior.origin["meta_steps"] == 3
    kept = set(chosen_modules(base, CloneSettings()).names)
    largest = max(variances.values())
    assert kept == {name for name, value in variances.items() if value >= NEGLIGIBLE * largest}
    assert base.prior.sigma_history.keys() == variances.keys()
    for name, sigmas in base.prior.sigma_history.items():
        assert len(sigmas) == 3 and sigmas[-1] ** 2 == pytest.approx(variances[name], rel=1e-4)

    picture = tmp_path / "sigma.png"
    shown = run(capsys, "inspect", finished / "base", "--vocoder", "griffin-lim", "--picture", picture)
    assert shown.status == 0 and picture.read_bytes().startswith(b"\x89PNG")
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line.endswith("#")}
    assert set(lines) == set(variances)
    lengths = [lines[name].count("#") for name in sorted(variances, key=lambda name: variances[name])]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]
    listed = run(capsys, "inspect", finished / "base", "--vocoder", "griffin-lim", "--json").json
    found = {module["module"]: module["sigma"] ** 2 for module in listed["modules"] if "sigma" in module}
    assert found == pytest.approx(variances) and listed["prior"]["learner"] == "sigma-reptile"

    audio, voice = write_recordings(tmp_path, 2), tmp_path / "ann.voice.safetensors"
    cloned = run(capsys, "clone", *audio, "-o", voice, "--base", finished / "base", "--steps", 2, "--json").json
    assert set(cloned["modules"]) == kept

    page = tmp_path / "page.html"
    done = run(capsys, "inspect", finished / "base", "--vocoder", "griffin-lim", "--html", page, "--voice", voice)
    assert done.status == 0
    text = page.read_text()
    assert all(f">{name}<" in text for name in variances) and text.count("data:image/png") == 3
    assert "Distance of the voices from the base" in text and "during meta-training" in text
    arguments = ("inspect", voice, "--html", page)
    assert run(capsys, *arguments).failed(2, "--html shows what a base learned in meta-training")
    assert run(capsys, "inspect", voice, "--voice", voice).failed(
        2, "--voice shows what a base learned in meta-training"
    )
    told = run(capsys, "inspect", finished / "base", "--vocoder", "griffin-lim", "--voice", voice, "--json").json
    moved = {one["module"]: one["moved"] for one in told["modules"] if "moved" in one}
    distances = module_distances(base, adaptable_modules(base), [Voice.load(voice)])
    assert moved == pytest.approx({name: far for name, (far, _) in distances.items()}) and set(moved) == kept
    rows = run(capsys, "inspect", finished / "base", "--vocoder", "griffin-lim", "--voice", voice).out.splitlines()
    name, (far, target) = next(iter(distances.items()))
    shown = next(line.split() for line in rows if line.startswith(name))
    assert shown[-2:] == [f"{far / base.prior.sigmas[name]:.3f}", f"{target:.3f}"]
    assert run(capsys, "inspect", finished / "base", "--html", tmp_path / "page.png").failed(2, "NAME.html")


def test_a_module_of_less_than_the_negligible_part_of_the_largest_variance_does_not_adapt(base: Base) -> None:
    parts = {"speaker.mean": 0.9, "encoder.embedding": 1.0, "duration.output.bias": 1.01, "postnet.output.bias": 12.0}
    variances = {name: target * NEGLIGIBLE for name, target in parts.items()}
    largest = {"decoder.output.weight": 1.0}
    scaled = {name: 4e-4 * value for name, value in (variances | largest).items()}
    chosen = chosen_modules(replace(base, prior=ModulePrior(scaled, base.hash)), CloneSettings())
    assert chosen.names == ("encoder.embedding", "duration.output.bias", "decoder.output.weight", "postnet.output.bias")


def test_how_far_a_voice_went_is_measured_module_by_module(base: Base) -> None:
    partition = adaptable_modules(base).select(["postnet.output", "speaker.mean"])
    deltas = {"postnet.output.bias": torch.full((80,), 0.3), "speaker.mean": torch.tensor([3.0, 4.0, 0, 0, 0, 0])}
    voices = [Voice(deltas, base.hash, ("speaker.mean",), 1), Voice({}, base.hash, (), 1)]
    moved = module_distances(base, partition, voices)
    assert set(moved) == {"postnet.output.bias", "speaker.mean"}
    assert moved["speaker.mean"][0] == pytest.approx((25 / 6) ** 0.5)
    own = base.acoustic.speaker.mean.square().mean().sqrt()
    assert moved["speaker.mean"][1] == pytest.approx((25 / 6) ** 0.5 / float(own), rel=1e-4)
    with pytest.raises(TtsMetaError, match="was cloned with base another"):
        module_distances(base, partition, [Voice(deltas, "another", (), 1)])


def test_where_only_the_variances_are_learned_voices_of_the_base_stay_its_own(corpus: Path, tmp_path: Path) -> None:
    config = recipe(corpus, tmp_path / "run")
    meta_train(config.model_copy(update={"settings": config.settings.model_copy(update={"outer_lr": 0.0})}))
    before, after = load_base(corpus / "base"), load_base(tmp_path / "run" / "base")
    assert after.hash == before.hash and after.prior is not None
    assert len(set(after.prior.variances.values())) > 1


def test_matrices_may_stray_in_low_rank_and_the_prior_says_so(corpus: Path, tmp_path: Path) -> None:
    few = {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 3, "variance": 1e-3, "cg_max_iters": 3}
    changes = {"rank": 2, "meta_steps": 1, "settings": few | {"outer_lr": 0.0}}
    prior = load_base(meta_train(recipe(corpus, tmp_path / "run", **changes))).prior
    assert prior is not None and prior.rank == 2 and len(set(prior.variances.values())) > 1
    assert same_weights(load_base(corpus / "base").acoustic, load_base(tmp_path / "run" / "base").acoustic)
    with pytest.raises(UsageError, match="with a rank the base does not change"):
        meta_train(recipe(corpus, tmp_path / "other", rank=2))


SOUND = {"inner_solver": "adam", "inner_lr": 0.1, "scale_lr_by_sigma": True, "inner_steps": 3, "cg_max_iters": 2}
SOUND |= {"variance": 1e-3, "outer_lr": 0.0, "hessian": "difference"}


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a vocoder without a prior."""
    folder = tmp_path_factory.mktemp("light") / "vocoder"
    save_source_filter(tiny_source_filter(), folder, {"corpus": "tones"})
    return folder


def sound_recipe(corpus: Path, output: Path, light: Path, **changes: object) -> MetaTrainConfig:
    return recipe(
        corpus,
        output,
        **{"modules": ["vocoder.*"], "vocoder": str(light), "crops_per_step": 2} | {"settings": SOUND} | changes,
    )


def test_the_vocoder_has_a_prior_of_its_own_and_clone_and_inspect_follow_it(
    corpus: Path, tmp_path: Path, light: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = meta_train(sound_recipe(corpus, tmp_path / "run", light))
    assert folder == tmp_path / "run" / "vocoder" and not (tmp_path / "run" / "base").exists()
    before, after = load_source_filter(light), load_source_filter(folder)
    assert before.prior is None and after.prior is not None and after.hash == before.hash
    names = adaptable_vocoder_modules(SourceFilterVocoder(after)).names
    assert tuple(after.prior.variances) == names and len(set(after.prior.variances.values())) > 1
    assert after.state == {"corpus": "tones", "meta_learner": "sigma-reptile", "meta_steps": 3}
    assert all(len(path) == 3 for path in after.prior.sigma_history.values())

    listed = run(capsys, "inspect", corpus / "base", "--vocoder", folder, "--json").json["modules"]
    shown = {one["module"]: one["sigma"] ** 2 for one in listed if "sigma" in one}
    assert shown == pytest.approx(after.prior.variances)

    examples = VocoderTarget(load_base(corpus / "base"), SourceFilterVocoder(after), names, 2).examples(
        Manifest.load(corpus / "manifest.jsonl").utterances
    )
    settings = CloneSettings(modules=("vocoder.*",), vocoder_steps=20, crops_per_step=2)

    def farthest(variance: float) -> float:
        narrow = SourceFilterVocoder(after)
        narrow.generator.prior = replace(after.prior, variances=dict.fromkeys(names, variance))  # type: ignore[reportArgumentType]
        voice = clone_examples(load_base(corpus / "base"), examples, settings, vocoder=narrow)
        return max(float(delta.abs().max()) for delta in voice.deltas.values())

    # Twenty steps of .1 that fall to nothing: no parameter goes further than one standard deviation.
    assert 1e-6 < farthest(1e-10) < 1.1e-5 and 1e-3 < farthest(1e-4) < 1.1e-2


def test_a_vocoder_may_be_meta_learned_too(corpus: Path, tmp_path: Path, light: Path) -> None:
    few = {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 2, "outer_solver": "sgd", "outer_lr": 0.5}
    folder = meta_train(sound_recipe(corpus, tmp_path / "run", light, learner="reptile", settings=few, meta_steps=1))
    before, after = load_source_filter(light), load_source_filter(folder)
    assert after.prior is None and not same_weights(before.net, after.net) and same_weights(before.pitch, after.pitch)


def test_faults_of_a_recipe_for_the_vocoder_are_named(corpus: Path, tmp_path: Path, light: Path) -> None:
    with pytest.raises(UsageError, match="the acoustic model and the vocoder in two runs"):
        meta_train(sound_recipe(corpus, tmp_path / "a", light, modules=["*", "vocoder.*"]))
    with pytest.raises(UsageError, match="remove rank from the recipe"):
        meta_train(sound_recipe(corpus, tmp_path / "b", light, rank=2))
    with pytest.raises(UsageError, match="only the light vocoder has modules that can adapt"):
        meta_train(sound_recipe(corpus, tmp_path / "c", light, vocoder="griffin-lim"))
    with pytest.raises(UsageError, match=r"no module matches 'vocoder.nothing'"):
        meta_train(sound_recipe(corpus, tmp_path / "d", light, modules=["vocoder.nothing"]))


def test_a_base_without_a_prior_has_nothing_to_draw(corpus: Path, tmp_path: Path, capsys) -> None:
    arguments = ("inspect", corpus / "base", "--vocoder", "griffin-lim", "--picture", tmp_path / "sigma.png")
    assert run(capsys, *arguments).failed(1, "has no prior", "tts-meta meta-train")
    assert not (tmp_path / "sigma.png").exists()


def test_a_run_that_died_goes_on_to_the_same_base(
    corpus: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, done = MetaLearner.meta_step, []

    def dies(learner: MetaLearner, tasks: Sequence[Task]) -> MetaStepMetrics:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(learner)
        return step(learner, tasks)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaLearner, "meta_step", dies)
        meta_train(recipe(corpus, tmp_path / "run"))
    assert not (tmp_path / "run" / "base").exists()
    meta_train(recipe(corpus, tmp_path / "run"))
    assert files_of(tmp_path / "run" / "base") == files_of(finished / "base")


def test_a_run_out_of_time_leaves_the_base_so_far_and_goes_on(corpus: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match=r"the time is up; .*base holds the base so far, run the same command again"):
        meta_train(recipe(corpus, tmp_path / "run", max_hours=1e-9))
    assert load_base(tmp_path / "run" / "base").state["meta_steps"] == 0
    meta_train(recipe(corpus, tmp_path / "run"))
    assert files_of(tmp_path / "run" / "base") == files_of(finished / "base")


def files_of(base: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in base.iterdir()}


def test_two_processes_find_the_same_base_as_one(corpus: Path, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(dump_config(recipe(corpus, tmp_path / "run")))
    code = f"""import helpers, torch
from tts_meta.config import load_config
from tts_meta.train.meta_train import MetaTrainConfig, meta_train
torch.set_num_threads(1)
meta_train(load_config({str(tmp_path / "recipe.json")!r}, MetaTrainConfig))
"""
    done = under_torchrun(code, tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = load_base(finished / "base"), load_base(tmp_path / "run" / "base")
    assert one.prior is not None and two.prior is not None
    assert two.prior.variances == pytest.approx(one.prior.variances, rel=1e-4)
    start = torch.cat([value.flatten() for value in load_base(corpus / "base").acoustic.parameters()])
    first, second = (torch.cat([value.flatten() for value in base.acoustic.parameters()]) for base in (one, two))
    # Stored in half precision, in which rounding alone moves few weights, and those by one unit.
    assert float((first != start).float().mean()) > 0.9 and float((first != second).float().mean()) < 0.01
    torch.testing.assert_close(second, first, atol=1e-3, rtol=1e-3)


def test_the_path_of_every_sigma_and_what_the_solvers_did_is_logged(finished: Path) -> None:
    events = EventAccumulator(str(finished))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {f"meta/{name}" for name in ("query_before", "query_after", "residual", "stationarity", "skipped")} <= tags
    base = load_base(finished / "base")
    assert base.prior is not None and {f"sigma/{name}" for name in base.prior.variances} <= tags
    assert [event.step for event in events.Scalars("meta/query_after")] == [1, 2, 3]
    assert "figure/sigma" in events.Tags()["images"]


def test_faults_of_a_recipe_are_named(corpus: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TtsMetaError, match=r"holds a run with another configuration \(.*\); choose another output folder"
    ):
        meta_train(recipe(corpus, finished, seed=5))
    with pytest.raises(UsageError, match="no learner 'leo'; learners: sigma-maml"):
        meta_train(recipe(corpus, tmp_path / "a", learner="leo"))
    with pytest.raises(UsageError, match=r"no module matches 'decoder.lstn\*'"):
        meta_train(recipe(corpus, tmp_path / "b", modules=["decoder.lstn*"]))
    with pytest.raises(UsageError, match="no speaker has 9 utterances"):
        meta_train(recipe(corpus, tmp_path / "c", support=8))
    for folder in "ab":
        assert not (tmp_path / folder).exists(), "a fault found before the first step leaves nothing behind"
