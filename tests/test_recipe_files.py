"""Every recipe file is valid for the command that reads it, also with the changes that scripts make."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from documentation import ROOT, name_of
from recipe_programs import RECIPES, SCRIPTS, RecipeLoaded, commands_of_script, config_of, documented_commands

import data_prep
from tts_meta.cli import app
from tts_meta.config import Section
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.train.meta_train import MetaTrainConfig

CORPORA = ("corpora/vctk", "corpora/libritts")
"""Folders of corpora that scripts read by default."""
COMMAND = re.compile(r"(?:tts-meta|python|bash) .*")
SCRIPT_COMMANDS = sorted(
    {line for line in documented_commands() if line.startswith("bash ")} | {f"bash {name_of(path)}" for path in SCRIPTS}
)


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the root folder of the repository, because the paths of recipes are relative to it."""
    monkeypatch.chdir(ROOT)


def calls_of(command: str, folder: Path) -> list[list[str]]:
    """The calls of a script; `command` is `bash SCRIPT ARGUMENTS`."""
    _, script, *arguments = shlex.split(command)
    pretrained = folder / "runs" / "librispeech_mini" / "pretrain" / "base"  # a result of a command that does not run
    pretrained.mkdir(parents=True)
    for corpus in (*CORPORA, *(value for option, value in pairwise(arguments) if option == "--corpus")):
        (folder / corpus).mkdir(parents=True, exist_ok=True)
    return commands_of_script(ROOT / script, arguments, folder)


def check_split(words: list[str]) -> None:
    """Check the options of `tts-meta split`, whose manifest does not exist."""
    with pytest.raises(UsageError, match=r"manifest\.jsonl is not a file"):
        app.run(words[1:])


def corpus_of(words: list[str]) -> str:
    """The corpus that `tts-meta prepare` would read; it reads and writes nothing."""
    corpora = list[str]()

    def prepare(corpus: str, *arguments: object) -> None:
        corpora.append(corpus)
        raise RecipeLoaded("the arguments are valid")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RecipeLoaded):
        patch.setattr(data_prep, "prepare_corpus", prepare)
        app.run(words[1:])
    return corpora[0]


def configs_of(command: str, folder: Path) -> list[tuple[Path, Section]]:
    """The recipes that a script uses, each with its configuration, in the order of the calls."""
    calls = calls_of(command, folder)
    return [config_of(words) for words in calls if any(word.endswith(".yaml") for word in words)]


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_the_command_in_the_first_line_of_a_recipe_loads_it(recipe: Path, tmp_path: Path) -> None:
    command = COMMAND.search(recipe.read_text("utf-8").splitlines()[0])
    assert command is not None
    if command[0].startswith("bash"):
        loaded = [path for path, _ in configs_of(command[0], tmp_path)]
    else:
        loaded = [config_of(shlex.split(command[0]))[0]]
    assert recipe in [(ROOT / path).resolve() for path in loaded]


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("command", SCRIPT_COMMANDS)
def test_every_call_of_a_script_is_valid_and_has_its_own_output(command: str, tmp_path: Path) -> None:
    outputs, bases = list[Path](), set[Path]()
    for words in calls_of(command, tmp_path):
        if words[:2] == ["tts-meta", "prepare"]:
            assert corpus_of(words) in data_prep.CORPORA
            continue
        if words[:2] == ["tts-meta", "split"]:
            check_split(words)
            continue
        config: Any = config_of(words)[1]
        used = {config.base, *(method.base for method in getattr(config, "learners", {}).values())}
        if "--stage" not in command:  # otherwise an earlier command makes the base
            assert {base for base in used if isinstance(base, Path)} <= bases
        outputs.append(config.output)
        bases.add(config.output / "base")
    assert (outputs or "--stop-stage" in command) and len(outputs) == len(set(outputs))


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["tts-meta", "meta-train", "recipes/few_shot/preset.yaml", "--set", "longest=8.0"], "longest"),
        (["tts-meta", "pretrain", "recipes/librispeech_mini/ablation.yaml", "--set", "ema=0"], "ema"),
        (["python", "-m", "recipes.few_shot.prune", "recipes/few_shot/prune.yaml", "--set", "seconds=1"], "seconds"),
        (["python", "-m", "recipes.sinusoid", "steps=1"], "steps"),
    ],
)
def test_an_unknown_key_is_an_error_of_the_command_that_loads_the_recipe(words: list[str], key: str) -> None:
    with pytest.raises(TtsMetaError, match=f"unknown key '{key}'"):
        config_of(words)


def meta_training_commands(folder: Path) -> list[list[str]]:
    """`tts-meta meta-train` with every recipe for it, and with the changes of every script."""
    calls = [call for command in SCRIPT_COMMANDS for call in calls_of(command, folder / command.replace("/", "-"))]
    for recipe in RECIPES:
        command = COMMAND.search(recipe.read_text("utf-8").splitlines()[0])
        calls += [shlex.split(command[0])] if command else []
    return [words for words in calls if words[:2] == ["tts-meta", "meta-train"]]


@pytest.mark.usefixtures("at_root")
def test_every_recipe_of_meta_training_takes_a_step(meta_corpus: Path, tmp_path: Path) -> None:
    small: dict[str, object] = {
        **{"manifest": meta_corpus / "manifest.jsonl", "cache": meta_corpus / "cache", "base": meta_corpus / "base"},
        **{"splits": "[train]", "held_out_speakers": "[]", "min_seconds": 0.1, "support": 1, "query": 1},
        **{"meta_steps": 1, "tasks": 1, "frames_per_step": 60, "crops_per_step": 1, "settings.inner_steps": 2},
    }
    taken = []
    for number, words in enumerate(meta_training_commands(tmp_path)):
        config = config_of(words)[1]
        assert isinstance(config, MetaTrainConfig)
        changes = small | {"output": tmp_path / str(number)}
        changes |= {"rank": 2} if config.rank else {}
        changes |= {"vocoder": meta_corpus / "vocoder"} if config.vocoder else {}
        app.run([*words[1:], *(f"--set={key}={value}" for key, value in changes.items())])
        taken.append(config.learner)
    assert len(taken) >= 10 and set(taken) >= {"sigma-reptile", "imaml", "reptile", "maml", "fomaml", "anil", "cavia"}
