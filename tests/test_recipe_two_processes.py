"""The program that compares one process with two: its manifest, its commands, and the figures from the logs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults import error_line
from helpers import tone_corpus
from torch.utils.tensorboard.writer import SummaryWriter

from recipes.scale import two_processes
from tts_meta.corpus import Manifest


def test_the_table_has_the_logged_speeds_after_the_first_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tone_corpus(tmp_path, utterances=8)
    calls = list[tuple[str, int]]()

    def run_here(verb: str, recipe: Path, processes: int, output: Path, changes: Sequence[str]) -> None:
        assert recipe.exists() and len(Manifest.load(tmp_path / "runs" / "manifest.jsonl").utterances) == 5
        calls.append((verb, processes))
        with SummaryWriter(output / "acoustic" if verb == "pretrain" else output) as log:
            for step in range(8):
                measured = step >= two_processes.SKIPPED[verb]
                log.add_scalar("acoustic/seconds_of_speech_per_second", 10.0 * processes if measured else 1.0, step)
                log.add_scalar("meta/seconds", 30.0 / processes if measured else 500.0, step)

    monkeypatch.setattr(two_processes, "run", run_here)
    arguments = [str(tmp_path / "manifest.jsonl"), "--folder", str(tmp_path / "runs"), "--utterances", "5"]
    monkeypatch.setattr(sys, "argv", ["two_processes", *arguments])
    two_processes.main()
    assert calls == [(verb, count) for count in (1, 2) for verb in ("pretrain", "meta-train")]
    lines = capsys.readouterr().out.splitlines()
    assert "| pretrain | seconds of speech per second | 10.0 | 20.0 | 2.00 |" in lines
    assert "| meta-train | meta-steps per minute | 2.0 | 4.0 | 2.00 |" in lines


def test_a_split_with_too_few_utterances_is_one_line(tmp_path: Path) -> None:
    tone_corpus(tmp_path, utterances=2)
    line = error_line(lambda: two_processes.subset(tmp_path / "manifest.jsonl", tmp_path, 500))
    assert "the split train has" in line and "--utterances" in line


def test_a_run_that_fails_gives_the_end_of_its_message(tmp_path: Path) -> None:
    line = error_line(
        lambda: two_processes.run("pretrain", tmp_path / "none.yaml", 1, tmp_path / "out", ["acoustic.steps=1"])
    )
    assert line.startswith("pretrain failed (processes: 1): tts-meta: ") and "none.yaml" in line
