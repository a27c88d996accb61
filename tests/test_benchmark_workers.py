"""Benchmarks in several processes: the same results, a killed worker, a failing voice, and restarts."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import run
from few_shot_recipes import config
from helpers import tiny_english_base

from tts_meta.adapt import clone_examples
from tts_meta.audio.mel import MelConfig
from tts_meta.config import parse_config
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.cloning import CLONE, CloningBenchmark, run_cloning
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults, run_few_shot
from tts_meta.evaluate.few_shot.results_io import read_trials
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.executors import ContextWork, Workers
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.vocoder import load_vocoder

RUN_TRIAL = importlib.import_module("tts_meta.evaluate.few_shot.run_trial")
CLONING = importlib.import_module("tts_meta.evaluate.cloning")
ROOT = Path(__file__).resolve().parents[1]
MESSAGE = "the same command computes only what is missing"

# Spawned workers import the program again. The first worker that makes a voice of `ben` kills itself, once.
PROGRAM = """
import importlib, os, signal, sys
module = importlib.import_module("tts_meta.evaluate.few_shot.run_trial")
clone, log, flag = module.clone_examples, sys.argv[1], sys.argv[2]

def counted(base, examples, *arguments, **named):
    if examples[0].speaker == "ben" and not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    voice = clone(base, examples, *arguments, **named)
    with open(log, "a") as file:
        file.write(examples[0].speaker + "\\n")
    return voice

module.clone_examples = counted

