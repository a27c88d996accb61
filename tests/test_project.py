from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "tts_meta").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# Declared for what a dependency needs of it, not imported here.
NOT_IMPORTED = {"scipy", "webrtcvad-wheels", "soxr"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(lines: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}


def imported() -> set[str]:
    """The distributions whose modules the sources import, at any depth."""
    modules: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.split(".")[0])
    modules -= set(sys.stdlib_module_names) | {"tts_meta", "data_prep"}
    known = packages_distributions()
    return {normal(known[module][0]) if module in known else normal(module) for module in modules}


def test_every_package_the_code_imports_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    everything = declared([*PROJECT["dependencies"], *extras["eval"], *extras["multilingual"]])
    assert imported() - everything == set()


def test_every_declared_dependency_is_used() -> None:
    assert declared(PROJECT["dependencies"]) - imported() - NOT_IMPORTED == set()


def test_importing_the_package_loads_nothing_heavy_and_says_nothing() -> None:
    heavy = ["librosa", "resemblyzer", "PIL", "tensorboard", "faster_whisper", "distillmos", "hibari", "transformers"]
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
    assert len(text.splitlines()) <= 400, "holds more than one idea"


def test_ci_installs_by_the_line_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    install = re.search(r"pip install (?:--quiet )?('\.\[test\]')", ci)
    assert install is not None and f"pip install {install[1]}" in readme
