"""The data of meta-training: each process loads only its own recordings, and tasks without usable data are skipped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import error_line
from meta_train_runs import meta_recipe, write_meta_corpus
from processes import in_two_processes

from tts_meta.audio import FeatureCache
from tts_meta.corpus import EpisodeSampler, Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.meta import MetaTrainer
from tts_meta.train import datasets, meta_targets
from tts_meta.train.distributed import rank_and_world
from tts_meta.train.meta_train import MetaTrainConfig, _draw_tasks, build_learner, build_target, meta_train

TASKS = 3


def config_of(corpus: Path, output: Path, **changes: Any) -> MetaTrainConfig:
    return meta_recipe(corpus, output, tasks=TASKS, learner="sigma-reptile", **changes)


def meta_steps() -> dict[str, Any]:
    """Two meta-steps: the recordings that this process read, the state of the learner and the metrics."""
    corpus = Path(os.environ["META_CORPUS"])
    config = config_of(corpus, corpus / "run")
    target, usable = build_target(config), Manifest.load(config.manifest).utterances
    trainer = MetaTrainer(build_learner(config, target), config.trainer, meta_steps=config.meta_steps)
    sampler = EpisodeSampler(usable, config.support, config.query, config.seed)
    read, mel = list[str](), FeatureCache.mel

    def counted(cache: FeatureCache, audio: str | Path) -> torch.Tensor:
        read.append(Path(audio).name)
        return mel(cache, audio)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureCache, "mel", counted)
        steps = [asdict(trainer.step(_draw_tasks(config, trainer, target, sampler))) for _ in range(2)]
    return {"rank": rank_and_world()[0], "read": read, "state": trainer.state_dict(), "steps": steps}


def recordings_of_tasks(corpus: Path, numbers: Sequence[int]) -> list[str]:
    """The recordings of these episodes, sorted."""
    config = config_of(corpus, corpus / "run")
    sampler = EpisodeSampler(Manifest.load(config.manifest).utterances, config.support, config.query, config.seed)
    episodes = [sampler.episode(number) for number in numbers]
    return sorted(item.audio.name for episode in episodes for item in (*episode.support, *episode.query))


def test_each_process_loads_only_the_recordings_of_its_tasks_and_takes_the_step_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_meta_corpus(tmp_path / "corpus")
    monkeypatch.setenv("META_CORPUS", str(corpus))
    (tmp_path / "processes").mkdir()
    first, second = in_two_processes(meta_steps, tmp_path / "processes")
    alone = meta_steps()
    assert sorted(alone["read"]) == recordings_of_tasks(corpus, range(2 * TASKS))
    assert sorted(first["read"]) == recordings_of_tasks(corpus, [0, 2, 3, 5])
    assert sorted(second["read"]) == recordings_of_tasks(corpus, [1, 4])
    for name, value in alone["state"].items():
        torch.testing.assert_close(first["state"][name], value, atol=1e-5, rtol=1e-4)
        assert torch.equal(first["state"][name], second["state"][name])
    for expected, metrics in zip(alone["steps"], first["steps"], strict=True):
        assert (metrics["tasks"], metrics["skipped"]) == (expected["tasks"], expected["skipped"]) == (TASKS, 0)
        assert metrics["loss_after"] == pytest.approx(expected["loss_after"], rel=1e-5)


def test_a_task_without_usable_recordings_is_skipped_and_counted(
    meta_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every recording of one of the two speakers fails to match its transcript."""
    align = datasets.align_example
    monkeypatch.setattr(
        meta_targets,
        "align_example",
        lambda example, *rest: "no match" if example.speaker == "ben" else align(example, *rest),
    )
    config = config_of(meta_corpus, tmp_path / "run")
    target, usable = build_target(config), Manifest.load(config.manifest).utterances
    trainer = MetaTrainer(build_learner(config, target), config.trainer, meta_steps=config.meta_steps)
    sampler = EpisodeSampler(usable, config.support, config.query, config.seed)
    speakers = [sampler.episode(number).speaker for number in range(TASKS)]
    metrics = trainer.step(_draw_tasks(config, trainer, target, sampler))
    assert (metrics.tasks, metrics.skipped) == (TASKS, speakers.count("ben")) and 0 < metrics.skipped < TASKS


def test_a_corpus_whose_recordings_do_not_match_their_transcripts_gives_one_clear_line(
    meta_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_targets, "align_example", lambda example, *rest: "no match")
    message = error_line(lambda: meta_train(config_of(meta_corpus, tmp_path / "run")), TtsMetaError)
    assert message == "no recording of the last meta-step matches its transcript; check the manifest's texts"
    assert not (tmp_path / "run" / "base").exists()


def test_the_episodes_of_a_run_are_indexed_once(
    meta_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    class Counted(EpisodeSampler[Any]):
        def __init__(self, *args: Any) -> None:
            built.append(args)
            super().__init__(*args)

    monkeypatch.setattr("tts_meta.train.meta_train.EpisodeSampler", Counted)
    meta_train(meta_recipe(meta_corpus, tmp_path / "run"))
    assert len(built) == 1
