"""Shards of a corpus and their merge, executors, the feature cache, and faults of a run of `prepare`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import listing, run
from corpora import write_audio
from faults import error_line, full_disk
from prepare_runs import write_corpus

from data_prep import CORPORA, PreparedCorpus, PrepareOptions, Recording, Shard, Workers, merge, prepare, prepare_corpus
from tts_meta.audio import FeatureCache
from tts_meta.audio.trimming import AudioConfig
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError
from tts_meta.executors import worker_pool


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", 7)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The content of the manifest and of the list of faults, and the names of the other files."""
    return {name: content for name, content in listing(folder).items() if not name.endswith(".flac")} | {
        name: b"" for name in listing(folder) if name.endswith(".flac")
    }


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("speeds", [(), (0.9, 1.1)])
def test_merged_shards_are_the_bytes_of_one_run(
    tmp_path: Path, corpus: Path, count: int, speeds: tuple[float, ...]
) -> None:
    prepare_corpus("folder", corpus, tmp_path / "one", PrepareOptions(speeds=speeds))
    for number in range(count, 0, -1):
        options = PrepareOptions(speeds=speeds, shard=Shard(number, count))
        prepare_corpus("folder", corpus, tmp_path / "parts", options)
    merged = merge(tmp_path / "parts")
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "one")
    assert (merged.utterances, merged.dropped) == (7 * (1 + len(speeds)), 2)


def test_an_id_of_two_shards_is_kept_once_as_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_audio(tmp_path / "c" / f"{number}.wav", 0.3) for number in range(4)]
    names = ("a", "b", "a", "c")
    monkeypatch.setitem(
        CORPORA,
        "mine",
        lambda folder: iter(
            Recording(name, "ann", file, f"Text {file.stem}.", split="train", accent="x", start=0.0, end=0.25)
            for name, file in zip(names, files, strict=True)
        ),
    )
    prepare("mine", tmp_path / "c", tmp_path / "one", [0.9])
    for number in (1, 2):
        prepare_corpus("mine", tmp_path / "c", tmp_path / "two", PrepareOptions(speeds=[0.9], shard=Shard(number, 2)))
    merge(tmp_path / "two")
    lines = [(tmp_path / name / "manifest.jsonl").read_bytes() for name in ("one", "two")]
    assert (
        lines[0] == lines[1]
        and (tmp_path / "one" / "dropped.jsonl").read_text() == (tmp_path / "two" / "dropped.jsonl").read_text()
    )
    manifest = Manifest.load(tmp_path / "two" / "manifest.jsonl")
    assert [item.id for item in manifest] == ["a", "b", "c", "a@0.9", "b@0.9", "c@0.9"]
    assert {(item.accent, item.end) for item in manifest} == {("x", 0.25), ("x", None)}
    assert json.loads((tmp_path / "two" / "dropped.jsonl").read_text())["reason"] == "duplicate id a"


def test_the_commands_of_a_job_array_write_and_join_parts(tmp_path: Path, corpus: Path, capsys) -> None:
    out = tmp_path / "m"
    first = run(capsys, "prepare", "folder", corpus, out, "--shard", "1/2", "--json").json
    assert first == {"part": f"{out}/manifest.parts/00001-of-00002.part", "utterances": 4, "dropped": 0}
    early = run(capsys, "merge", out)
    assert early.failed(1, "1 of 2 parts are missing, the first is 00002-of-00002.part")
    again = run(capsys, "prepare", "folder", corpus, out, "--shard", "1/2")
    assert again.status == 0 and "is complete" in again.err
    assert run(capsys, "prepare", "folder", corpus, out, "--shard", "2/2").status == 0
    assert run(capsys, "merge", out, "--json").json["utterances"] == 7
    assert sorted(path.name for path in out.iterdir()) == ["dropped.jsonl", "manifest.jsonl"]
    assert run(capsys, "merge", out).failed(2, "manifest.jsonl exists already")
    assert run(capsys, "merge", out, "--force").failed(2, "has no parts")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "1/100000"])
def test_an_invalid_shard_is_refused(tmp_path: Path, corpus: Path, capsys, shard: str) -> None:
    result = run(capsys, "prepare", "folder", corpus, tmp_path / "m", "--shard", shard)
    assert result.failed(2, f"invalid shard '{shard}'")


def test_parts_of_different_states_or_settings_are_not_joined(tmp_path: Path, corpus: Path) -> None:
    def part(number: int, **options: object) -> Path:
        shard = PrepareOptions(shard=Shard(number, 2), **options)  # pyright: ignore[reportArgumentType]
        return prepare_corpus("folder", corpus, tmp_path / "m", shard).path

    part(1)
    part(2, speeds=[0.9])
    assert "another corpus, setting or state of the corpus than in 00001" in error_line(lambda: merge(tmp_path / "m"))
    (corpus / "s0" / "000.txt").write_text("Another text.")
    part(2)
    assert "another corpus, setting or state" in error_line(lambda: merge(tmp_path / "m"))
    damaged = part(1)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert "00001-of-00002.part: damaged" in error_line(lambda: merge(tmp_path / "m"))
    assert not (tmp_path / "m" / "manifest.jsonl").exists()


