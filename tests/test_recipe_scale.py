"""The recipe that measures cost against size: its stages, tables, account, and the check of equal bytes."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import RATE, tiny_base, tone_sentence, tone_speech

from data_prep.pipeline.audio_job import AudioJob
from recipes.librispeech_mini import throughput
from recipes.scale import __main__ as scale
from recipes.scale import account, same_bytes, speech, stages
from recipes.scale.__main__ import main
from tts_meta.audio import write_wav
from tts_meta.cli import main as run_tts_meta
from tts_meta.corpus import Manifest

SPEECH = {"read": 100.0, "align": 50.0, "pretrain": 2.0, "mean_seconds": 5.0, "frame_seconds": 0.01, "bands": 80}
STAGE = {"seconds": 1.0, "mib": 100.0, "mib_before": 20.0}
COST = {"lines": 1000, "batches": STAGE | {"epoch_seconds": 0.1}, **dict.fromkeys(("prepare", "split", "read"), STAGE)}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus for `librispeech-mini` with four recordings of tones of one speaker."""
    columns = ("split", "speaker", "gender", "source", "utterance", "file", "text", "text_punctuated")
    rows = []
    for number in range(4):
        text = tone_sentence(number, 4)
        write_wav(tmp_path / "corpus" / f"{number}.wav", tone_speech(text, number)[0], RATE)
        rows.append(["train", "ann", "F", "LibriSpeech", f"u{number}", f"{number}.wav", text.upper(), text])
    with open(tmp_path / "corpus" / "manifest.tsv", "w", newline="") as out:
        csv.writer(out, delimiter="\t").writerows([columns, *rows])
    return tmp_path / "corpus"


def test_the_stages_work_on_all_sentences_without_decoding_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "LINES", 25)
    monkeypatch.setattr("data_prep.pipeline.work.run_job", lambda job: pytest.fail(f"{job} is decoded"))
    listed = stages.write_corpus(tmp_path, 3)
    assert len({json.loads(line)["start"] for line in listed.read_text().splitlines()}) == 75
    figures = {name: stages.run_stage(name, tmp_path) for name in stages.STAGES}
    assert figures["prepare"]["lines"] == figures["read"]["lines"] == 75
    manifest = Manifest.load(tmp_path / "split.jsonl")
    assert len({utterance.source for utterance in manifest}) == 75
    assert {utterance.split for utterance in manifest} == {"train", "dev", "test"}
    assert figures["batches"]["batches"] > 1 and figures["sample"]["episode_ms"] > 0
    assert all(row["mib"] >= row["mib_before"] > 1 for row in figures.values())


def test_the_sentences_of_a_large_corpus_have_different_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = set[Path]()
    monkeypatch.setattr(stages, "LINES", 50_000)
    monkeypatch.setattr(stages.AudioJob, "create", lambda audio, source: sources.add(source) or _JOB)
    stages.write_corpus(tmp_path, 2)
    assert len(sources) == 100_000


_JOB = AudioJob(b"0", "a.wav")


def test_the_command_writes_table_figure_and_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_here(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as call, redirect_stdout(io.StringIO()) as out:
            call.setattr(sys, "argv", list(command[2:]))
            stages.main()
        return subprocess.CompletedProcess(command, 0, out.getvalue(), "")

    monkeypatch.setattr(scale.subprocess, "run", run_here)
    for module in (stages, scale):
        monkeypatch.setattr(module, "LINES", 25)
    (tmp_path / "speech.json").write_text(json.dumps(SPEECH))
    monkeypatch.setattr(sys, "argv", ["scale", "--speakers", "5", "6", "--output", str(tmp_path)])
    main()
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "account.md").read_text()
    rows = [json.loads(line) for line in (tmp_path / "cost.jsonl").read_text().splitlines()]
    assert [(row["speakers"], row["lines"]) for row in rows] == [(5, 125), (6, 150)]
    assert "\n| 6 | 150 | " in printed and "| 100,000 | 64 | pretraining | " in printed
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(sys, "argv", ["scale", "--account", "--output", str(tmp_path)])
    monkeypatch.setattr(scale, "measure", pytest.fail)
    main()
    assert capsys.readouterr().out == printed


def test_the_account_follows_from_the_figures() -> None:
    rows = {tuple(row[:3]): row[3:] for row in account._rows(1_000, 8, COST, SPEECH)}
    assumed = account.ASSUMED
    assert rows["1,000", "8", "prepare"][0] == "12.0 min", "a list of 720,000 sentences at 1 ms each"
    assert rows["1,000", "8", "prepare"][1].startswith("one process, the list (not CPU cores 4.7 min, file system 3.0")
    cores = 3_600_000 / SPEECH["align"] / (8 * assumed.cores)
    assert f"CPU cores {cores / 60:.1f} min" in rows["1,000", "8", "alignment"][1]
    gpus = assumed.epochs * 3_600_000 / (SPEECH["pretrain"] * assumed.gpu * 8 * assumed.scaling)
    assert rows["1,000", "8", "pretraining"] == [f"{gpus / 3600:.1f} h", rows["1,000", "8", "pretraining"][1]]
    memory = 80 * 2**20 / 1000 * 720_000 * 8 / 1e9
    expected = f"{memory:,.1f} GB a node for the manifest in 8 processes: fits; 58 GB of log-mels"
    assert rows["1,000", "8", "memory and disk"][1] == expected
    assert "does not fit" in account._rows(100_000, 64, COST, SPEECH)[-1][-1]


def test_speech_is_measured_with_every_stage(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "load_base", tiny_base)
    monkeypatch.setattr(speech, "STEPS", 1)
    monkeypatch.setattr(throughput, "FRAMES", 500)
    monkeypatch.setattr(speech.torch, "set_num_threads", lambda count: None)
    figures = speech.measure_speech(corpus)
    assert figures["recordings"] == 4 and figures["mean_seconds"] == pytest.approx(figures["seconds"] / 4, abs=0.05)
    assert min(figures["read"], figures["align"], figures["pretrain"]) > 0


class _Finished:
    """A `prepare` that ran in this process and cannot be killed any more."""

    def __init__(self, listed: Path, out: Path, *options: str) -> None:
        with redirect_stdout(io.StringIO()):
            self.returncode = run_tts_meta(["prepare", "manifest", str(listed), str(out)])

    def wait(self) -> int:
        return self.returncode

    def poll(self) -> None:
        """The program takes it for a running process."""

    def send_signal(self, number: int) -> None:
        assert number == signal.SIGKILL


def test_equal_and_different_bytes_are_recognised(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(same_bytes, "start", _Finished)
    monkeypatch.setattr(same_bytes, "time", SimpleNamespace(perf_counter=lambda: 0.0, sleep=lambda seconds: None))
    monkeypatch.setattr(same_bytes, "on_dask", _Finished)
    monkeypatch.setattr(sys, "argv", ["same_bytes", str(corpus), "--folder", str(tmp_path / "out"), "--kills", "1"])
    assert same_bytes.main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("6 listed recordings; results in the journal after each kill: 0\n")
    assert printed.endswith("all files are the same\n") and "| 2 jobs, killed 1 times | " in printed
    assert (tmp_path / "out" / "1 job" / "dropped.jsonl").read_text().count("\n") == 2

    def other(listed: Path, out: Path) -> None:
        _Finished(listed, out)
        (out / "manifest.jsonl").write_text("")

    monkeypatch.setattr(same_bytes, "on_dask", other)
    assert same_bytes.main() == 1
    assert capsys.readouterr().out.endswith("FILES DIFFER\n")
