"""Meta-training of some modules: the recipe keys `modules` and `roles` with every learner."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from cases import case_folder
from commands import run
from faults import error_line
from helpers import same_weights
from meta_train_runs import SHORT, TRAINABLE
from meta_train_runs import short_meta_recipe as recipe

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import LEARNERS
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.source_filter_weights import load_source_filter
from tts_meta.train.meta_train import meta_train

REQUIRED_MODULE = {"head": "postnet.output", "context": "speaker.mean", "all": "duration.output"}
"""A module that a learner requires, by what the learner adapts."""


def changed_parameters(before: Base, after: Base) -> set[str]:
    """Return the names of the acoustic parameters that differ."""
    weights_before, weights_after = before.acoustic.state_dict(), after.acoustic.state_dict()
    return {name for name, value in weights_before.items() if not torch.equal(value, weights_after[name])}


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_learner_changes_only_the_chosen_modules(meta_corpus: Path, tmp_path: Path, name: str) -> None:
    modules = ["duration.convs.0", REQUIRED_MODULE[LEARNERS[name].adapts]]
    settings = SHORT | {"outer_lr": 0.01}
    config = recipe(meta_corpus, tmp_path / "run", learner=name, modules=modules, settings=settings)
    before, after = load_base(meta_corpus / "base"), load_base(meta_train(config))
    changed = changed_parameters(before, after)
    assert changed and all(parameter.startswith(tuple(modules)) for parameter in changed)
    assert after.prior is None or all(module.startswith(tuple(modules)) for module in after.prior.variances)


@pytest.mark.parametrize("name", [name for name in TRAINABLE if LEARNERS[name].adapts != "all"])
def test_a_learner_without_modules_of_its_role_names_the_modules_it_requires(
    meta_corpus: Path, tmp_path: Path, name: str
) -> None:
    role = LEARNERS[name].adapts
    members = {
        "head": "decoder.output.weight, decoder.output.bias, postnet.output.weight, postnet.output.bias",
        "context": "speaker.mean",
    }[role]
    config = recipe(meta_corpus, tmp_path / "run", learner=name, modules=["duration.output"])
    message = error_line(lambda: meta_train(config), UsageError)
    assert message == (
        f"learner '{name}' adapts the {role}, which is {members}; none of them is in modules; "
        "add one to modules, or name other modules under roles"
    )
    assert not (tmp_path / "run").exists()
    roles = {role: ["duration"]}
    config = recipe(meta_corpus, tmp_path / "run", learner=name, modules=["duration.output"], roles=roles)
    changed = changed_parameters(load_base(meta_corpus / "base"), load_base(meta_train(config)))
    assert changed <= {"duration.output.weight", "duration.output.bias"}


def test_a_role_that_is_unknown_empty_or_of_unknown_modules_is_named(meta_corpus: Path, tmp_path: Path) -> None:
    config = recipe(meta_corpus, tmp_path / "a", learner="anil", roles={"head": ["decoder.outputs"]})
    assert "no module matches 'decoder.outputs'" in error_line(lambda: meta_train(config), UsageError)
    with pytest.raises(TtsMetaError, match="roles"):
        recipe(meta_corpus, tmp_path / "b", learner="anil", roles={"haed": ["decoder.output"]})
    empty = recipe(meta_corpus, tmp_path / "c", learner="cavia", roles={"context": []})
    message = error_line(lambda: meta_train(empty), UsageError)
    assert message == "learner 'cavia' adapts the context; name its modules under roles: context: [...]"


def test_the_head_of_the_vocoder_has_modules_and_its_context_requires_roles(meta_corpus: Path, tmp_path: Path) -> None:
    vocoder = meta_corpus / "vocoder"
    changes = {"modules": ["vocoder.*"], "vocoder": str(vocoder), "settings": SHORT | {"outer_lr": 0.1}}
    folder = meta_train(recipe(meta_corpus, tmp_path / "a", learner="anil", **changes))
    assert not same_weights(load_source_filter(vocoder).net, load_source_filter(folder).net)
    config = recipe(meta_corpus, tmp_path / "b", learner="cavia", **changes)
    message = error_line(lambda: meta_train(config), UsageError)
    assert message == "learner 'cavia' adapts the context; name its modules under roles: context: [...]"


def test_the_command_meta_trains_the_speaker_vector_alone(
    meta_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe of the case `meta_train_subset`, with the corpus and the base of the tests."""
    data = yaml.safe_load((case_folder("meta_train_subset") / "meta.yaml").read_text())
    data |= {"manifest": str(meta_corpus / "manifest.jsonl"), "cache": str(meta_corpus / "cache")}
    data |= {"base": str(meta_corpus / "base"), "output": str(tmp_path / "run")}
    data |= {"support": 2, "query": 1, "min_seconds": 0.1}
    path = tmp_path / "meta.yaml"
    path.write_text(yaml.safe_dump(data))
    result = run(capsys, "meta-train", path)
    assert result.status == 0, result.err
    after = load_base(tmp_path / "run" / "base")
    assert after.prior is not None and list(after.prior.variances) == ["speaker.mean"]
    assert changed_parameters(load_base(meta_corpus / "base"), after) == {"speaker.mean"}
