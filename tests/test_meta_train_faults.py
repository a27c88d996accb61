"""Meta-training of some modules by any learner, and what ends a run that diverges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from cases import case_folder
from commands import run
from faults import error_line
from helpers import same_weights, tiny_base, tiny_source_filter, tone_corpus
from toy_domains import make_learner, regression_task, spoiled

from tts_meta.config import dump_config, parse_config
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS, Diverged, LearnerSettings, MetaLearner, MetaStepMetrics, Task
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.train.divergence import MAX_LOSS_GROWTH, DivergenceCheck
from tts_meta.train.meta_train import MetaTrainConfig, meta_train

SETTINGS = {"inner_steps": 1, "inner_lr": 1e-6, "variance": 1e-3, "cg_max_iters": 1, "hessian": "difference"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers, a tiny base, a tiny vocoder and, after the first run, the features."""
    folder = tmp_path_factory.mktemp("corpus")
    tone_corpus(folder, utterances=8)
    save_base(tiny_base(), folder / "base")
    save_source_filter(tiny_source_filter(), folder / "vocoder", {"corpus": "tones"})
    return folder


def recipe(corpus: Path, output: Path, **changes: object) -> MetaTrainConfig:
    data = {
        "manifest": corpus / "manifest.jsonl",
        "output": output,
        "cache": corpus / "cache",
        "base": corpus / "base",
        "learner": "sigma-reptile",
        "settings": SETTINGS,
        "support": 2,
        "query": 1,
        "min_seconds": 0.1,
        "frames_per_step": 60,
        "crops_per_step": 1,
        "meta_steps": 1,
    }
    return parse_config(data | changes, MetaTrainConfig, "recipe")


def moved(before: Base, after: Base) -> set[str]:
    one, two = before.acoustic.state_dict(), after.acoustic.state_dict()
    return {name for name, value in one.items() if not torch.equal(value, two[name])}


# Some modules.


def needs(name: str) -> str:
    """The module that a learner cannot do without."""
    return {"head": "postnet.output", "context": "speaker.mean", "all": "duration.output"}[LEARNERS[name].adapts]


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_meta_trains_some_modules(corpus: Path, tmp_path: Path, name: str) -> None:
    settings = SETTINGS | {"outer_lr": 0.01}
    modules = ["duration.convs.0", needs(name)]
    config = recipe(corpus, tmp_path / "run", learner=name, modules=modules, settings=settings)
    before, after = load_base(corpus / "base"), load_base(meta_train(config))
    changed = moved(before, after)
    assert changed and all(parameter.startswith(tuple(modules)) for parameter in changed)
    assert after.prior is None or all(own.startswith(tuple(modules)) for own in after.prior.variances)


@pytest.mark.parametrize("name", [name for name, preset in LEARNERS.items() if preset.adapts != "all"])
def test_a_learner_of_a_role_that_was_not_chosen_says_what_it_needs(corpus: Path, tmp_path: Path, name: str) -> None:
    role = LEARNERS[name].adapts
    named = {"head": "decoder.output.weight, decoder.output.bias, postnet.output.weight, postnet.output.bias"}
    config = recipe(corpus, tmp_path / "run", learner=name, modules=["duration.output"])
    text = error_line(lambda: meta_train(config), UsageError)
    assert text == (
        f"learner '{name}' adapts the {role}, which is {named.get(role, 'speaker.mean')}; none of them is in modules; "
        "add one to modules, or name other modules under roles"
    )
    assert not (tmp_path / "run").exists()
    own = recipe(corpus, tmp_path / "run", learner=name, modules=["duration.output"], roles={role: ["duration"]})
    assert moved(load_base(corpus / "base"), load_base(meta_train(own))) <= {
        "duration.output.weight",
        "duration.output.bias",
    }


def test_roles_that_do_not_exist_are_named(corpus: Path, tmp_path: Path) -> None:
    wrong = recipe(corpus, tmp_path / "a", learner="anil", roles={"head": ["decoder.outputs"]})
    assert "no module matches 'decoder.outputs'" in error_line(lambda: meta_train(wrong), UsageError)
    with pytest.raises(TtsMetaError, match="roles"):
        recipe(corpus, tmp_path / "b", learner="anil", roles={"haed": ["decoder.output"]})
    empty = recipe(corpus, tmp_path / "c", learner="cavia", roles={"context": []})
    text = error_line(lambda: meta_train(empty), UsageError)
    assert text == "learner 'cavia' adapts the context; name its modules under roles: context: [...]"


def test_learners_of_a_role_meta_train_the_vocoder_too(corpus: Path, tmp_path: Path) -> None:
    changes = {"modules": ["vocoder.*"], "vocoder": str(corpus / "vocoder"), "settings": SETTINGS | {"outer_lr": 0.1}}
    folder = meta_train(recipe(corpus, tmp_path / "a", learner="anil", **changes))
    assert not same_weights(load_source_filter(corpus / "vocoder").net, load_source_filter(folder).net)
    other = recipe(corpus, tmp_path / "b", learner="cavia", **changes)
    text = error_line(lambda: meta_train(other), UsageError)
    assert text == "learner 'cavia' adapts the context; name its modules under roles: context: [...]"


