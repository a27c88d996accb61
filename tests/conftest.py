"""Fixtures that every test may use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Result, run, write_base
from helpers import random_voice, tiny_base, tone_corpus
from hypothesis import settings
from meta_train_runs import meta_recipe, write_meta_corpus

from tts_meta.models.pretrained import Base, save_base
from tts_meta.text import HibariPhonemizer, SymbolTable
from tts_meta.train.meta_train import meta_train

# The recipes are not installed. They come last on the path, so that the tests import the installed package.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# Machines that run tests are busy, so the time of a single example is not checked.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Use one thread: tensors of tests are small, and the sums are then equal on all machines."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A tiny random base, also saved to a folder. A test file may define its own fixture instead."""
    base = tiny_base()
    save_base(base, tmp_path_factory.mktemp("base") / "base")
    return base


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random base, for tests of the command line."""
    return write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def voice_files(base: Base, tmp_path: Path) -> list[Path]:
    """Files of two voices of the base."""
    paths = [tmp_path / f"{name}.voice.safetensors" for name in "ab"]
    for number, path in enumerate(paths):
        random_voice(base, number).save(path)
    return paths


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers and, after the first run, the features."""
    folder = tmp_path_factory.mktemp("corpus")
    tone_corpus(folder, utterances=8)
    return folder


@pytest.fixture(scope="session")
def long_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers with nine recordings each, of at least two seconds."""
    return tone_corpus(tmp_path_factory.mktemp("long"), utterances=18, words=8).parent


@pytest.fixture(scope="session")
def meta_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers, a base, a vocoder and, after the first run, the features."""
    return write_meta_corpus(tmp_path_factory.mktemp("meta_corpus"))


@pytest.fixture(scope="session")
def meta_run(meta_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed meta-training run on `meta_corpus`."""
    output = tmp_path_factory.mktemp("meta_run") / "run"
    assert meta_train(meta_recipe(meta_corpus, output)) == output / "base"
    return output


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """A function that runs `tts-meta` with arguments: `run_cli("inspect", "base")`."""
    return lambda *arguments: run(capsys, *arguments)


@pytest.fixture(scope="session")
def hibari() -> HibariPhonemizer:
    """The phonemizer of American English, which takes seconds to load."""
    return HibariPhonemizer()


@pytest.fixture(scope="session")
def hibari_table(hibari: HibariPhonemizer) -> SymbolTable:
    """The symbol table of `hibari`."""
    return SymbolTable.from_alphabet(hibari.alphabet())


@pytest.fixture(scope="session")
def shared_corpus() -> Path:
    """The folder of real recordings next to the repository. Tests that need it are skipped if it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    if not (folder / "manifest.tsv").is_file():
        pytest.skip("needs the recordings of ../shared/corpus, which are not part of the repository")
    return folder
