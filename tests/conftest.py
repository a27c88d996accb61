"""Fixtures that every test may use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import Result, run
from helpers import tiny_base, tone_corpus
from hypothesis import settings

from tts_meta.models.pretrained import Base, save_base
from tts_meta.text import HibariPhonemizer, SymbolTable

# Recipes are not installed. At the end of the path, so that what is installed is what is tested.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# Machines that run tests are busy ones: how long an example takes says nothing.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Tensors of tests are small: more threads only wait for each other, and sums would differ between machines."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A tiny random base, saved. Tests that want another one define their own."""
    base = tiny_base()
    save_base(base, tmp_path_factory.mktemp("base") / "base")
    return base


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers and, after the first run, the features."""
    folder = tmp_path_factory.mktemp("corpus")
    tone_corpus(folder, utterances=8)
    return folder


@pytest.fixture(scope="session")
def long_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of two speakers with nine recordings each, of two seconds and more."""
    return tone_corpus(tmp_path_factory.mktemp("long"), utterances=18, words=8).parent


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call the program with arguments: `say("inspect", "base")`."""
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
    """The folder of real recordings beside the repository; a test that asks for it is skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    if not (folder / "manifest.tsv").is_file():
        pytest.skip("needs the recordings of ../shared/corpus, which are not part of the repository")
    return folder
