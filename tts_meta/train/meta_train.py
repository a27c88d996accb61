"""Meta-training: episodes of speakers, a learner by name, and at the end a base, or a vocoder, with its prior.

Under `torchrun` the tasks of a meta-step are spread over the processes; the first one writes.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.audio import FeatureCache
from tts_meta.config import Section
from tts_meta.corpus import Manifest, Utterance, hold_out_named, sample_episodes
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import restore_folder
from tts_meta.meta import Diverged, LearnerSettings, MetaLearner, MetaStepMetrics, Task
from tts_meta.models.pretrained import load_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.figures import draw_bars
from tts_meta.report.log import FIGURE, HISTOGRAM, Log, NullLog
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.distributed import all_agree, barrier, processes
from tts_meta.train.logs import training_info
from tts_meta.train.meta_samples import MetaSamples
from tts_meta.train.meta_targets import AcousticTarget, MetaTarget, VocoderTarget
from tts_meta.train.run_dir import open_run_dir, progress_bar

Role = Literal["head", "context"]
Roles = Mapping[str, tuple[str, ...]]
SPEECH_ROLES: Roles = {"head": ("decoder.output", "postnet.output"), "context": ("speaker.mean",)}
SOUND_ROLES: Roles = {"head": ("vocoder.net.output",)}
"""Roles of modules where a recipe names none."""
GROWTH = 100.0
"""Meta-training has diverged where a query loss is more than so many times that of the first meta-step."""
_LAST_FAILURES = 3
"""It has also diverged where no task was finite in so many meta-steps at its end, or in all that it took."""


class MetaTrainConfig(Section):
    """`tts-meta meta-train`: whose sentences, which learner, how long."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: tuple[str, ...] = ("train",)
    """Which of its splits to draw speakers from."""
    held_out_speakers: tuple[str, ...] = ()
    """Speakers of those splits that are never drawn."""
    output: Path
    """Folder of the run; `base` in it is the meta-trained base."""
    cache: Path = Path("runs/cache")
    """Folder of prepared features; shared by runs."""
    lexicon: Path | None = None
    """Words of the transcripts and how they are said, a line each (`docs/text.md`)."""
    base: Path | None = None
    """Base folder to start from; the shipped one where not given."""
    learner: str
    """Name in `tts_meta.meta.LEARNERS`."""
    settings: LearnerSettings = LearnerSettings()
    """Its numbers."""
    modules: tuple[str, ...] = ("*",)
    """Patterns of the modules that are meta-learned; the others stay as they are, and what they feed is cached.

    Of the acoustic model or, where all begin with `vocoder.`, of the light vocoder.
    """
    vocoder: str | None = None
    """As `speak --vocoder`: where modules of it are meta-learned."""
    roles: dict[Role, tuple[str, ...]] = Field(default_factory=dict)
    """Patterns of what learners call the head and the context, for those that adapt one of them alone.

    Not given: the output layers of the decoder and the postnet, or of the vocoder, and the mean speaker vector.
    """
    rank: int = Field(default=0, ge=0)
    """Matrices stray in so low a rank (`models/low_rank.py`); 0: whole. The base then stays as it is."""
    support: int = Field(default=5, gt=0)
    """Sentences that an episode adapts on."""
    query: int = Field(default=5, gt=0)
    """Sentences that score the adapted model."""
    shortest: float = 2.0
    """Shorter recordings are left out, seconds."""
    longest: float = 10.0
    """Longer recordings are left out, seconds."""
    frames_per_step: int = Field(default=1600, gt=0)
    """Sentences are drawn anew each inner step until they hold so many frames."""
    crops_per_step: int = Field(default=8, gt=0)
    """Crops of .7 s that an inner step of the vocoder hears."""
    meta_steps: int = Field(gt=0)
    """Meta-steps in all."""
    tasks: int = Field(default=2, gt=0)
    """Episodes in a meta-step."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""
    seed: int = 0
    """Seeds episodes, draws and dropout."""
    save_every: int = Field(default=2, gt=0)
    """Meta-steps from one checkpoint to the next."""
    max_hours: float = 0.0
    """Stop, with a checkpoint, after so many hours in this process; 0 means no limit."""


def meta_train(config: MetaTrainConfig, command: str = "") -> Path:
    """Meta-train as `config` says and return the folder of the result, `config.output / "base"`, or `"vocoder"`.

    Called again with the same configuration it goes on where it was stopped. command: the command line, for the log.
    Raises TtsMetaError for a folder that holds another run, and `Diverged`, before anything is written, where no
    episode gives finite losses any more or the query loss grows beyond `GROWTH` times that of the first meta-step.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else float("inf")
    with processes() as rank:
        target = build_target(config)
        manifest, held = hold_out_named(
            Manifest.load(config.manifest).of_split(*config.splits), config.held_out_speakers
        )
        usable, held_usable = (
            [u for u in some if config.shortest <= u.seconds <= config.longest] for some in (manifest, held)
        )
        learner = target.learner(config.learner, config.settings, config.meta_steps)
        with open_run_dir(config.output, config):
            samples = MetaSamples.of(target, learner, held_usable, usable, config.support) if rank == 0 else None
            info = training_info(command, config, manifest, held)
            sigmas = _run(config, learner, target, usable, deadline, rank, samples, info)
            folder = config.output / target.folder
            if rank == 0:
                _write(config, learner, sigmas, target, folder)
            barrier()
            if learner.steps_done < config.meta_steps:
                so_far = f"{folder} holds the {target.folder} so far"
                raise TtsMetaError(f"the time is up; {so_far}, run the same command again to go on")
            return folder