def test_the_reported_recipe_trains(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`meta_train_subset`, on a corpus and a base of the tests."""
    data = yaml.safe_load((case_folder("meta_train_subset") / "meta.yaml").read_text())
    here = {"manifest": corpus / "manifest.jsonl", "output": tmp_path / "run", "cache": corpus / "cache"}
    small = {"base": corpus / "base", "support": 2, "query": 1, "min_seconds": 0.1}
    path = tmp_path / "meta.yaml"
    whole = {key: str(value) if isinstance(value, Path) else value for key, value in (data | here | small).items()}
    path.write_text(yaml.safe_dump(whole))
    done = run(capsys, "meta-train", path)
    assert done.status == 0, done.err
    after = load_base(tmp_path / "run" / "base")
    assert after.prior is not None and list(after.prior.variances) == ["speaker.mean"]
    assert moved(load_base(corpus / "base"), after) == {"speaker.mean"}


# Runs that diverge.


@pytest.mark.parametrize("name", ["sigma-reptile", "maml", "finetune-all"])
@pytest.mark.parametrize("meta_steps", [1, 4])
def test_a_huge_learning_rate_ends_with_status_one_and_no_base(
    corpus: Path, tmp_path: Path, name: str, meta_steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = recipe(
        corpus, tmp_path / "run", learner=name, meta_steps=meta_steps, settings=SETTINGS | {"outer_lr": 1e3}
    )
    path = tmp_path / "recipe.json"
    path.write_text(dump_config(config))
    done = run(capsys, "meta-train", path)
    last = done.err.splitlines()[-1]
    assert done.status == 1 and last.startswith("tts-meta: meta-training diverged: ") and "Traceback" not in done.err
    assert "no result was written; lower outer_lr, inner_lr" in last
    assert not (tmp_path / "run" / "base").exists()


def test_a_huge_inner_rate_does_too(corpus: Path, tmp_path: Path) -> None:
    config = recipe(corpus, tmp_path / "run", learner="maml", settings=SETTINGS | {"inner_lr": 10.0}, meta_steps=3)
    assert "meta-training diverged: " in error_line(lambda: meta_train(config), Diverged)
    assert not (tmp_path / "run" / "base").exists()


def test_the_bound_is_that_of_the_first_finite_loss() -> None:
    losses = DivergenceCheck()
    losses.check(1, math.nan, math.nan)
    assert losses.first_loss is None
    losses.check(2, -50.0, -40.0)
    assert losses.first_loss == -50.0
    losses.check(3, 50 * MAX_LOSS_GROWTH, -1e9)  # a density has no bound
    text = error_line(lambda: losses.check(4, 10.0, 50 * MAX_LOSS_GROWTH + 1), Diverged)
    assert text.startswith(
        "meta-training diverged: the query loss of meta-step 4 is 5001 nats, more than 100 times that of the first "
        "meta-step, -50; no result was written"
    )


ENDS = [(0, 1, True), (0, 2, True), (5, 2, False), (5, 3, True), (1, 3, True)]


@pytest.mark.parametrize(("good", "bad", "ends"), ENDS)
def test_a_run_that_ends_without_finite_tasks_has_diverged(good: int, bad: int, ends: bool) -> None:
    learner, task = make_learner("fomaml", LearnerSettings(inner_steps=1, inner_lr=1e-3)), regression_task(0)
    for number in range(good + bad):
        learner.meta_step([task if number < good else spoiled(task, "support")])
    if ends:
        text = error_line(lambda: DivergenceCheck().check_end(learner, [task]), Diverged)
        assert text.startswith(f"meta-training diverged: no task was finite in the last {bad} meta-steps; no result")
    else:
        DivergenceCheck().check_end(learner, [task])


def test_a_run_that_goes_on_remembers_its_first_loss(corpus: Path, tmp_path: Path) -> None:
    done, config = [], recipe(corpus, tmp_path / "run", learner="fomaml", meta_steps=3, save_every=1)
    step = MetaLearner.meta_step

    def dies(learner: MetaLearner, tasks: Sequence[Task]) -> MetaStepMetrics:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(step(learner, tasks))
        return done[-1]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaLearner, "meta_step", dies)
        meta_train(config)
    with pytest.MonkeyPatch.context() as patch:
        larger = 1.01 * MAX_LOSS_GROWTH * done[0].loss_before
        patch.setattr(MetaLearner, "meta_step", lambda *given: replace(step(*given), loss_before=larger))
        assert f"that of the first meta-step, {done[0].loss_before:.4g};" in error_line(
            lambda: meta_train(config), Diverged
        )
