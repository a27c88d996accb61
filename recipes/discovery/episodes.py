"""Episodes of speakers that meta-training does not use, and voices of them under the σ of a run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_meta.corpus import EpisodeSampler, Manifest
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import Budget, GradientLearner, Task
from tts_meta.train.meta_targets import MetaTarget
from tts_meta.train.meta_train import MetaTrainConfig, build_learner, build_target

SPEAKERS = ("ls1580", "ls4992", "ls3729", "ls7021", "ls908", "ls8230")
"""Speakers that choose settings: neither the base nor σ was trained on them."""


@dataclass(frozen=True)
class Experiment:
    """A recipe of meta-training, with its target and learner."""

    config: MetaTrainConfig
    target: MetaTarget
    learner: GradientLearner

    @classmethod
    def of(cls, config: MetaTrainConfig) -> Experiment:
        """Load the base, and create the learner. Raises UsageError for a learner that does not learn σ."""
        if config.threads:
            torch.set_num_threads(config.threads)
        target = build_target(config)
        learner = build_learner(config, target)
        if not isinstance(learner, GradientLearner) or learner.prior_kind != "shrinkage":
            raise UsageError(f"learner '{config.learner}' does not learn σ; give a recipe of a learner that does")
        return cls(config, target, learner)

    def with_sigmas(self, sigmas: Mapping[str, float], modules: Collection[str] | None = None) -> GradientLearner:
        """Return the learner with these σ. modules: the only modules that adapt; None means all."""
        modules_of_learner = self.learner.layout.modules
        missing = [name for name in modules_of_learner if name not in sigmas]
        if missing:
            raise TtsMetaError(f"the run has no σ of '{missing[0]}'; give runs of the base and modules of the recipe")
        values = [2 * math.log(sigmas[name]) for name in modules_of_learner]
        with torch.no_grad():
            self.learner.log_variances.copy_(torch.tensor(values))
        names = [name for name in modules_of_learner if modules is None or name in modules]
        return self.learner.restrict(names)

    def tasks(self, speakers: Sequence[str]) -> list[Task]:
        """Return one task per speaker, named by the speaker. Raises TtsMetaError for a speaker without enough data."""
        config, tasks = self.config, list[Task]()
        manifest = Manifest.load(config.manifest)
        for speaker in speakers:
            usable = [
                utterance
                for utterance in manifest
                if utterance.speaker == speaker and config.min_seconds <= utterance.seconds <= config.max_seconds
            ]
            episode = EpisodeSampler(usable, config.support, config.query, config.seed).episode(0)
            task = self.target.task(episode, self.learner.changing_modules, config.seed)
            if task is None:
                raise TtsMetaError(f"no recording of {speaker} matches its transcript; leave the speaker out")
            tasks.append(task)
        return tasks


def query_frames(task: Task) -> int:
    """The number of mel frames of the query sentences."""
    return sum(int(batch.batch.mel_lengths.sum()) for batch in task.query or ())


def displacement(learner: GradientLearner, task: Task) -> Tensor:
    """Adapt to the support sentences until the automatic stop, and return δ = θ - φ, `(P,)`."""
    adapted = learner.adapt([task], Budget.plateau())
    return learner.layout.flatten(adapted.displacements)[0].detach()


def query_nll(learner: GradientLearner, task: Task, delta: Tensor) -> float:
    """Return the NLL of the query sentences per frame (nats) at the displacement δ `(P,)`."""
    params = learner.layout.unflatten((learner.adapted.detach() + delta)[None])
    return float(learner.score(params, [task.query])[0]) / query_frames(task)