def build_target(config: MetaTrainConfig) -> MetaTarget:
    """What is meta-trained. Raises UsageError for modules of both models, or of a vocoder that has none."""
    base = load_base(config.base).with_lexicon(config.lexicon)
    heard = [pattern for pattern in config.modules if pattern.startswith(VOCODER_PREFIX)]
    if not heard:
        cache = FeatureCache(config.cache, base.config.audio)
        roles = {**SPEECH_ROLES, **config.roles}
        return AcousticTarget(base, cache, config.modules, roles, config.rank, config.frames_per_step)
    if len(heard) < len(config.modules):
        raise UsageError(
            "meta-train the acoustic model and the vocoder one by one; neither's likelihood asks the other"
        )
    if config.rank:
        raise UsageError("modules of the vocoder stray whole; leave rank out")
    roles = {**SOUND_ROLES, **config.roles}
    return VocoderTarget(
        base, require_adaptable_vocoder(load_vocoder(config.vocoder), base), heard, config.crops_per_step, roles
    )


def _run(
    config: MetaTrainConfig,
    learner: MetaLearner,
    target: MetaTarget,
    utterances: Sequence[Utterance],
    deadline: float,
    rank: int,
    samples: MetaSamples | None,
    info: RunInfo,
) -> dict[str, list[float]]:
    """Resume, then step, log, save, until the meta-steps or the time are up; σ of each module after each of them."""
    checkpoint, sigmas, losses = config.output / "training", dict[str, list[float]](), _QueryLosses()
    tasks: list[Task] = []
    if rank == 0:
        restore_folder(checkpoint)
    barrier()
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, learner, learner.optimiser, None)
        sigmas, losses.first = state["sigmas"], state.get("first_loss")
    with (
        TensorBoardLog(config.output, target.base.config.audio.mel, resume_step=learner.steps_done + 1)
        if rank == 0
        else NullLog() as log,
        progress_bar(rank) as progress,
    ):
        info.of_stage("meta-train", config.settings).log(log, learner.steps_done)
        bar = progress.add_task(config.learner, total=config.meta_steps, completed=learner.steps_done, note="")
        while learner.steps_done < config.meta_steps and all_agree(time.monotonic() < deadline):
            began = time.monotonic()
            tasks = _draw_tasks(config, learner, target, utterances)
            result = learner.meta_step(tasks)
            step, seconds = learner.steps_done, time.monotonic() - began
            _log_step(log, learner, result, step, seconds)
            losses.check(step, result.loss_before, result.loss_after)
            if MetaSamples.due(step, config.meta_steps):
                _log_sigmas(log, learner, step)
                if samples is not None:
                    samples.log(log, learner, step)
            if learner.preset.prior == "shrinkage":
                for name, variance in learner.variances().items():
                    sigmas.setdefault(name, []).append(variance**0.5)
            note = f"query {result.loss_before:.0f} -> {result.loss_after:.0f} nats, {seconds:.0f} s"
            note += f", {result.skipped} skipped" if result.skipped else ""
            progress.update(bar, completed=step, note=note)
            if not progress.console.is_terminal:
                progress.console.print(f"{config.learner} {step}/{config.meta_steps}: {note}", soft_wrap=True)
            if rank == 0 and (step % config.save_every == 0 or step == config.meta_steps):
                state = {"step": step, "sigmas": sigmas, "first_loss": losses.first}
                save_checkpoint(checkpoint, learner, learner.optimiser, None, state)
    losses.check_end(learner, tasks)
    if rank == 0:
        state = {"step": learner.steps_done, "sigmas": sigmas, "first_loss": losses.first}
        save_checkpoint(checkpoint, learner, learner.optimiser, None, state)
    return sigmas


