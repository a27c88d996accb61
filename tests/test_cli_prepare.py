"""`tts-meta prepare`, and training on its manifest without any change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cases import case_folder
from commands import run, write_recordings
from corpora import write_files
from faults import error_line
from helpers import pretrain_recipe

from tts_meta.config import parse_config
from tts_meta.corpus import Manifest
from tts_meta.errors import UsageError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig, choose_sentences
from tts_meta.train import pretrain


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two speakers, four sentences each, in the language of tones."""
    for name in ("ann", "ben"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        write_recordings(tmp_path / "corpus" / name, 4)
    return tmp_path / "corpus"


@pytest.mark.parametrize("splits", [["train"], []])
def test_pretraining_uses_a_prepared_manifest_without_changes(
    tmp_path: Path, corpus: Path, capsys, splits: list[str]
) -> None:
    manifest = tmp_path / "m" / "manifest.jsonl"
    assert run(capsys, "prepare", "folder", corpus, tmp_path / "m").status == 0
    recipe = pretrain_recipe(tmp_path, tmp_path / "run", manifest=manifest, splits=splits)
    pretrain(recipe)
    names = json.loads((tmp_path / "run" / "features" / "names.json").read_text())
    assert names["ids"] == [utterance.id for utterance in Manifest.load(manifest)]


def test_the_error_for_an_unknown_split_lists_the_known_ones(tmp_path: Path, corpus: Path, capsys) -> None:
    assert run(capsys, "prepare", "folder", corpus, tmp_path / "m").status == 0
    manifest = tmp_path / "m" / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace("}", ', "split": "dev"}'))
    line = error_line(lambda: pretrain(pretrain_recipe(tmp_path, tmp_path / "run", manifest=manifest)), UsageError)
    assert line == "no split named 'train'; the manifest has: dev"


def test_the_benchmark_clones_all_speakers_of_a_manifest_without_splits(tmp_path: Path, corpus: Path, capsys) -> None:
    assert run(capsys, "prepare", "folder", corpus, tmp_path / "m").status == 0
    prepared = Manifest.load(tmp_path / "m" / "manifest.jsonl")
    longer = [
        replace(item, id=f"{item.id}{copy}", audio=item.audio.with_suffix(f".{copy}"), seconds=5.0)
        for item in prepared
        for copy in range(3)
    ]
    data = {"manifest": tmp_path / "m" / "manifest.jsonl", "output": tmp_path / "run", "score_on": 1}
    config = parse_config(data, BenchmarkConfig, "recipe")
    assert set(choose_sentences(Manifest(tuple(longer)), config, 1)) == {"ann", "ben"}


def test_the_commands_of_a_real_script_prepare_and_pretrain(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_folder("prepare_then_train")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pre.yaml").write_text((case / "pre.yaml").read_text())
    prepared = run(capsys, "prepare", "folder", case / "corpus", "m", "--json").json
    assert (prepared["utterances"], prepared["dropped"]) == (24, 0)
    assert prepared["speakers"] == ["ls1284", "ls260", "ls3570", "ls5639"]
    assert run(capsys, "pretrain", "pre.yaml").status == 0
    assert (tmp_path / "run_one" / "base" / "model.safetensors").is_file()


def test_one_of_several_transcript_lists_is_chosen_by_name(tmp_path: Path, capsys) -> None:
    write_files(tmp_path / "c", {"a.wav": "", "dev.tsv": "path\ttext\na\tOne.\n", "all.tsv": "path\ttext\na\tTwo.\n"})
    refused = run(capsys, "prepare", "folder", tmp_path / "c", tmp_path / "m")
    assert refused.failed(2, "several transcript lists (all.tsv, dev.tsv); choose one with --transcripts")
    chosen = run(
        capsys, "prepare", "folder", tmp_path / "c", tmp_path / "m", "--transcripts", tmp_path / "c" / "dev.tsv"
    )
    assert chosen.status == 0
    assert [utterance.text for utterance in Manifest.load(tmp_path / "m" / "manifest.jsonl")] == ["One."]


def test_a_corpus_that_cannot_be_prepared_gives_one_line(tmp_path: Path, capsys) -> None:
    write_files(tmp_path / "c", {"a.wav": "", "metadata.csv": "a|One.\na|Two.\n", "file": "Text."})
    assert run(capsys, "prepare", "folder", tmp_path / "c", tmp_path / "m").failed(1, "lines 1 and 2: different texts")
    (tmp_path / "c" / "metadata.csv").write_text("a|One.\n")
    refused = run(capsys, "prepare", "folder", tmp_path / "c", tmp_path / "c" / "file")
    assert refused.failed(1, "file is not a folder")
    assert not (tmp_path / "m").exists()


def test_a_report_is_written_with_the_manifest_and_for_an_existing_one(tmp_path: Path, corpus: Path, capsys) -> None:
    out = tmp_path / "m"
    made = run(capsys, "prepare", "folder", corpus, out, "--html", "--html-sample", 3)
    assert made.status == 0
    assert f"{out / 'report.html'}: " in made.err and made.err.endswith("3 were measured\n")
    (out / "report.html").unlink()
    manifest = (out / "manifest.jsonl").read_bytes()
    again = run(capsys, "prepare", "folder", tmp_path / "corpus", out, "--html", "--html-sample", 2, "--json")
    assert again.json == {"manifest": str(out / "manifest.jsonl"), "report": str(out / "report.html")}
    assert (out / "report.html").is_file() and (out / "manifest.jsonl").read_bytes() == manifest


def test_the_report_of_a_job_array_is_written_by_merge(tmp_path: Path, corpus: Path, capsys) -> None:
    out = tmp_path / "m"
    refused = run(capsys, "prepare", "folder", corpus, out, "--shard", "1/2", "--html")
    assert refused.failed(2, "give --html to `tts-meta merge`")
    for shard in ("1/2", "2/2"):
        assert run(capsys, "prepare", "folder", corpus, out, "--shard", shard).status == 0
    assert run(capsys, "merge", out, "--html", "--html-sample", 1).status == 0
    assert (out / "report.json").is_file() and (out / "report.html").is_file()
