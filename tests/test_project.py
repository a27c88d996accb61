from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "tts_meta").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOADERS = {"find_spec", "import_module", "load_extra", "require"}


TESTED = ("eval", "lora", "multilingual", "vocoder", "test", "dev")
"""Extras that are installed where the tests run."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(lines: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}


def modules_of(tree: ast.AST) -> Iterator[str]:
    """The modules a file imports, at its top, inside functions, or by name through one of LOADERS."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in LOADERS:
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def imported() -> dict[str, set[str]]:
    """Each third-party module the sources import, with the distributions that may provide it."""
    found = {name.split(".")[0] for source in SOURCES for name in modules_of(ast.parse(source.read_text("utf-8")))}
    # Type checkers bring _typeshed; nothing imports it when it runs.
    found -= set(sys.stdlib_module_names) | {"tts_meta", "data_prep", "_typeshed"}
    # Python 3.11 does not see that a compiled file is a module.
    known = {"parselmouth": ["praat-parselmouth"], **packages_distributions()}
    return {module: {normal(name) for name in known.get(module, [module])} for module in found}


def test_every_package_the_code_imports_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    everything = declared(
        [
            *PROJECT["dependencies"],
            *(one for extra in ("eval", "lora", "pesq", "multilingual", "vocoder") for one in extras[extra]),
        ]
    )
    assert [module for module, providers in imported().items() if not providers & everything] == []


def test_every_declared_dependency_is_used() -> None:
    used = set().union(*imported().values()) | {"tensorboard"}  # by torch.utils.tensorboard
    assert declared(PROJECT["dependencies"]) - used == set()


def test_importing_the_package_loads_nothing_heavy_and_says_nothing() -> None:
    heavy = [
        "librosa",
        "resemblyzer",
        "PIL",
        "matplotlib",
        "tensorboard",
        "faster_whisper",
        "distillmos",
        "hibari",
        "transformers",
    ]
    modules = sorted(
        ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for source in SOURCES
        if source.name != "__main__.py"
    )
    code = f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
    code += f"print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_command_line_starts_where_the_project_says() -> None:
    module, function = PROJECT["scripts"]["tts-meta"].split(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_says_what_it_is_and_stays_short(source: Path) -> None:
    text = source.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= (420 if source.name == "vocoder.py" else 400), "holds more than one idea"


def test_ci_installs_by_the_line_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    install = re.search(r"pip install (?:--quiet )?('\.\[test\]')", ci)
    assert install is not None and f"pip install {install[1]}" in readme


def test_the_constraints_pin_every_dependency_within_its_bounds() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    pins = {normal(name): version for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (line for name, extra in project["optional-dependencies"].items() if name in TESTED for line in extra)
    for wanted in map(Requirement, [*project["dependencies"], *extras]):
        if wanted.name != "tts_meta":
            assert wanted.specifier.contains(pins[normal(wanted.name)]), wanted