class _QueryLosses:
    """Watches whether meta-training diverges. first: the query loss of the first finite meta-step, nats."""

    def __init__(self) -> None:
        self.first: float | None = None

    def check(self, step: int, *losses: float) -> None:
        """Raise Diverged where a mean query loss of meta-step `step` has grown too far; NaN, of no finite task, is not.

        A loss below the first, however far, is no growth: log-densities have no bound.
        """
        for loss in losses:
            if self.first is None and math.isfinite(loss):
                self.first = loss
            if self.first is not None and loss > GROWTH * abs(self.first):
                limit = f"more than {GROWTH:.0f} times that of the first meta-step, {self.first:.4g}"
                raise _diverged(f"the query loss of meta-step {step} is {loss:.4g} nats, {limit}")

    def check_end(self, learner: MetaLearner, tasks: Sequence[Task]) -> None:
        """Raise Diverged where the last meta-steps were not finite, or the last one moved φ too far.

        tasks: of the last meta-step, if one was taken.
        """
        failures = int(learner.progress[1])
        if failures and failures >= min(_LAST_FAILURES, learner.steps_done):
            raise _diverged(f"no task was finite in the last {failures} meta-steps")
        if tasks:
            start = learner.adapted.detach().expand(len(tasks), -1)
            after = float(learner.score(start, [task.query for task in tasks]).mean())
            if not math.isfinite(after):
                raise _diverged(f"the query loss is not finite after meta-step {learner.steps_done}")
            self.check(learner.steps_done, after)


def _diverged(what: str) -> Diverged:
    advice = "lower outer_lr, inner_lr or variance_lr in settings, and choose another output folder"
    return Diverged(f"meta-training diverged: {what}; no result was written; {advice}")


def _draw_tasks(
    config: MetaTrainConfig, learner: MetaLearner, target: MetaTarget, utterances: Sequence[Utterance]
) -> list[Task]:
    """The episodes of the next meta-step; the same in every process, and in a resumed run."""
    step = learner.steps_done
    episodes = sample_episodes(utterances, config.support, config.query, config.tasks, config.seed, step * config.tasks)
    changing = (*learner.domain.adapted.modules, *learner.domain.shared.modules)
    seeds = (random.Random(f"{config.seed}/{step}/{number}").getrandbits(31) for number in range(config.tasks))
    tasks = [target.task(episode, changing, seed) for episode, seed in zip(episodes, seeds, strict=True)]
    usable = [task for task in tasks if task is not None]
    if not usable:
        raise TtsMetaError("no recording of a meta-step's episodes matches its transcript; check the manifest's texts")
    return usable


def _log_step(log: Log, learner: MetaLearner, result: MetaStepMetrics, step: int, seconds: float) -> None:
    scalars = {
        "query_before": result.loss_before,
        "query_after": result.loss_after,
        "gradient_norm": result.gradient_norm,
        "stationarity": result.stationarity,
        "residual": result.residual,
        "hessian_products": result.hessian_products,
        "skipped": result.skipped,
        "seconds": seconds,
    }
    for name, value in scalars.items():
        log.scalar(f"meta/{name}", value, step)
    for outcome, count in result.outcomes.items():
        log.scalar(f"linear_solver/{outcome}", count, step)
    if learner.preset.prior == "shrinkage":
        for name, variance in learner.variances().items():
            log.scalar(f"sigma/{name}", variance**0.5, step)


def _log_sigmas(log: Log, learner: MetaLearner, step: int) -> None:
    """σ of all modules at once, where they are learned."""
    if learner.preset.prior == "shrinkage":
        deviations = {name: variance**0.5 for name, variance in learner.variances().items()}
        log.image(f"{FIGURE}/sigma", draw_bars(deviations, "σ of each module", logarithmic=True), step)
        log.histogram(f"{HISTOGRAM}/log10_sigma", np.log10(list(deviations.values())), step)


def _write(
    config: MetaTrainConfig, learner: MetaLearner, sigmas: dict[str, list[float]], target: MetaTarget, folder: Path
) -> None:
    """The model with φ as its weights and, where there is one, the prior."""
    prior = None
    if learner.preset.prior != "none":
        origin = {"learner": config.learner, "meta_steps": learner.steps_done, "settings": config.settings.model_dump()}
        prior = ModulePrior(learner.variances(), "", origin, sigmas, rank=config.rank)
    state = {"meta_learner": config.learner, "meta_steps": learner.steps_done}
    target.write(learner.meta_params(), prior, state, folder)
