"""The record of a training run: data, code, command and times, without an absolute path of the user."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from commands import write_base
from faults import error_line
from helpers import tiny_base

from tts_meta.corpus import Manifest, Utterance
from tts_meta.files import sha256_file
from tts_meta.models.pretrained import load_base, save_base
from tts_meta.models.run_record import MAX_CALLS, RunRecord, run_lines
from tts_meta.train import provenance
from tts_meta.train.provenance import CallRecord, code_commit, without_absolute_path, without_absolute_paths


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "manifest.jsonl"
    path.parent.mkdir()
    path.write_text("the content of a manifest\n")
    return path


def record(tmp_path: Path, manifest: Path, command: str = "tts-meta pretrain recipe.yaml") -> CallRecord:
    (tmp_path / "run").mkdir(exist_ok=True)
    used = Manifest(
        (
            Utterance("a", "ann", tmp_path / "a.wav", 2.0, "One."),
            Utterance("b", "ben", tmp_path / "b.wav", 1.6, "Two."),
        )
    )
    return CallRecord(tmp_path / "run", "pretrain", command, manifest, used, "cpu")


def test_a_record_says_data_code_command_and_times(tmp_path: Path, manifest: Path) -> None:
    runs = record(tmp_path, manifest).finished()
    parsed = RunRecord.model_validate(runs["pretrain"])
    assert parsed.data.model_dump() == {
        "manifest": "manifest.jsonl",
        "sha256": sha256_file(manifest),
        "utterances": 2,
        "hours": 0.001,
        "speakers": 2,
    }
    (call,) = parsed.calls
    assert call.command == "tts-meta pretrain recipe.yaml" and call.processes == 1
    assert call.ended is not None and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", call.started)
    assert call.started <= call.ended
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == runs["pretrain"]


def test_calls_of_a_stopped_run_are_listed_and_their_number_is_bounded(tmp_path: Path, manifest: Path) -> None:
    last = record(tmp_path, manifest, "first")
    for number in range(MAX_CALLS + 5):
        last = record(tmp_path, manifest, f"call {number}")
    calls = RunRecord.model_validate(last.finished()["pretrain"]).calls
    assert len(calls) == MAX_CALLS and calls[0].command == "first" and calls[-1].command == f"call {MAX_CALLS + 4}"
    assert calls[0].ended is None and calls[-1].ended is not None


def test_a_damaged_record_of_earlier_calls_is_replaced(tmp_path: Path, manifest: Path) -> None:
    record(tmp_path, manifest)
    (tmp_path / "run" / "run.json").write_text("{")
    assert len(record(tmp_path, manifest).finished()["pretrain"]["calls"]) == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("tts-meta pretrain /home/ann/recipe.yaml", "tts-meta pretrain recipe.yaml"),
        ("tts-meta pretrain r.yaml --set output=/home/ann/runs/x", "tts-meta pretrain r.yaml --set output=x"),
        ("tts-meta pretrain r.yaml --set 'a=[/home/ann/b, ~/c/d]'", "tts-meta pretrain r.yaml --set 'a=[b, d]'"),
        ("tts-meta pretrain --set 'x={m: \"/home/ann/n\"}'", "tts-meta pretrain --set 'x={m: \"n\"}'"),
        ("tts-meta pretrain '/home/ann lee/my recipe.yaml'", "tts-meta pretrain 'my recipe.yaml'"),
        (r"tts-meta pretrain 'C:\Users\ann\r.yaml'", "tts-meta pretrain r.yaml"),
        ("tts-meta pretrain ../shared/r.yaml runs/a/b", "tts-meta pretrain ../shared/r.yaml runs/a/b"),
        ("tts-meta x --dask tcp://host:8786", "tts-meta x --dask tcp://host:8786"),
        ("", ""),
    ],
)
def test_absolute_paths_of_a_command_become_names(command: str, expected: str) -> None:
    assert without_absolute_paths(command) == expected


def test_a_path_in_the_working_directory_is_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert without_absolute_path(tmp_path / "runs" / "m.jsonl") == "runs/m.jsonl"
    assert without_absolute_path("runs/m.jsonl") == "runs/m.jsonl" and without_absolute_path("~/m.jsonl") == "m.jsonl"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_that_of_the_code_with_its_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tmp_path / "package" / "provenance.py"
    code.parent.mkdir()
    code.write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(code))
    assert code_commit() == {"commit": None, "dirty": None}, "not in a repository"
    git(tmp_path, "init", "-q")
    (tmp_path / "other").write_text("x")
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "-qm", "m")
    assert code_commit() == {"commit": None, "dirty": None}, "in the repository of the user, which does not track it"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "m")
    assert code_commit() == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    code.write_text("2")
    assert code_commit()["dirty"] is True
    monkeypatch.setenv("PATH", "")
    assert code_commit() == {"commit": None, "dirty": None}, "without git"


def test_inspect_prints_the_record_of_a_base(run_cli, tmp_path: Path, manifest: Path) -> None:
    base = tiny_base()
    base.state["runs"] = record(tmp_path, manifest, "tts-meta pretrain r.yaml").finished()
    folder = write_base(tmp_path / "base")
    save_base(base, folder)
    out = run_cli("inspect", folder, "--vocoder", "griffin-lim").out
    digest = sha256_file(manifest)[:12]
    assert f"base, pretrain: 2 utterances of 2 speakers, 0.00 hours, from manifest.jsonl (SHA-256 {digest})" in out
    assert "  command: tts-meta pretrain r.yaml" in out and "  code: tts_meta " in out and "in 1 call; " in out
    data = run_cli("inspect", folder, "--vocoder", "griffin-lim", "--json").json
    assert data["state"]["runs"] == base.state["runs"]


def test_a_record_of_another_form_is_refused_in_one_line(tmp_path: Path, manifest: Path) -> None:
    base = tiny_base()
    runs = record(tmp_path, manifest).finished()
    runs["pretrain"]["data"]["utterances"] = "many"
    save_base(base, tmp_path / "base")
    path = tmp_path / "base" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"runs": runs}))
    assert "runs.pretrain.data.utterances" in error_line(lambda: load_base(tmp_path / "base"))


def test_a_base_without_a_record_has_no_lines() -> None:
    assert run_lines(replace(tiny_base(), state={}).state) == []
