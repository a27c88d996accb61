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


INSTALLED_EXTRAS = ("corpora", "eval", "lora", "multilingual", "vocoder", "test", "dev")
"""Extras that are installed where the tests run."""
FILES = sorted(
    path for folder in ("tts_meta", "data_prep", "recipes", "tests") for path in (ROOT / folder).rglob("*.py")
)
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60
LONG_FUNCTIONS = {
    "tts_meta/cli/clone.py:clone": "the options of the command and their help texts",
    "tts_meta/cli/clone_speakers.py:clone_speakers": "the options of the command and their help texts",
    "tts_meta/cli/evaluate.py:evaluate": "the options of the command and their help texts",
    "tts_meta/cli/inspect.py:inspect": "the options of the command and their help texts",
    "tts_meta/cli/prepare.py:prepare": "the options of the command and their help texts",
    "tts_meta/cli/split.py:split": "the options of the command and their help texts",
    "tts_meta/cli/speak.py:speak": "the options of the command and their help texts",
    "tts_meta/train/loop.py:fit": "one plain loop from the first step to the last checkpoint",
}
"""Functions that may exceed `MAX_FUNCTION_LINES`, each with the reason."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(lines: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}


def modules_of(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a file imports, at any place, or loads by name with one of LOADERS."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in LOADERS:
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def imported() -> dict[str, set[str]]:
    """Return the third-party modules that the sources import, each with the distributions that can provide it."""
    modules = {name.split(".")[0] for source in SOURCES for name in modules_of(ast.parse(source.read_text("utf-8")))}
    # _typeshed exists only for type checkers.
    modules -= set(sys.stdlib_module_names) | {"tts_meta", "data_prep", "_typeshed"}
    # Python 3.11 does not recognise a compiled file as a module.
    known = {"parselmouth": ["praat-parselmouth"], **packages_distributions()}
    return {module: {normal(name) for name in known.get(module, [module])} for module in modules}


def test_every_package_the_code_imports_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    everything = declared(
        [
            *PROJECT["dependencies"],
            *(
                requirement
                for extra in ("cluster", "corpora", "eval", "lora", "pesq", "multilingual", "vocoder")
                for requirement in extras[extra]
            ),
        ]
    )
    assert [module for module, providers in imported().items() if not providers & everything] == []


def test_every_declared_dependency_is_used() -> None:
    used = set().union(*imported().values()) | {"tensorboard"}  # by torch.utils.tensorboard
    assert declared(PROJECT["dependencies"]) - used == set()


def test_importing_all_modules_prints_nothing_and_loads_no_large_library() -> None:
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


def test_the_entry_point_of_the_command_line_exists() -> None:
    module, function = PROJECT["scripts"]["tts-meta"].split(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("source", SOURCES, ids=relative)
def test_every_module_of_the_package_has_a_docstring(source: Path) -> None:
    assert ast.get_docstring(ast.parse(source.read_text("utf-8")))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    text, name = path.read_text("utf-8"), relative(path)
    assert len(text.splitlines()) <= MAX_FILE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    too_long = [function for function, lines in lengths.items() if lines > MAX_FUNCTION_LINES]
    assert [function for function in too_long if f"{name}:{function}" not in LONG_FUNCTIONS] == []


def test_every_exception_to_the_limits_exists() -> None:
    names = [name.partition(":")[0] for name in LONG_FUNCTIONS]
    assert [name for name in names if not (ROOT / name).is_file()] == []


def test_ci_uses_the_install_command_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    install = re.search(r"pip install (?:--quiet )?('\.\[test\]')", ci)
    assert install is not None and f"pip install {install[1]}" in readme


def test_the_constraints_pin_every_dependency_within_its_bounds() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    pins = {normal(name): version for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (
        line for name, extra in project["optional-dependencies"].items() if name in INSTALLED_EXTRAS for line in extra
    )
    for wanted in map(Requirement, [*project["dependencies"], *extras]):
        if wanted.name != "tts_meta":
            assert wanted.specifier.contains(pins[normal(wanted.name)]), wanted
