"""`tts-meta clone-speakers`: the same voices for any workers, restarts, faults and other settings."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from commands import listing, run
from helpers import tiny_english_base, tone_corpus

from tts_meta.adapt import CloneSettings, Recording, clone_examples, prepare_recordings
from tts_meta.adapt.clone_speakers import RECORD_FILE, CloneModels, clone_speakers
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.executors import Workers
from tts_meta.models.pretrained import load_base, save_base

MODULE = importlib.import_module("tts_meta.adapt.clone_speakers")
SETTINGS = CloneSettings(modules=("speaker.*",), steps=1)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return Manifest.load(tone_corpus(tmp_path_factory.mktemp("corpus"), utterances=6, words=8))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> CloneModels:
    """A base that a spawned worker can read: the phonemizer `letters` of the tests exists in this process only."""
    folder = tmp_path_factory.mktemp("base") / "base"
    save_base(tiny_english_base(), folder)
    return CloneModels(folder)


def test_voices_are_those_of_clone_with_the_first_sentences(
    manifest: Manifest, models: CloneModels, tmp_path: Path
) -> None:
    done: list[tuple[int, int]] = []
    rows = clone_speakers(
        manifest, tmp_path / "out", SETTINGS, sentences=2, models=models, report=lambda *at: done.append(at)
    )
    assert [(row["speaker"], row["sentences"], row["steps"]) for row in rows] == [("ann", 2, 1), ("ben", 2, 1)]
    assert done == [(0, 2), (1, 2), (2, 2)]
    base = load_base(models.base)
    first = [u for u in manifest if u.speaker == "ben"][:2]
    examples = prepare_recordings([Recording(u.source, u.text) for u in first], base, "ben", lambda line: None)
    clone_examples(base, examples, SETTINGS).save(tmp_path / "ben.voice.safetensors")
    expected = (tmp_path / "ben.voice.safetensors").read_bytes()
    assert (tmp_path / "out" / "ben.voice.safetensors").read_bytes() == expected


def test_files_do_not_depend_on_the_workers(manifest: Manifest, models: CloneModels, tmp_path: Path) -> None:
    clone_speakers(manifest, tmp_path / "one", SETTINGS, models=models)
    clone_speakers(manifest, tmp_path / "two", SETTINGS, models=models, workers=Workers(2))
    expected = listing(tmp_path / "one")
    assert sorted(expected) == ["ann.voice.safetensors", "ben.voice.safetensors", RECORD_FILE]
    assert listing(tmp_path / "two") == expected


def test_files_are_the_same_on_a_dask_cluster(manifest: Manifest, models: CloneModels, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    clone_speakers(manifest, tmp_path / "one", SETTINGS, models=models)
    # Two threads of one worker: a process works on one voice at a time.
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        workers = Workers(dask=cluster.scheduler_address)
        clone_speakers(manifest, tmp_path / "dask", SETTINGS, models=models, workers=workers)
    assert listing(tmp_path / "dask") == listing(tmp_path / "one")


def test_a_fault_of_one_speaker_does_not_stop_the_others_and_only_it_is_cloned_again(
    manifest: Manifest, models: CloneModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def prepare(recordings: list[Recording], *arguments: object):
        made.append(recordings[0].audio.name)
        if broken:
            raise TtsMetaError("broken.wav: not audio")
        return prepare_recordings(recordings, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MODULE, "prepare_recordings", prepare)
    broken = False
    ann = manifest.of_speakers(["ann"])
    clone_speakers(ann, tmp_path / "out", SETTINGS, models=models)
    # A kill cuts off the last line.
    with open(tmp_path / "out" / RECORD_FILE, "a") as file:
        file.write('{"speaker": "be')
    broken, warnings = True, []
    with pytest.raises(TtsMetaError, match=r"^ben: broken\.wav: not audio; the same command clones only"):
        clone_speakers(manifest, tmp_path / "out", SETTINGS, models=models, warn=warnings.append)
    assert warnings == ["ben: broken.wav: not audio"]
    broken = False
    rows = clone_speakers(manifest, tmp_path / "out", SETTINGS, models=models)
    assert len(made) == 3 and [row["speaker"] for row in rows] == ["ann", "ben"]
    clone_speakers(manifest, tmp_path / "all", SETTINGS, models=models)
    assert listing(tmp_path / "out") == listing(tmp_path / "all")


def test_voices_of_other_settings_or_of_another_command_are_not_replaced(
    manifest: Manifest, models: CloneModels, tmp_path: Path
) -> None:
    ann = manifest.of_speakers(["ann"])
    clone_speakers(ann, tmp_path / "out", SETTINGS, models=models)
    other = CloneSettings(modules=("speaker.*",), steps=2)
    with pytest.raises(UsageError, match=r"cloned with other settings, recordings or models; .*--force"):
        clone_speakers(ann, tmp_path / "out", other, models=models)
    with pytest.raises(UsageError, match="with other settings"):
        clone_speakers(ann, tmp_path / "out", SETTINGS, models=models, consent="Ann, 3 May")
    (row,) = clone_speakers(ann, tmp_path / "out", other, models=models, force=True)
    assert row["steps"] == 2
    (tmp_path / "out" / RECORD_FILE).unlink()
    with pytest.raises(UsageError, match="was made by another command; choose an empty folder"):
        clone_speakers(ann, tmp_path / "out", other, models=models, force=True)


def test_the_command_clones_the_speakers_of_a_split(
    manifest: Manifest, models: CloneModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["clone-speakers", manifest.path, tmp_path / "out", "--base", models.base, "--steps", 1]
    result = run(capsys, *arguments, "--speaker", "ann", "--sentences", 2, "--json")
    assert [row["voice"] for row in result.json["voices"]] == ["ann.voice.safetensors"]
    lines = (tmp_path / "out" / RECORD_FILE).read_text().splitlines()
    assert [json.loads(line)["speaker"] for line in lines] == ["ann"]
    assert run(capsys, *arguments, "--jobs", 2, "--dask", "tcp://a:1").failed(2, "exclude each other")
    again = run(capsys, *arguments, "--speaker", "ann", "--sentences", 2)
    assert again.out == f"1 voice in {tmp_path / 'out'}; {tmp_path / 'out' / RECORD_FILE} lists them\n"
    assert run(capsys, *arguments, "--speaker", "cyd").failed(2, "no speaker named 'cyd'")
