"""The cache of alignments: what its key depends on, damaged entries, and several processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import random_example, tiny_base
from meta_train_runs import meta_recipe
from processes import in_two_processes
from torch import Tensor

from tts_meta.audio.cache_entry import read_entry, write_entry
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.models.aligner import Aligner
from tts_meta.models.alignment_cache import AlignmentCache
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.train.datasets import align_example
from tts_meta.train.meta_train import meta_train

TYPES = {"durations": torch.int64, "score": torch.float64}


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
def test_other_weights_of_the_aligner_have_other_keys(base: Base, example: Example, name: str, tmp_path: Path) -> None:
    path = AlignmentCache(tmp_path, base).path(example.mel, example.tokens)
    assert AlignmentCache(tmp_path, other_weights(base, name)).path(example.mel, example.tokens) != path


def test_other_weights_of_the_acoustic_model_have_the_same_key(base: Base, example: Example, tmp_path: Path) -> None:
    other = tiny_base()
    with torch.no_grad():
        other.acoustic.mel_log_scale.add_(1)
    path = AlignmentCache(tmp_path, base).path(example.mel, example.tokens)
    assert AlignmentCache(tmp_path, other).path(example.mel, example.tokens) == path


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
    base: Base, example: Example, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], tmp_path: Path
) -> None:
    mel = example.mel[: len(example.mel) // 2 * 2]
    cache = AlignmentCache(tmp_path, base)
    assert cache.path(*change(mel, example.tokens)) != cache.path(mel, example.tokens)


def test_another_version_of_the_method_has_another_key(
    base: Base, example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = AlignmentCache(tmp_path, base).path(example.mel, example.tokens)
    monkeypatch.setattr("tts_meta.models.alignment_cache.VERSION", 2)
    assert AlignmentCache(tmp_path, base).path(example.mel, example.tokens) != path


DAMAGES: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "negative": lambda t: t | {"durations": torch.cat([t["durations"][:-2], t["durations"].new_tensor([-1, 1])])},
    "sum": lambda t: t | {"durations": t["durations"] + 1},
    "symbols": lambda t: t | {"durations": t["durations"][None]},
    "type": lambda t: t | {"durations": t["durations"].int()},
    "nan": lambda t: t | {"score": t["score"] * float("nan")},
    "shape": lambda t: t | {"score": t["score"][None]},
    "missing": lambda t: {"durations": t["durations"]},
    "unknown": lambda t: t | {"more": t["score"].clone()},
}


@pytest.mark.parametrize("damage", [*DAMAGES, b"", b"not tensors", "truncated", "values", "other key"])
def test_a_damaged_entry_is_computed_again_and_replaced(
    base: Base, example: Example, damage: str | bytes, alignments: list[str], tmp_path: Path
) -> None:
    cache = AlignmentCache(tmp_path, base)
    expected = cache.align(example.mel, example.tokens)
    entry = cache.path(example.mel, example.tokens)
    content = entry.read_bytes()
    if isinstance(damage, bytes):
        entry.write_bytes(damage)
    elif damage == "truncated":
        entry.write_bytes(content[:-3])
    elif damage == "values":  # a bit of the durations has changed, so the hash differs
        entry.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    elif damage == "other key":
        other = cache.path(example.mel[:-1], example.tokens)
        cache.align(example.mel[:-1], example.tokens)
        entry.write_bytes(other.read_bytes())
    else:
        tensors = read_entry(entry, entry.stem, TYPES)
        assert tensors is not None
        write_entry(entry, entry.stem, DAMAGES[damage](tensors))
    alignments.clear()
    for _ in range(2):
        assert_same(cache.align(example.mel, example.tokens), expected)
    assert len(alignments) == 1 and entry.read_bytes() == content


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
            if repeat == 2:
                with atomic_file(cache.path(example.mel, example.tokens)) as temporary:
                    temporary.write_bytes(b"damaged")
    return {"durations": results}


def test_what_was_read_does_not_change_with_the_file(base: Base, example: Example, tmp_path: Path) -> None:
    cache = AlignmentCache(tmp_path, base)
    cache.align(example.mel, example.tokens)
    _, alignment = cache.align(example.mel, example.tokens)
    entry, expected = cache.path(example.mel, example.tokens), alignment.durations.clone()
    with open(entry, "r+b") as file:  # in place, as no tool of this project does
        file.write(bytes(entry.stat().st_size))
    assert torch.equal(alignment.durations, expected)


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
    assert len(list((tmp_path / "alignments").rglob("*.safetensors"))) == 4
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
