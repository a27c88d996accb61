"""Every program of the recipes runs at miniature size, with the arguments of every documented command."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from documentation import ROOT, name_of
from recipe_programs import PROGRAMS, config_of, documented_commands, load_program, program_of
from small_programs import BASE_READERS, SMALL, TESTED, write_place

COMMANDS = [shlex.split(line) for line in documented_commands() if not line.startswith("bash ")]
DOCUMENTED = {program_of(words)[0] for words in COMMANDS}
PRINTED = {
    "recipes/discovery/convergence.py": r"\*\*σ has not converged(.|\n)*\| 0\.3 \| 0 \| 6 \|",
    "recipes/discovery/effects.py": r"(\d+) of \1 modules matter(.|\n)*σ from 0\.3: gain",
    "recipes/discovery/objective.py": r"\| 0\.1 \| [+-]?\d",
    "recipes/few_shot/clone_speed.py": r"\| ls1580, seed 0 \| \d(.|\n)*\| ratio \| \d",
    "recipes/few_shot/cost.py": r"\| what `clone` adapts, rank 16 \| \d",
    "recipes/few_shot/figures.py": r"^$",
    "recipes/few_shot/forecast.py": r"\| 80% \| \d+% \|",
    "recipes/few_shot/overfitting.py": r"\| voice, 1 sentence, 1 step \| \d+ \| \d",
    "recipes/few_shot/prune.py": r"\| σ: 1, 1 step \| 0\.\d",
    "recipes/few_shot/tables.py": r"^$",
    "recipes/librispeech_mini/alignment.py": r"Planted faults(.|\n)*Pauses, speakers of `train_noisy`",
    "recipes/librispeech_mini/recording_faults.py": r"\| hum 10 dB below the speech \| 1 \| 1 \| 1 \|",
    "recipes/librispeech_mini/slicing.py": r"\| known, aligner \| 4 \| 4 \| 4 \(100 %\) \| 0 \| 0\.0 \|",
    "recipes/librispeech_mini/speed.py": r"\| (light|float32) \| \d",
    "recipes/librispeech_mini/vocoder_adaptation.py": r"\| its prior, 1 σ² \| \d",
    "recipes/librispeech_mini/vocoders.py": r"\| runs/librispeech_mini/meta_vocoder/vocoder \| -?\d",
    "recipes/linear_gaussian/__main__.py": r"\| sigma-imaml \| \d",
    "recipes/memory.py": r"growth after the first 2 sentences: [+-]",
    "recipes/meta_cost/cost.py": r"\| maml \| -?\d",
    "recipes/meta_cost/curvature.py": r"\| gauss-newton, solved, diagonal preconditioner \| \d",
    "recipes/meta_cost/likelihoods.py": r"\| student-t 3 \| -?\d(.|\n)*\| student-t 3 \| [+-]\d",
    "recipes/meta_cost/speech_tasks.py": r"fomaml: \d+\.\d+ times as fast",
    "recipes/one_module/__main__.py": r"\| sigma-imaml \| \d",
    "recipes/scale_account.py": r"\| 3 pretrain \| \d(.|\n)*\| all \| \d",
    "recipes/scale_measure.py": r"scale_measurements\.json: 15 figures",
    "recipes/speaker_verification/train.py": r"equal error rate of the validation speakers(.|\n)*encoder: runs/",
    "recipes/speaker_verification/verification.py": r"\| small \(2\) \| ECAPA, centred \| \d",
    "tests/fuzzing.py": r" readers, 0 faults\n$",
}
"""What a run prints, by program, as a regular expression."""
REWRITERS = ("recipes/few_shot/figures.py", "recipes/few_shot/tables.py")
"""Programs that rewrite their own folder; they have their own test."""
RUNS = [words for words in COMMANDS if program_of(words)[0] in SMALL.keys() - REWRITERS]
RUNS += [["python", path] for path in SMALL.keys() - DOCUMENTED - {*REWRITERS}]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def at_work(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in the working folder of `write_place`, with its base as the shipped one."""
    for name in BASE_READERS:
        monkeypatch.setattr(name, lambda: work / "base")
    monkeypatch.chdir(work)
    return work


def test_every_program_of_the_recipes_and_of_the_documentation_has_a_miniature_run() -> None:
    assert {name_of(path) for path in PROGRAMS} | DOCUMENTED == {*SMALL, *TESTED}
    assert not SMALL.keys() & TESTED.keys()


def run_program(words: list[str], patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the program of a documented command at miniature size, and check what it prints."""
    words = ["runs/librispeech_mini/meta_vocoder/vocoder" if word == "PATH" else word for word in words]
    path, arguments = program_of(words)
    program = load_program(path, patch)
    if any(word == "--set" or word.endswith(".yaml") for word in arguments):
        config_of(words)  # with all documented settings, before they are made small
    patch.setattr(sys, "argv", [path, *arguments, *SMALL[path](program, patch)])
    patch.setattr(torch, "set_num_threads", lambda count: None)  # tests use one thread
    assert not program.main()
    assert re.search(PRINTED[path], capsys.readouterr().out)


@pytest.mark.skipif(sys.platform != "linux", reason="some programs read /proc")
@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize("words", RUNS, ids=shlex.join)
def test_a_program_runs_with_the_documented_arguments(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_program(words, monkeypatch, capsys)


def test_the_published_tables_and_figures_are_written_again(
    at_work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = at_work / "recipes" / "few_shot"
    figures = [folder / name for name in ("curves.png", "reliability.png")]
    for figure in figures:
        figure.unlink()
    published, program = (folder / "tables.md").read_text("utf-8"), load_program(REWRITERS[1], monkeypatch)
    generated = published.split(program.START)[1].split(program.END)[0]
    (folder / "tables.md").write_text(published.replace(generated, ""), "utf-8")
    run_program(["python", "-m", "recipes.few_shot.tables"], monkeypatch, capsys)
    assert (folder / "tables.md").read_text("utf-8") == published
    run_program(["python", "-m", "recipes.few_shot.figures"], monkeypatch, capsys)
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)


@pytest.mark.parametrize("path", TESTED)
def test_another_test_runs_the_program(path: str) -> None:
    assert not any(program_of(words)[1] for words in COMMANDS if program_of(words)[0] == path)
    module = path.removesuffix(".py").replace("/", ".")
    tree = ast.parse((ROOT / "tests" / TESTED[path]).read_text("utf-8"))
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert module in imported or f"{module}.main" in imported
    assert {"main", f"{Path(path).stem}.main"} & calls
