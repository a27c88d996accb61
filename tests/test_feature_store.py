"""The feature store: utterances on disk, read on demand, with memory that does not grow with the corpus."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import error_line, full_disk
from helpers import random_example, tiny_base, tone_sentence
from stores import mel_store, write_store

from tts_meta.corpus import Example
from tts_meta.corpus.segments import segment_example
from tts_meta.train.datasets import BatchStream
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.optimiser import BatchSize
from tts_meta.train.segments import Segments

SILENT = tiny_base().silent


def utterance(number: int) -> Example:
    """Return a sentence with random durations and pauses that are long enough for segmentation."""
    example = random_example(tiny_base(), tone_sentence(number, words=5), number, ("ann", "ben")[number % 2])
    durations = torch.where(SILENT[example.tokens], 6, example.durations)
    generator = torch.Generator().manual_seed(number)
    return replace(example, durations=durations, mel=-5 + torch.randn(int(durations.sum()), 80, generator=generator))


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [utterance(number) for number in range(12)]


@pytest.fixture(scope="module")
def folder(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "features"
    write_store(folder, iter(examples))
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder, mel_store(folder))


@pytest.fixture(scope="module")
def durations(store: FeatureStore, examples: list[Example]) -> Durations:
    return Durations.of(store, enumerate(example.durations for example in examples))


def assert_same(actual: Example, expected: Example) -> None:
    assert (actual.id, actual.speaker) == (expected.id, expected.speaker)
    assert torch.equal(actual.tokens, expected.tokens) and actual.tokens.dtype == torch.int64
    assert torch.equal(actual.durations, expected.durations) and actual.durations.dtype == torch.int64
    assert torch.equal(actual.mel, expected.mel.half().float()) and actual.mel.dtype == torch.float32


def test_a_store_returns_the_written_utterances_in_half_precision(store: FeatureStore, examples: list[Example]) -> None:
    assert len(store) == len(examples) and store.ids == [example.id for example in examples]
    for actual, expected in zip(store, examples, strict=True):
        assert_same(actual, replace(expected, durations=torch.zeros_like(expected.durations)))
    assert store.frames.tolist() == [len(example.mel) for example in examples]
    assert store.symbols.tolist() == [len(example.tokens) for example in examples]
    assert torch.equal(store[-1].mel, store[len(store) - 1].mel) and len(store[2:5]) == 3
    with pytest.raises(IndexError):
        store[len(store)]


def test_segments_of_a_store_equal_the_segments_of_its_examples(
    store: FeatureStore, durations: Durations, examples: list[Example]
) -> None:
    segments = Segments.cut(store, durations, SILENT, shortest=20, pause=4)
    expected = [segment for example in examples for segment in segment_example(example, SILENT, shortest=20, pause=4)]
    assert len(segments) == len(expected) > 2 * len(examples)
    for actual, segment in zip(segments, expected, strict=True):
        assert_same(actual, segment)
    assert segments.frames.tolist() == [len(segment.mel) for segment in expected]
    assert segments.symbols.tolist() == [len(segment.tokens) for segment in expected]
    short = segments.select(segments.frames < 40)
    assert [segment.id for segment in short] == [segment.id for segment in expected if len(segment.mel) < 40]


def test_utterances_without_durations_have_no_segments(store: FeatureStore, examples: list[Example]) -> None:
    partial = Durations.of(store, [(1, examples[1].durations), (2, None), (4, examples[4].durations)])
    assert np.flatnonzero(partial.known).tolist() == [1, 4]
    assert {segment.id.partition("/")[0] for segment in Segments.cut(store, partial, SILENT, 20, 4)} == {
        "ben-1",
        "ann-4",
    }
    for actual, number in zip(Segments.uncut(store, partial, [1, 4]), [1, 4], strict=True):
        assert_same(actual, examples[number])
    assert len(Segments.cut(store, Durations.of(store, []), SILENT, 20, 4)) == 0


def test_durations_are_saved_and_loaded(store: FeatureStore, durations: Durations, tmp_path: Path) -> None:
    durations.save(tmp_path / "durations.safetensors")
    loaded = Durations.load(tmp_path / "durations.safetensors", store)
    assert np.array_equal(loaded.frames, durations.frames) and np.array_equal(loaded.known, durations.known)


def test_batches_of_a_store_equal_the_batches_of_its_examples_with_any_number_of_threads(
    store: FeatureStore, durations: Durations
) -> None:
    segments = Segments.cut(store, durations, SILENT, shortest=20, pause=4)
    sources = ((segments, 3), (list(segments), 1))
    streams = [BatchStream(source, {"ann": 0, "ben": 1}, BatchSize(200), 3, 4, threads) for source, threads in sources]
    pairs = zip(*(stream.batches(0, 0) for stream in streams), strict=True)
    for (*position, stored), (*expected_position, expected) in islice(pairs, 40):
        assert position == expected_position and stored is not None and expected is not None
        assert stored.ids == expected.ids and torch.equal(stored.mel, expected.mel)
        assert int(stored.all_frames) == int(expected.all_frames) == int(stored.mel_lengths.sum())
        assert int(stored.all_symbols) == int(stored.token_lengths.sum())


def test_an_empty_corpus_and_a_missing_store_are_refused_in_one_line(folder: Path) -> None:
    assert "no utterance is left to train on" in error_line(lambda: write_store(folder.parent / "empty", []))
    assert not (folder.parent / "empty").exists()
    line = error_line(lambda: FeatureStore(folder.parent / "none", mel_store(folder)))
    assert "names.json: cannot be read" in line


def test_the_features_of_an_older_version_are_refused_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "features")
    (tmp_path / "features" / "mel.float16").touch()
    line = error_line(lambda: FeatureStore(tmp_path / "features", mel_store(folder)))
    assert line.startswith(f"{tmp_path}/features: features of an older version; delete the folder")


def test_missing_and_truncated_log_mels_are_found_and_damaged_ones_are_refused(
    examples: list[Example], tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    store = write_store(folder, examples)
    assert store.missing(mel_store(folder)).tolist() == []
    (shard,) = mel_store(folder).folder.glob("*.data")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    missing = store.missing(mel_store(folder)).tolist()
    assert missing == list(range(missing[0], len(store))) and 3 < missing[0] < 9
    shard.write_bytes(content[:-2] + b"\0\0")
    line = error_line(lambda: FeatureStore(folder, mel_store(folder))[len(store) - 1])
    assert line.startswith(f"{shard}: damaged, it differs from what was written; delete {shard.name} and ")


def test_a_full_disk_leaves_no_folder(tmp_path: Path, examples: list[Example]) -> None:
    with full_disk(500):
        line = error_line(lambda: write_store(tmp_path / "features", examples))
    assert line.startswith("cannot write ") and not (tmp_path / "features").exists()


MEMORY = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
import torch
from tts_meta.corpus import Example
from tts_meta.train.datasets import BatchStream
from tts_meta.train.optimiser import BatchSize
from tts_meta.train.segments import Segments
from tts_meta.train.feature_store import Durations
from stores import write_store

torch.set_num_threads(1)
folder, utterances = Path(sys.argv[1]), int(sys.argv[2])
tokens = torch.tensor([1, 4, 3, 5, 3, 4, 2])
durations = torch.tensor([10, 240, 20, 260, 20, 240, 10])

def examples():
    for n in range(utterances):
        yield Example(f"utterance-{n}", "ann", tokens, durations, torch.full((800, 80), float(n % 100)))

def resident_bytes():
    "Return the resident memory of this process without mapped files, which the system can reclaim."
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])

before = resident_bytes()
store = write_store(folder, examples())
aligned = Durations.of(store, ((n, durations) for n in range(utterances)))
silent = torch.tensor([False, True, True, True, False, False])
segments = Segments.cut(store, aligned, silent, 215, 8)
assert len(segments) == 3 * utterances
stream = BatchStream(segments, {"ann": 0}, BatchSize(4000), 3, 0, threads=2)
batches = stream.batches(0, 0)
while next(batches)[0] == 0:
    pass
batches.close()
print(resident_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_process_hardly_grows_with_the_corpus(tmp_path: Path) -> None:
    """The frames of an utterance take 250 KB. In memory an utterance takes an id and a few numbers."""
    runs = itertools.count()

    def memory(utterances: int) -> int:
        tests = str(Path(__file__).parent)
        folder = tmp_path / f"{utterances}-{next(runs)}"
        command = [sys.executable, "-c", MEMORY, str(folder), str(utterances), tests]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    # The number of batches in memory at once depends on the threads: up to 10 MB more in some runs.
    few, many = memory(100), min(memory(1600) for _ in range(3))
    frames = 1500 * 800 * 80 * 4
    assert many - few < 0.03 * frames, (few, many)