if __name__ == "__main__":
    from tts_meta.cli import main
    sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def stored_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that a spawned worker can read: the phonemizer `letters` of the tests exists in this process only."""
    folder = tmp_path_factory.mktemp("stored") / "base"
    save_base(tiny_english_base(), folder)
    return folder


def recipe(corpus: Path, output: Path, base: Path, **changes: object) -> FewShotBenchmark:
    """Two speakers, one sentence, voices of 0 and 2 steps; griffin-lim is the vocoder."""
    settings = {"speakers": ["ann", "ben"], "sentences": [1], "learners": {"all": {"modules": ["*"]}}, "score_on": 1}
    return config(corpus, output, base=base, vocoder="griffin-lim", **settings | changes)


def in_process(config: FewShotBenchmark, workers: Workers | None = None) -> FewShotResults:
    base = load_base(config.base)
    vocoder = load_vocoder(config.vocoder, base.device, mel=base.config.audio.mel)
    return run_few_shot(config, base, vocoder, lambda line: None, workers or Workers())


def comparable(trials: list[Trial]) -> list[tuple[object, ...]]:
    """What must not depend on the workers: everything but the time and the path."""
    return [
        (t.key, t.system, t.speaker, t.steps_done, t.parameters, t.bytes, t.scores, t.embeddings.tolist())
        for t in trials
    ]


def test_a_killed_worker_loses_one_voice_and_the_next_run_gives_the_results_of_one_process(
    long_corpus: Path, tmp_path: Path, stored_base: Path
) -> None:
    expected = in_process(recipe(long_corpus, tmp_path / "one", stored_base))
    several = recipe(long_corpus, tmp_path / "several", stored_base)
    (tmp_path / "recipe.json").write_text(several.model_dump_json(exclude_unset=True))
    (tmp_path / "program.py").write_text(PROGRAM)
    log = tmp_path / "voices.log"
    command = [sys.executable, tmp_path / "program.py", log, tmp_path / "flag", "benchmark", tmp_path / "recipe.json"]

    def benchmark() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, command), "--jobs", "2"],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

    killed = benchmark()
    assert killed.returncode == 1 and not (tmp_path / "several" / "table.md").exists()
    last = killed.stderr.strip().splitlines()[-1]
    assert last.startswith("tts-meta: a worker process ended without an error, at ") and "run the same command" in last
    made = set((tmp_path / "several" / "cache").rglob("made.json"))
    again = benchmark()
    assert again.returncode == 0, again.stderr
    assert all(path.exists() for path in made)
    lines = log.read_text().splitlines()
    assert sorted(lines) == ["ann", "ann", "ben", "ben"], "two numbers of steps for each speaker, none twice"
    read = read_trials(tmp_path / "several" / "trials.jsonl")
    assert [trial.key for trial in expected.trials] == list(read)
    for trial in expected.trials:
        same = read[trial.key]
        assert comparable([replace(same, embeddings=trial.embeddings)]) == comparable([trial])
        path = tmp_path / "several" / "cache" / "voices" / trial.folder.parent.name / "voice.safetensors"
        assert path.read_bytes() == trial.voice_file.read_bytes()


def test_a_failing_voice_does_not_stop_the_others_and_only_it_is_computed_again(
    long_corpus: Path, tmp_path: Path, stored_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def clone(base: Base, examples: list, *arguments: object, **named: object):
        made.append(examples[0].speaker)
        if examples[0].speaker == "ann" and fails:
            raise TtsMetaError("the voice diverged")
        return clone_examples(base, examples, *arguments, **named)  # type: ignore[arg-type]

    fails = True
    monkeypatch.setattr(RUN_TRIAL, "clone_examples", clone)
    broken = recipe(long_corpus, tmp_path, stored_base, steps=[2])
    with pytest.raises(TtsMetaError, match=rf"^ann: all, 1 sentence, 2 steps: the voice diverged; .*{MESSAGE}$"):
        in_process(broken)
    assert made == ["ann", "ben"]
    fails = False
    results = in_process(broken)
    assert made == ["ann", "ben", "ann"]
    assert [(trial.speaker, trial.source) for trial in results.trials] == [("ann", "this run"), ("ben", "cache")]


def test_the_cloning_benchmark_keeps_clones_and_names_the_speaker_that_fails(
    long_corpus: Path, tmp_path: Path, stored_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"manifest": long_corpus / "manifest.jsonl", "split": "train", "metrics": ["variance"], "score_on": 1}
    settings |= {"output": tmp_path, "adapt_on": 1, "steps": 1, "base": stored_base, "vocoder": "griffin-lim"}
    quick = parse_config(settings, CloningBenchmark, "test")
    base, vocoder = load_base(stored_base), GriffinLim(MelConfig())
    expected = run_cloning(quick.model_copy(update={"cache": tmp_path / "one"}), base, vocoder, lambda line: None)

    def fail_for_ben(base: Base, examples: list, *arguments: object, **named: object):
        if examples[0].speaker == "ben":
            raise TtsMetaError("the voice diverged")
        return clone_examples(base, examples, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(CLONING, "clone_examples", fail_for_ben)
    with pytest.raises(TtsMetaError, match=rf"^ben: the voice diverged; .*{MESSAGE}$"):
        run_cloning(quick, base, vocoder, lambda line: None)
    monkeypatch.undo()
    assert len(list((tmp_path / "cache" / "clones").iterdir())) == 1
    lines: list[str] = []
    spoken = run_cloning(quick, base, vocoder, lines.append, Workers(jobs=2))
    assert [clip.scores for clip in spoken] == [clip.scores for clip in expected]
    assert all((a.samples == b.samples).all() for a, b in zip(spoken, expected, strict=True))
    assert {clip.utterance.speaker for clip in spoken if clip.system == CLONE} == {"ann", "ben"}
    assert sorted(lines)[0] == "ann: 1 sentences scored"


def test_a_worker_with_another_base_is_refused(long_corpus: Path, tmp_path: Path, stored_base: Path) -> None:
    other = tiny_english_base()
    other.acoustic.mel_mean.fill_(-4.0)
    save_base(other, tmp_path / "other")
    with pytest.raises(TtsMetaError, match="is another base than that of the benchmark"):
        run_few_shot(
            recipe(long_corpus, tmp_path, stored_base, steps=[0]),
            other,
            GriffinLim(MelConfig()),
            lambda line: None,
            Workers(jobs=2),
        )


def test_jobs_and_a_cluster_exclude_each_other_in_the_benchmark(tmp_path: Path, capsys) -> None:
    (tmp_path / "recipe.yaml").write_text("manifest: none.jsonl\noutput: out\n")
    result = run(capsys, "benchmark", tmp_path / "recipe.yaml", "--jobs", "2", "--dask", "tcp://a:1")
    assert result.failed(2, "--jobs and --dask exclude each other")


def test_a_process_creates_a_context_once_and_keeps_one() -> None:
    first = ContextWork(_never_made, _append, [5])
    assert [first(1), first(2)] == [[5, 1], [5, 1, 2]]
    executors = importlib.import_module("tts_meta.executors")
    assert executors._context_of_process(_make_three) == executors._context_of_process(_make_three) == [3]
    assert executors._context_of_process(_make_three) is executors._context_of_process(_make_three)
    executors._context_of_process(_make_four)
    assert len(executors._contexts) == 1
    assert first.__getstate__()["_context"] is None


def _never_made() -> list[int]:
    raise AssertionError("the context exists")


def _append(context: list[int], item: int) -> list[int]:
    context.append(item)
    return list(context)


def _make_three() -> list[int]:
    return [3]


def _make_four() -> list[int]:
    return [4]


def test_a_wrong_setting_stops_at_the_first_voice(
    long_corpus: Path, tmp_path: Path, stored_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def refuse(*arguments: object, **named: object):
        calls.append(1)
        raise UsageError("a wrong setting")

    monkeypatch.setattr(RUN_TRIAL, "clone_examples", refuse)
    with pytest.raises(UsageError, match=r"^a wrong setting$"):
        in_process(recipe(long_corpus, tmp_path, stored_base, steps=[1]))
    assert len(calls) == 1
