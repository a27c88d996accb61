"""`tts-meta prepare` and `tts-meta pretrain`: options, messages, and interruption."""

from __future__ import annotations

import importlib
from pathlib import Path

from commands import write_recordings

TRAINING = importlib.import_module("tts_meta.train.pretrain")


def test_prepare_writes_a_manifest_and_does_not_overwrite_it(run_cli, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "ann").mkdir(parents=True)
    write_recordings(tmp_path / "corpus" / "ann", 2)
    (tmp_path / "corpus" / "ann" / "say1.txt").unlink()
    command = ("prepare", "folder", tmp_path / "corpus", tmp_path / "out")
    data = run_cli(*command, "--json").json
    assert data["utterances"] == 1 and data["dropped"] == 1 and data["speakers"] == ["ann"]
    assert run_cli(*command).failed(2, "exists already", "--force")
    assert "1 utterances, 1 speakers" in run_cli(*command, "--force").out
    perturbed = run_cli(*command, "--force", "--perturb-speed", 0.9, "--perturb-speed", 1.1, "--json").json
    assert perturbed["speakers"] == ["ann", "ann@0.9", "ann@1.1"] and perturbed["utterances"] == 3
    assert run_cli(*command, "--force", "--split", "train").failed(2, "--split", "--perturb-speed")


RECIPE = """
manifest: manifest.jsonl
output: run
max_hours: 3
aligner: {steps: 1}
acoustic: {steps: 1}
"""


def test_options_of_pretrain_override_the_recipe(run_cli, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    configs = []
    monkeypatch.setattr(TRAINING, "pretrain", lambda config, *command: configs.append(config) or tmp_path / "base")
    assert run_cli("pretrain", tmp_path / "recipe.yaml").out == f"{tmp_path / 'base'}\n"
    assert (
        run_cli("pretrain", tmp_path / "recipe.yaml", "--max-hours", 0.5, "--threads", 1, "--device", "cpu").status == 0
    )
    assert [(config.max_hours, config.threads, config.device) for config in configs] == [
        (3, 0, "auto"),
        (0.5, 1, "cpu"),
    ]
    assert run_cli("pretrain", tmp_path / "recipe.yaml", "--device", "tpu").failed(2, "unknown device 'tpu'")
    assert run_cli("pretrain", tmp_path / "recipe.yaml", "--set", "ema_decay=0.5").status == 0
    assert configs[-1].ema_decay == 0.5
    (tmp_path / "recipe.yaml").write_text(RECIPE + "setps: 2\n")
    assert run_cli("pretrain", tmp_path / "recipe.yaml").failed(1, "unknown key 'setps'")


def test_pretrain_prints_how_to_resume_after_ctrl_c(run_cli, tmp_path: Path, monkeypatch) -> None:
    def interrupt(config: object, *command: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(TRAINING, "pretrain", interrupt)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert run_cli("pretrain", tmp_path / "recipe.yaml").failed(130, "stopped", "continue from the last checkpoint")