def test_a_dask_cluster_gives_the_same_bytes(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    prepare_corpus("folder", corpus, tmp_path / "one", PrepareOptions(speeds=[0.9]))
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster:
        options = PrepareOptions(speeds=[0.9], workers=Workers(dask=cluster.scheduler_address))
        prepare_corpus("folder", corpus, tmp_path / "dask", options)
    assert bytes_of(tmp_path / "dask") == bytes_of(tmp_path / "one")


def test_a_cluster_that_is_not_there_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def use() -> None:
        with worker_pool(dask="tcp://127.0.0.1:9"):
            raise AssertionError

    monkeypatch.setattr("tts_meta.executors._DASK_SECONDS", 1)
    line = error_line(use)
    assert "pip install '.[cluster]'" in line or line.startswith("no Dask scheduler answers at tcp://127.0.0.1:9")


def test_the_feature_cache_of_training_is_filled(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = PrepareOptions(features=tmp_path / "cache", speeds=[0.9])
    prepared = prepare_corpus("folder", corpus, tmp_path / "m", options)
    cache = FeatureCache(tmp_path / "cache", AudioConfig())
    computed = {item.id: cache.compute(item.source).half().float() for item in Manifest.load(prepared.path)}
    monkeypatch.setattr(FeatureCache, "compute", pytest.fail)
    for item in Manifest.load(prepared.path):
        assert cache.mel(item.source).equal(computed[item.id])


def test_a_full_disk_gives_one_line_and_the_next_run_continues(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = prepare_corpus("folder", corpus, tmp_path / "one", PrepareOptions())
    with full_disk(300):
        monkeypatch.setattr("data_prep.pipeline.prepare.check_writable", lambda path: None)
        line = error_line(lambda: prepare_corpus("folder", corpus, tmp_path / "m", PrepareOptions()))
    assert line.startswith(f"cannot write {tmp_path}/m/.manifest.journal: ")
    assert line.endswith("run the same command again to continue")
    assert isinstance(expected, PreparedCorpus)
    before = (tmp_path / "m" / ".manifest.journal").read_bytes()
    assert 0 < len(before) <= 300
    prepare_corpus("folder", corpus, tmp_path / "m", PrepareOptions())
    assert listing(tmp_path / "m") == listing(tmp_path / "one")


def test_a_damaged_journal_is_read_as_far_as_it_is_valid(tmp_path: Path, corpus: Path) -> None:
    prepare_corpus("folder", corpus, tmp_path / "one", PrepareOptions())
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / ".manifest.journal").write_bytes(
        b'{"key": 3}\n[]\n\xff\n{"key": "00", "seconds": "x"}\n{"key": "0'
    )
    prepare_corpus("folder", corpus, tmp_path / "m", PrepareOptions())
    assert listing(tmp_path / "m") == listing(tmp_path / "one")


def test_a_changed_recording_is_read_again(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("data_prep.pipeline.prepare.write_manifest", fail)
        prepare_corpus("folder", corpus, tmp_path / "m", PrepareOptions())
    write_audio(corpus / "s0" / "000.wav", 0.7)
    os.utime(corpus / "s1" / "001.wav", ns=(1, 1))
    read: list[str] = []
    from data_prep.pipeline import work

    original = work.run_job
    monkeypatch.setattr(work, "run_job", lambda job: read.append(Path(job.audio).name) or original(job))
    prepare_corpus("folder", corpus, tmp_path / "m", PrepareOptions())
    assert read == ["000.wav", "001.wav"]
    manifest = Manifest.load(tmp_path / "m" / "manifest.jsonl")
    assert {item.id: item.seconds for item in manifest}["s0/000"] == 0.7


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_recording_is_dropped_with_its_reason(tmp_path: Path, corpus: Path) -> None:
    (corpus / "s0" / "000.wav").chmod(0)
    prepare_corpus("folder", corpus, tmp_path / "m", PrepareOptions())
    assert "cannot be read (Permission denied)" in (tmp_path / "m" / "dropped.jsonl").read_text()


def test_an_interrupted_command_says_how_to_continue(
    tmp_path: Path, corpus: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(job: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("data_prep.pipeline.work.run_job", interrupt)
    stopped = run(capsys, "prepare", "folder", corpus, tmp_path / "m")
    assert stopped.failed(130, "the same command continues after the recordings that were read")


def test_jobs_and_a_cluster_exclude_each_other(tmp_path: Path, corpus: Path, capsys) -> None:
    result = run(capsys, "prepare", "folder", corpus, tmp_path / "m", "--jobs", "2", "--dask", "tcp://a:1")
    assert result.failed(2, "--jobs and --dask exclude each other")


def test_an_unknown_split_is_refused_before_recordings_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording("a", "ann", write_audio(tmp_path / "t" / "a.wav"), "Text.", split="train")
    monkeypatch.setitem(CORPORA, "one", lambda folder: iter([recording]))
    monkeypatch.setattr("data_prep.pipeline.work.run_job", pytest.fail)
    with pytest.raises(UsageError, match="no split named 'dev'; the corpus has: train"):
        prepare("one", tmp_path / "t", tmp_path / "o", [0.9], ["dev"])
