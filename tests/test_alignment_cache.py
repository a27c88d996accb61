"""The cache of alignments: what its key depends on, damaged entries, and several processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_example, tiny_base
from meta_train_runs import meta_recipe
from numpy.typing import NDArray
from processes import in_two_processes
from torch import Tensor

from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError
from tts_meta.models.aligner import Aligner
from tts_meta.models.alignment_cache import AlignmentCache, alignment_key
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.train.datasets import align_example
from tts_meta.train.meta_train import meta_train

Array = NDArray[np.float64]


@pytest.fixture
def example(base: Base) -> Example:
    return random_example(base, "abc, defg hab", 3)


@pytest.fixture
def alignments(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that the aligner has aligned since the start of the test."""
    names, align = list[str](), Aligner.align

    def counted(self: Aligner, mel: Tensor, tokens: Tensor, kinds: Any, name: str = "recording") -> Any:
        names.append(name)
        return align(self, mel, tokens, kinds, name)

    monkeypatch.setattr(Aligner, "align", counted)
    return names


def assert_same(actual: tuple[Tensor, Any], expected: tuple[Tensor, Any]) -> None:
    assert torch.equal(actual[0], expected[0]) and torch.equal(actual[1].durations, expected[1].durations)
    assert actual[1].durations.dtype == torch.int64 and actual[1].score == expected[1].score


def test_the_second_alignment_is_read_and_equals_the_first(
    base: Base, example: Example, alignments: list[str], tmp_path: Path
) -> None:
    expected = base.align(example.mel, example.tokens)
    assert_same(AlignmentCache(tmp_path, base).align(example.mel, example.tokens), expected)
    assert len(alignments) == 2
    again = tiny_base()  # an equal base in another object
    assert_same(AlignmentCache(tmp_path, again).align(example.mel.clone(), example.tokens, "other"), expected)
    assert len(alignments) == 2


def other_weights(base: Base, name: str) -> Base:
    other = tiny_base()
    other.aligner.load_state_dict(base.aligner.state_dict())
    with torch.no_grad():
        other.aligner.state_dict()[name].add_(1e-3)
    return other


@pytest.mark.parametrize("name", ["input.weight", "lstm.bias_hh_l0_reverse", "log_prior"])
def test_other_weights_of_the_aligner_have_another_folder(base: Base, name: str, tmp_path: Path) -> None:
    folder = AlignmentCache(tmp_path, base).store.folder
    assert AlignmentCache(tmp_path, other_weights(base, name)).store.folder != folder


def test_other_weights_of_the_acoustic_model_have_the_same_folder(base: Base, tmp_path: Path) -> None:
    other = tiny_base()
    with torch.no_grad():
        other.acoustic.mel_log_scale.add_(1)
    assert AlignmentCache(tmp_path, other).store.folder == AlignmentCache(tmp_path, base).store.folder


