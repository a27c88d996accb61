"""The documentation holds: its code blocks run, its links lead somewhere, its README is short.

Shell commands run in one folder with small recordings and a tiny base in place of the shipped one. Training recipes of
`recipes/own_corpus` run at miniature size. Commands of other recipes need a corpus that is not part of the repository:
they run until the manifest is read, so that a wrong option, path or setting fails. A command without a recipe that
needs this corpus or its runs must fail with the path that is missing. Programs of recipes run in
test_recipe_programs.py, and scripts in test_recipe_files.py.
"""

from __future__ import annotations

import glob
import importlib
import importlib.util
import json
import re
import shlex
import warnings
from pathlib import Path

import pytest
from commands import run
from documentation import PAGES, ROOT, Block, anchors, blocks, commands, links, name_of, prose
from helpers import RATE, tiny_config, tiny_english_base, tone_sentence, tone_speech
from recipe_programs import documented_commands, runs_recipe

from tts_meta.audio import write_wav
from tts_meta.cli.reference import cli_reference
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.cloning import CloningBenchmark
from tts_meta.meta import LEARNERS
from tts_meta.models.pretrained import save_base

LANGUAGES = {"sh", "python", "json", "yaml", "text"}
INSTALLS = ("python3.11 -m venv", "pip install", ".venv/bin/pip install", "source .venv/bin/activate")
"""Beginnings of commands that `.ci/run` checks: it installs the project into a fresh environment."""
TOOLS = {"ruff", "pyright", "lint-imports", "tensorboard", "aplay", "yes", "head"}
"""Programs that are not part of this project."""
READ = "the manifest is read"
BASE_READERS = ("tts_meta.models.pretrained.shipped_base", "tts_meta.synth.synthesizer.shipped_base")
API = ROOT / "docs" / "python-api.md"
"""Its blocks run in tests/test_docs_python_api.py, which also compares what they print."""
SHIPPED = ROOT / "checkpoints" / "base"
TINY = {
    "pretrain": {
        "base": tiny_config(phonemizer="hibari").model_dump(mode="json"),
        "aligner": {"steps": 2, "frames_per_batch": 400, "learning_rate": 2e-3, "warmup": 1},
        "acoustic": {"steps": 2, "frames_per_batch": 300, "learning_rate": 2e-3, "warmup": 1},
        "precision": "float32",
        "threads": 1,
    },
    "meta-train": {
        **{"support": 1, "query": 1, "meta_steps": 1, "tasks": 1, "rank": 2, "threads": 1, "max_seconds": 20},
        **{"settings.inner_steps": 2, "settings.cg_max_iters": 1},
    },
}
"""Settings that make the recipes of `recipes/own_corpus` small."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in: recordings, a small corpus, the repository's folders, a tiny shipped base."""
    for number in range(12):
        speaker = tmp_path / "my_corpus" / ("ann", "ben")[number % 2]
        _write_recording(speaker / f"{number}.wav", number, ".txt")
    for number in range(3):
        _write_recording(tmp_path / "me" / f"{number}.wav", number, ".txt")
        _write_recording(tmp_path / "labelled_corpus" / f"ann_{number}.wav", number, ".lab")
    for number, name in enumerate(("one.wav", "two.wav")):
        _write_recording(tmp_path / name, number, ".txt")
    (tmp_path / "names.txt").write_text("Nguyen wˈɪn\nSiobhan shivawn\n")
    (tmp_path / "words.txt").write_text("the quick brown fox\n")
    (tmp_path / "chapter.txt").write_text("A boat. Another boat.\n")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    for name in ("recipes", "checkpoints", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    base = tiny_english_base()
    save_base(base, tmp_path / "base")
    for name in BASE_READERS:
        monkeypatch.setattr(name, lambda: tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write_recording(audio: Path, seed: int, suffix: str) -> None:
    audio.parent.mkdir(parents=True, exist_ok=True)
    text = tone_sentence(seed, 8)
    write_wav(audio, tone_speech(text, seed)[0], RATE)
    audio.with_suffix(suffix).write_text(text + "\n")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_and_heading(page: Path) -> None:
    for target in links(page):
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_code_block_of_a_page_is_fenced_with_its_language(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    indented = re.findall(r"\n\n    (?![-*|\d ])(\S.*)\n", prose(page))
    assert indented == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(
        re.findall(r"`((?:tts_meta|data_prep|recipes|tests|docs|checkpoints)/[\w./-]+)`", page.read_text("utf-8"))
    )
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_is_short_and_its_file_tree_exists() -> None:
    page = ROOT / "README.md"
    assert len(page.read_text("utf-8").splitlines()) <= 150
    tree = blocks(page, "text")[0].text
    package = {line.split("/")[0].strip() for line in tree.splitlines() if line.startswith("  ")} - {""}
    folders = {path.name for path in (ROOT / "tts_meta").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert package == folders
    for line in tree.splitlines():
        if not line.startswith(" "):
            assert (ROOT / line.split("/")[0]).is_dir(), line


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / target).resolve() for target in links(index)}
    assert {page for page in PAGES if page.parent == index.parent} - {index} <= listed
    assert {page for page in PAGES if page.name == "README.md" and page.parent.parent == ROOT / "recipes"} <= listed


def test_the_page_of_verbs_is_the_current_help() -> None:
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == cli_reference()


def test_a_manifest_line_of_the_formats_is_one() -> None:
    for block in blocks(ROOT / "docs" / "formats.md", "json"):
        assert {"id", "speaker", "audio", "seconds", "text"} <= json.loads(block.text).keys()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python") and page != API], ids=name_of)
def test_the_python_blocks_of_a_page_run_in_order(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import data_prep
    from tts_meta.evaluate import scores

    monkeypatch.setattr(importlib.import_module("tts_meta.adapt.learner_choice"), "NO_PRIOR_STEPS", 5)
    for registry in (data_prep.CORPORA, scores.METRICS, LEARNERS):
        for name in ("labelled", "peak", "output-bias"):
            monkeypatch.setitem(registry, name, None)
            del registry[name]
    names: dict[str, object] = {"__name__": "documentation"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the recordings are tones, not speech
        for block in blocks(page, "python"):
            exec(compile(block.text, name_of(page), "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=name_of)
def test_the_shell_blocks_of_a_page_run(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.import_module("tts_meta.adapt.learner_choice"), "NO_PRIOR_STEPS", 5)
    for block in blocks(page, "sh"):
        for words in commands(block):
            _run_command(words, block, monkeypatch, capsys)


def _run_command(
    words: list[str], block: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run a command as far as this test can: see the top of the file."""
    line = " ".join(words)
    words = words[: words.index(">")] if ">" in words else words
    while "=" in words[0] or words[0] in ("/usr/bin/time", "-v"):
        words = words[1:]
    if line.startswith(INSTALLS) or words[0] in TOOLS:
        return
    if words[0] == "torchrun":
        words = ["tts-meta", *words[words.index("tts_meta.cli") + 1 :]]
    program = words[0].removeprefix(".venv/bin/")
    if program == "tts-meta":
        _run_verb(words[1:], line, monkeypatch, capsys)
    elif runs_recipe(words):
        assert shlex.join(words) in documented_commands(), line
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), line
    elif program in ("pytest", "cat"):
        files = [Path(word) for word in words[1:] if word.endswith((".py", ".txt"))]
        assert all(file.exists() for file in files), line
        pattern = words[words.index("-k") + 1] if "-k" in words else ""
        assert not pattern or any(re.search(rf"def test_\w*{pattern}", file.read_text("utf-8")) for file in files), line
    else:
        pytest.fail(f"{name_of(block.page)}: no rule says how to run '{line}'")


def _run_verb(words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    missing = [word for word in words if word.startswith(("../shared/corpus", "runs/librispeech_mini/"))]
    if missing and not any(word.endswith(".yaml") for word in words):
        result = run(capsys, *words)
        assert result.failed(result.status, missing[0].removeprefix("../")), (line, result.err)
        return
    replaced = {"cuda": "cpu", "150": "3"}  # no GPU, and few inner steps
    arguments = [replaced.get(word, word) for word in words]
    arguments = [
        path for word in arguments for path in (sorted(glob.glob(word)) or [word] if "*.wav" in word else [word])
    ]
    recipes = [word for word in arguments if word.endswith(".yaml")]
    if not recipes or recipes[0].startswith("recipes/own_corpus/"):
        changes = TINY.get(arguments[0], {}) if recipes else {}
        arguments += [part for key, value in changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]
        if arguments[0] in ("clone", "prepare") or "-o" in arguments:
            arguments.append("--force")
        result = run(capsys, *arguments)
        assert result.status == 0, (line, result.err)
        return
    for recipe in recipes:
        assert (ROOT / recipe).exists(), line

    def stop(*positional: object, **named: object) -> None:
        raise TtsMetaError(READ)

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "load", stop)
        patch.setattr(CloningBenchmark, "scorer", lambda *arguments: None)  # no model is needed before the manifest
        for name in BASE_READERS:
            patch.setattr(name, lambda: SHIPPED)
        result = run(capsys, *arguments)
    assert result.failed(1, READ), (line, result.err)
