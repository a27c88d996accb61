"""The recipes of published corpora run end to end at miniature size, and their scripts refuse wrong use in one line."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from documentation import ROOT
from published_layouts import write_libritts, write_vctk
from recipe_runs import run_script

from recipes.scale_account import Account, size_of
from tts_meta.corpus import Manifest
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.source_filter_weights import load_source_filter

RECORDINGS = 8
SPEAKERS = {"vctk": {"": tuple(f"p{number}" for number in range(225, 231))}}
SPEAKERS["libritts"] = {
    **{"train-clean-360": ("14", "16"), "train-clean-100": ("19", "26")},
    **{"dev-clean": ("84",), "test-clean": ("61",)},
}
ROLES = {"vctk": ("train", "meta", "test"), "libritts": ("train-clean-360", "train-clean-100", "test-clean")}
"""The splits that train the base, train the prior, and are scored."""
WRITE = {"vctk": write_vctk, "libritts": write_libritts}


def run_recipe(recipe: str, folder: Path, *arguments: object) -> None:
    """Run stages of a recipe at miniature size on the corpus in `folder`."""
    options = ("--corpus", folder / "corpus", "--output", folder / "runs", "--small", *arguments)
    result = run_script(f"recipes/{recipe}/run.sh", options, folder)
    assert result.returncode == 0, result.stdout + result.stderr


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*.data")) / 1e6


def check_results(recipe: str, folder: Path) -> None:
    """Check that every stage wrote its result, each from the speakers of its split."""
    runs, (base_split, meta_split, test_split) = folder / "runs", ROLES[recipe]
    manifest = Manifest.load(runs / "split.jsonl")
    speakers = [set(manifest.of_split(split).speakers) for split in {item.split or "" for item in manifest}]
    assert len(manifest) == RECORDINGS * 6 and sum(map(len, speakers)) == len(set.union(*speakers)) == 6
    base = load_base(runs / "pretrain" / "base")
    assert set(base.speakers) == set(manifest.of_split(base_split).speakers)
    load_source_filter(runs / "vocoder" / "vocoder")
    assert json.loads((runs / "meta_train" / "config.json").read_text())["splits"] == [meta_split]
    meta_base = load_base(runs / "meta_train" / "base")
    assert meta_base.prior is not None and meta_base.speakers == base.speakers
    size, cache = size_of(manifest, ROOT / "recipes" / recipe), runs / "cache"
    account = Account(ROOT / "recipes" / recipe, size, {"spectral": 1.0}, ())
    # The account has the whole recordings. The silence at their ends is not stored.
    assert 0.85 < _megabytes(cache / "mels") / (account.mel_mb * size.hours) < 1.01
    assert 0.85 < _megabytes(cache / "samples") / (account.sample_mb * size.base_hours) < 1.01
    scored = [json.loads(line) for line in (runs / "benchmark" / "scores.jsonl").read_text("utf-8").splitlines()]
    assert {row["speaker"] for row in scored} == set(manifest.of_split(test_split).speakers)
    assert {"clone, 2 sentences, 2 steps", "real recording"} <= {row["system"] for row in scored}


def test_vctk_runs_from_the_published_layout_to_scores_and_continues_a_stopped_stage(tmp_path: Path) -> None:
    write_vctk(tmp_path / "corpus", SPEAKERS["vctk"], RECORDINGS)
    options = ("--corpus", tmp_path / "corpus", "--output", tmp_path / "runs", "--small")
    stopped = run_script("recipes/vctk/run.sh", [*options, "--set", "pretrain.max_hours=1e-9"], tmp_path)
    assert stopped.returncode == 1 and "stage 4" not in stopped.stdout
    assert stopped.stderr.splitlines()[-1].endswith("run the same command again to continue")
    prepared = (tmp_path / "runs" / "manifest.jsonl").stat().st_mtime_ns
    run_recipe("vctk", tmp_path)
    assert (tmp_path / "runs" / "manifest.jsonl").stat().st_mtime_ns == prepared
    check_results("vctk", tmp_path)


def test_libritts_runs_from_the_published_layout_to_scores_in_two_processes(tmp_path: Path) -> None:
    write_libritts(tmp_path / "corpus", SPEAKERS["libritts"], RECORDINGS)
    run_recipe("libritts", tmp_path, "--nproc", 2)
    check_results("libritts", tmp_path)


def test_the_slurm_job_pretrains_on_two_machines_after_a_job_array(tmp_path: Path) -> None:
    write_vctk(tmp_path / "corpus", {"": ("anna", "ben", "carl", "dora")}, 3)
    for number in (1, 2):
        run_recipe("vctk", tmp_path, "--stop-stage", 1, "--set", f"prepare.shard={number}/2")
    run_recipe("vctk", tmp_path, "--stage", 2, "--stop-stage", 2)
    assert len(Manifest.load(tmp_path / "runs" / "split.jsonl")) == 12
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    slurm = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1"}
    options = ["--output", tmp_path / "runs", "--small", "--stop-stage", 3, "--rendezvous", f"localhost:{port}"]
    result = run_script("recipes/train.sbatch", [ROOT / "recipes" / "vctk", *options], tmp_path, slurm)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("--nnodes 2 ") == 2
    assert len(load_base(tmp_path / "runs" / "pretrain" / "base").speakers) == 1


@pytest.mark.parametrize("recipe", ["vctk", "libritts"])
@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--corpus", "nowhere"], "no corpus in nowhere; get it from https://"),
        (["--stage", "7"], "no stage '7'; the stages are 1 (prepare) to 6 (benchmark)"),
        (["--stage", "pretrain"], "no stage 'pretrain'"),
        (["--stage", "4", "--stop-stage", "3"], "--stage 4 is after --stop-stage 3"),
        (["--stage"], "--stage needs a value"),
        (["--stages", "3"], "unknown option '--stages'"),
        (["--nproc", "0"], "--nproc must be a number of processes, not '0'"),
        (["--nnodes", "2"], "only stages 3 to 5 run on several machines"),
        (["--nnodes=2", "--stage=3", "--stop-stage=4"], "--nnodes needs --rendezvous HOST:PORT"),
        (["--set", "acoustic.steps=3"], "no stage 'acoustic'; the stages are prepare split pretrain vocoder"),
        (["--set", "pretrain.acoustic"], "'pretrain.acoustic' is not STAGE.KEY=VALUE"),
        (["--settings", "missing.txt"], "cannot read the settings missing.txt"),
    ],
)
def test_wrong_use_of_a_recipe_is_one_line_and_nothing_runs(
    recipe: str, arguments: list[str], fault: str, tmp_path: Path
) -> None:
    result = run_script(f"recipes/{recipe}/run.sh", arguments, tmp_path)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and fault in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["stubs"]


def test_help_names_every_stage_and_a_dry_run_prints_the_commands_only(tmp_path: Path) -> None:
    shown = run_script("recipes/vctk/run.sh", ["--help"], tmp_path)
    assert shown.returncode == 0
    for number, stage in enumerate(("prepare", "split", "pretrain", "vocoder", "meta_train", "benchmark"), 1):
        assert f"\n  {number}  {stage} " in shown.stdout
    options = ["--dry-run", "--nproc=4", "--set=meta_train.tasks=3", "--output", "o"]
    options += ["--set", "benchmark.jobs=2", "--set", "prepare.download=true"]
    planned = run_script("recipes/vctk/run.sh", options, tmp_path)
    commands = [line for line in planned.stdout.splitlines() if line.startswith("+ ")]
    assert planned.returncode == 0 and len(commands) == 6
    assert [
        command.startswith("+ torchrun --standalone --nproc-per-node 4 -m tts_meta.cli") for command in commands
    ] == [number in (3, 4, 5) for number in range(1, 7)]
    assert commands[0].endswith(" --download") and commands[5].endswith(" --jobs 2")
    assert commands[4].endswith("--set tasks=3") and not (tmp_path / "o").exists()
