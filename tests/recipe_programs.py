"""Programs of recipes in tests: the configuration that a command loads, and the commands that a script runs."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from documentation import PAGES, ROOT, blocks, commands

import tts_meta.config
from recipes import recipe_io
from tts_meta.cli import app
from tts_meta.config import Section
from tts_meta.errors import TtsMetaError

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
SCRIPTS = sorted((ROOT / "recipes").rglob("*.sh"))
PROGRAMS = sorted(path for path in (ROOT / "recipes").rglob("*.py") if 'if __name__ == "__main__"' in path.read_text())
SHARED = ("stages.bash", "small.txt")
"""Files of the folder `recipes` that several scripts read."""
STUBS = ("tts-meta", "python", "torchrun")
"""Programs that `commands_of_script` replaces."""
_STUB = """#!/usr/bin/env bash
{ printf '%s\\0' "$(basename "$0")" "$@"; printf '\\n'; } >> "$RECORDED"
"""
_INLINE = re.compile(r"`((?:python|bash) [^`\n]*(?:recipes|tests)[./][^`\n]*)`")


class RecipeLoaded(TtsMetaError):
    """Raised in place of the work of a command after its recipe is loaded."""


def documented_commands() -> list[str]:
    """Return the commands of all pages, in code blocks and in the text, that run a program or script of this project.

    Commands of `tts-meta` are not among them, nor modules of the package.
    """
    found = set[str]()
    for page in PAGES:
        lines = [shlex.join(words) for block in blocks(page, "sh") for words in commands(block)]
        found |= {line for line in lines if runs_recipe(shlex.split(line))}
        inline = [shlex.join(shlex.split(line)) for line in _INLINE.findall(page.read_text("utf-8"))]
        found |= {line for line in inline if runs_recipe(shlex.split(line))}
    return sorted(found)


def runs_recipe(words: Sequence[str]) -> bool:
    """Return whether a command runs a program or a script of `recipes` or `tests`."""
    if words[:2] == ["python", "-m"]:
        return words[2].startswith("recipes.")
    return words[0] == "bash" or (words[0] == "python" and words[1].endswith(".py"))


def program_of(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the path of the program that `python -m MODULE ...` or `python FILE ...` runs, and its arguments."""
    if words[1] != "-m":
        return words[1], list(words[2:])
    path = Path(*words[2].split("."))
    path = path / "__main__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
    return path.as_posix(), list(words[3:])


def load_program(path: str, patch: pytest.MonkeyPatch) -> ModuleType:
    """Import a program by its path in the repository, as its command does."""
    if path.startswith("recipes/meta_cost/") or path.startswith("tests/"):  # these import files of their own folder
        patch.syspath_prepend(ROOT / Path(path).parent)
        return importlib.import_module(Path(path).stem)
    return importlib.import_module(path.removesuffix(".py").replace("/", "."))


def config_of(words: Sequence[str]) -> tuple[Path, Section]:
    """Run a command until its recipe is loaded; return the path of the recipe, and the configuration.

    The command itself chooses the class of the configuration. The words begin with `tts-meta` or `python`. Raises the
    errors of the command.
    """
    loaded: list[tuple[Path, Section]] = []
    load_config: Callable[..., Section] = tts_meta.config.load_config

    def load(path: Path, section: type[Section], changes: Sequence[str] = ()) -> Section:
        loaded.append((Path(path), load_config(path, section, changes)))
        raise RecipeLoaded(f"{path} is loaded")

    with pytest.MonkeyPatch.context() as patch:
        # The program is imported first. Otherwise it would keep the replaced function after the test.
        program = None if words[0] == "tts-meta" else load_program(program_of(words)[0], patch)
        patch.setattr(tts_meta.config, "load_config", load)
        patch.setattr(recipe_io, "load_config", load)
        if program is None:
            action = lambda: app.run(words[1:])  # noqa: E731
        else:
            path, arguments = program_of(words)
            if hasattr(program, "load_config"):
                patch.setattr(program, "load_config", load)
            patch.setattr(sys, "argv", [path, *arguments])
            action = program.main
        with pytest.raises(RecipeLoaded):
            action()
    return loaded[0]


def commands_of_script(script: Path, arguments: Sequence[str], folder: Path) -> list[list[str]]:
    """Run a copy of a script in `folder`, with stubs of the programs that it calls; return the words of their calls.

    A call of `torchrun` has the words of the command that it runs in each process.
    """
    in_repository = script.relative_to(ROOT)
    copy, stubs, recorded = folder / in_repository, folder / "stubs", folder / "recorded"
    for path in (copy.parent, stubs, folder / "checkpoints"):
        path.mkdir(parents=True, exist_ok=True)
    shutil.copy(script, copy)
    for shared in SHARED:
        shutil.copy(ROOT / "recipes" / shared, folder / "recipes")
    recorded.touch()
    for name in STUBS:
        (stubs / name).write_text(_STUB)
        (stubs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{stubs}:{os.environ['PATH']}", "RECORDED": str(recorded)}
    subprocess.run(["bash", in_repository.as_posix(), *arguments], check=True, env=environment, cwd=folder)
    calls = [line.split("\0")[:-1] for line in recorded.read_text().splitlines()]
    return [
        ["tts-meta", *words[words.index("tts_meta.cli") + 1 :]] if words[0] == "torchrun" else words for words in calls
    ]