@pytest.mark.parametrize(
    "change",
    [
        lambda mel, tokens: (mel + 1e-4, tokens),
        lambda mel, tokens: (mel[:-1], tokens),
        lambda mel, tokens: (mel, tokens.flip(0)),
        lambda mel, tokens: (mel.reshape(2, -1), tokens),
    ],
    ids=["mel", "length", "tokens", "shape"],
)
def test_another_recording_or_transcript_has_another_key(
    example: Example, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> None:
    mel = example.mel[: len(example.mel) // 2 * 2]
    assert alignment_key(*change(mel, example.tokens)) != alignment_key(mel, example.tokens)


def test_another_version_of_the_method_has_another_folder(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = AlignmentCache(tmp_path, base).store.folder
    monkeypatch.setattr("tts_meta.models.alignment_cache.VERSION", 2)
    assert AlignmentCache(tmp_path, base).store.folder != folder


DAMAGES: dict[str, Callable[[Array], Array]] = {
    "negative": lambda values: np.concatenate([values[:-2], [-1.0, values[-2] + values[-1] + 1]]),
    "sum": lambda values: values + 1,
    "symbols": lambda values: np.concatenate([values, [0.0]]),
    "fraction": lambda values: np.concatenate([values[:-2], values[-2:] + np.array([0.5, -0.5])]),
    "nan": lambda values: np.concatenate([[np.nan], values[1:]]),
    "score": lambda values: values[1:],
}


@pytest.mark.parametrize("damage", [*DAMAGES, b"", b"no numbers", "truncated", "values"])
def test_a_damaged_alignment_is_computed_again(
    base: Base, example: Example, damage: str | bytes, alignments: list[str], tmp_path: Path
) -> None:
    expected = AlignmentCache(tmp_path, base).align(example.mel, example.tokens)
    cache = AlignmentCache(tmp_path, base)
    (path,) = cache.store.folder.glob("*.data")
    content = path.read_bytes()
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage == "truncated":
        path.write_bytes(content[:-3])
    elif damage == "values":  # a bit of the durations has changed, so the checksum differs
        path.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    else:
        shutil.rmtree(cache.store.folder)
        writer = AlignmentCache(tmp_path, base)
        writer.store.put(alignment_key(example.mel, example.tokens), DAMAGES[damage](np.frombuffer(content)))
    alignments.clear()
    again = AlignmentCache(tmp_path, base)
    for _ in range(2):
        assert_same(again.align(example.mel, example.tokens), expected)
    assert len(alignments) >= 1


def test_a_recording_that_is_too_short_is_refused_and_not_stored(base: Base, example: Example, tmp_path: Path) -> None:
    short = replace(example, mel=example.mel[:2])
    reason = align_example(short, base, AlignmentCache(tmp_path, base))
    assert reason == align_example(short, base) and "too short for its transcript" in str(reason)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_gives_one_clear_line(base: Base, example: Example, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TtsMetaError, match=r"cannot write .*file"):
        AlignmentCache(tmp_path / "file", base).align(example.mel, example.tokens)


def align_all() -> dict[str, Any]:
    """Align the same recordings as the other process, many times, with entries that the processes replace."""
    base = load_base(Path(os.environ["CACHE_FOLDER"]) / "base")
    cache, results = AlignmentCache(Path(os.environ["CACHE_FOLDER"]) / "alignments", base), list[Tensor]()
    for repeat in range(5):
        for seed in range(4):
            example = random_example(base, "abc defg hab", seed)
            results.append(cache.align(example.mel, example.tokens)[1].durations)
            if repeat == 2:  # what this process wrote, the other process may have read before
                for path in cache.store.folder.glob(f"{cache.store._writer._name}.data"):
                    with open(path, "r+b") as file:
                        file.write(bytes(path.stat().st_size))
    return {"durations": results}


def test_two_processes_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_base()
    save_base(base, tmp_path / "base")
    monkeypatch.setenv("CACHE_FOLDER", str(tmp_path))
    (tmp_path / "processes").mkdir()
    first, second = in_two_processes(align_all, tmp_path / "processes")
    loaded = load_base(tmp_path / "base")
    for number, (a, b) in enumerate(zip(first["durations"], second["durations"], strict=True)):
        example = random_example(loaded, "abc defg hab", number % 4)
        expected = loaded.align(example.mel, example.tokens)[1].durations
        assert torch.equal(a, expected) and torch.equal(b, expected)
    assert not list((tmp_path / "alignments").rglob("*.tmp"))


def test_a_second_run_of_meta_training_aligns_nothing_and_gives_the_same_base(
    meta_corpus: Path, tmp_path: Path, alignments: list[str]
) -> None:
    bases = []
    for name in ("first", "second"):
        alignments.clear()
        recipe = meta_recipe(meta_corpus, tmp_path / name, cache=tmp_path / "cache", meta_steps=2)
        bases.append((meta_train(recipe) / "model.safetensors").read_bytes())
        assert bool(alignments) == (name == "first") and len(alignments) == len(set(alignments))
    assert bases[0] == bases[1]
