"""Meta-training: episodes of speakers, a learner by name, and at the end a base, or a vocoder, with its prior.

Under `torchrun` the tasks of a meta-step are spread over the processes; the first one writes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from tts_meta.adapt.acoustic_adaptation import ACOUSTIC_ROLES
from tts_meta.adapt.learner_files import saved_learner
from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
from tts_meta.adapt.voice import VOCODER_PREFIX
from tts_meta.audio import FeatureCache
from tts_meta.corpus import EpisodeSampler, Manifest, Utterance, hold_out_named
from tts_meta.corpus.languages import in_language
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.meta import MetaLearner, MetaTrainer, Task, TrainerSettings, create_learner, find_learner
from tts_meta.meta.task import TaskBuilder
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.log import NullLog
from tts_meta.report.run_info import RunInfo
from tts_meta.report.tensorboard import TensorBoardLog
from tts_meta.train.checkpoint_history import CheckpointHistory, resumed_stage
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.distributed import all_agree, barrier, process_group
from tts_meta.train.divergence import DivergenceCheck
from tts_meta.train.language import sample_sentences
from tts_meta.train.logs import training_info
from tts_meta.train.meta_logs import log_meta_step, log_sigmas
from tts_meta.train.meta_samples import MetaSamples
from tts_meta.train.meta_targets import AcousticTarget, MetaTarget, VocoderTarget
from tts_meta.train.meta_train_config import MetaTrainConfig
from tts_meta.train.provenance import CallRecord
from tts_meta.train.run_dir import open_run_dir, progress_bar

Roles = Mapping[str, tuple[str, ...]]
VOCODER_ROLES: Roles = {"head": ("vocoder.net.output",)}
"""Default roles of modules."""


def meta_train(config: MetaTrainConfig, command: str = "") -> Path:
    """Meta-train as `config` says and return the folder of the result, `config.output / "base"`, or `"vocoder"`.

    A second call with the same configuration continues a stopped run. command: the command line, for the log. Raises
    TtsMetaError for a folder that holds another run. Raises `Diverged`, and writes no result, if no episode has finite
    losses any more or the query loss grows beyond `MAX_LOSS_GROWTH` times that of the first meta-step.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else float("inf")
    with process_group(config.device) as rank:
        target = build_target(config)
        manifest = Manifest.load(config.manifest).of_split(*config.splits)
        manifest = in_language(manifest, target.base.language, config.manifest)
        manifest, held_out = hold_out_named(manifest, config.held_out_speakers)
        usable, held_out_usable = (
            [utterance for utterance in part if config.min_seconds <= utterance.seconds <= config.max_seconds]
            for part in (manifest, held_out)
        )
        learner = build_learner(config, target)
        trainer = MetaTrainer(learner, config.trainer, meta_steps=config.meta_steps)
        with open_run_dir(config.output, config):
            spoken = sample_sentences(config.sentences, target.base.language, usable)
            heard = (held_out_usable, usable, config.support, spoken)
            samples = MetaSamples.of(target, learner, *heard) if rank == 0 else None
            resumed_stage(config.resume, config.output, {"": ""})
            record = CallRecord(config.output, "meta-train", command, config.manifest, manifest, config.device)
            info = training_info(command, config, manifest, held_out)
            sigmas = _run(config, trainer, target, usable, deadline, rank, samples, info)
            folder = config.output / target.folder
            if rank == 0:
                _write(config, trainer, sigmas, target, record, folder)
            barrier()
            if trainer.steps_done < config.meta_steps:
                so_far = f"{folder} holds the {target.folder} so far"
                raise TtsMetaError(f"the time is up; {so_far}, run the same command again to continue")
            return folder


def build_learner(config: MetaTrainConfig, target: MetaTarget) -> MetaLearner:
    """Return the learner of a recipe. Raises UsageError that names a wrong learner, setting, module or role."""
    outer = [key for key in config.settings if key in TrainerSettings.model_fields]
    if outer:
        raise UsageError(f"settings: '{outer[0]}' is a setting of the outer loop; write it under trainer")
    find_learner(config.learner)
    learner = create_learner(config.learner, target.domain(config.learner), config.settings, seed=config.seed)
    if config.rank and config.trainer.outer_lr:
        raise UsageError("with a rank the base does not change; set trainer.outer_lr to 0")
    return learner


def build_target(config: MetaTrainConfig) -> MetaTarget:
    """Return the model to meta-train. Raises UsageError for modules of both models, or of a vocoder without modules."""
    base = load_base(config.base, config.device).with_lexicon(config.lexicon)
    vocoder_patterns = [pattern for pattern in config.modules if pattern.startswith(VOCODER_PREFIX)]
    if not vocoder_patterns:
        cache = FeatureCache(config.cache, base.config.audio)
        inner = (config.rank, config.frames_per_step, config.precision, config.granularity, config.query_objective)
        roles = {**ACOUSTIC_ROLES, **config.roles}
        return AcousticTarget(base, cache, config.modules, roles, *inner, config.history_mixing)
    if len(vocoder_patterns) < len(config.modules):
        raise UsageError(
            "meta-train the acoustic model and the vocoder in two runs; neither likelihood depends on the other model"
        )
    if config.rank:
        raise UsageError("modules of the vocoder change with full rank; remove rank from the recipe")
    for key in ("precision", "granularity", "query_objective", "history_mixing"):
        if (value := getattr(config, key)) != MetaTrainConfig.model_fields[key].default:
            raise UsageError(f"{key}: {value} is only for the acoustic model; remove it from the vocoder's recipe")
    vocoder = require_adaptable_vocoder(load_vocoder(config.vocoder, base.device), base)
    return VocoderTarget(base, vocoder, vocoder_patterns, config.crops_per_step, {**VOCODER_ROLES, **config.roles})


def _run(
    config: MetaTrainConfig,
    trainer: MetaTrainer,
    target: MetaTarget,
    utterances: Sequence[Utterance],
    deadline: float,
    rank: int,
    samples: MetaSamples | None,
    info: RunInfo,
) -> dict[str, list[float]]:
    """Resume, then step, log and save until the meta-steps or the time end; return σ of each module after each step."""
    history = CheckpointHistory(config.output, config.keep_last)
    sigmas, divergence = dict[str, list[float]](), DivergenceCheck()
    sampler = EpisodeSampler(utterances, config.support, config.query, config.seed, config.episodes)
    learner, tasks = trainer.learner, list[TaskBuilder]()
    arguments = (trainer, trainer.optimiser, None)
    state = history.restore(lambda path: load_checkpoint(path, *arguments, learner.load_task_state), config.resume)
    if state is not None:
        sigmas, divergence.first_loss = state["sigmas"], state.get("first_loss")

    def save() -> None:
        step = trainer.steps_done
        new = {"step": step, "sigmas": sigmas, "first_loss": divergence.first_loss}
        new |= {"resumed_from": (state or {}).get("resumed_from")}
        history.save(lambda path: save_checkpoint(path, *arguments, new, learner.task_state()), step)

    with (
        TensorBoardLog(config.output, target.base.config.audio.mel, resume_step=trainer.steps_done + 1)
        if rank == 0
        else NullLog() as log,
        progress_bar(rank) as progress,
    ):
        info.of_stage("meta-train", learner.settings, config.trainer).log(log, trainer.steps_done)
        bar = progress.add_task(config.learner, total=config.meta_steps, completed=trainer.steps_done, note="")
        while trainer.steps_done < config.meta_steps and all_agree(time.monotonic() < deadline):
            started = time.monotonic()
            tasks = _draw_tasks(config, trainer, target, sampler)
            metrics = trainer.step(tasks)
            step, seconds = trainer.steps_done, time.monotonic() - started
            log_meta_step(log, learner, metrics, step, seconds)
            divergence.check(step, metrics.loss_before, metrics.loss_after)
            if MetaSamples.due(step, config.meta_steps):
                log_sigmas(log, learner, step)
                if samples is not None:
                    samples.log(log, learner, step)
            for name, variance in learner.module_variances().items():
                sigmas.setdefault(name, []).append(variance**0.5)
            note = f"query {metrics.loss_before:.0f} -> {metrics.loss_after:.0f} nats, {seconds:.0f} s"
            note += f", {metrics.skipped} skipped" if metrics.skipped else ""
            progress.update(bar, completed=step, note=note)
            if not progress.console.is_terminal:
                progress.console.print(f"{config.learner} {step}/{config.meta_steps}: {note}", soft_wrap=True)
            if rank == 0 and (step % config.save_every == 0 or step == config.meta_steps):
                save()
    divergence.check_end(trainer, tasks)
    if rank == 0:
        save()
    return sigmas


def _draw_tasks(
    config: MetaTrainConfig, trainer: MetaTrainer, target: MetaTarget, sampler: EpisodeSampler[Utterance]
) -> list[TaskBuilder]:
    """Return functions that build the tasks of the next meta-step, the same in every process and in a resumed run.

    The call of a function draws the episode and loads, aligns and encodes its recordings.
    """
    step, changing = trainer.steps_done, trainer.learner.changing_modules

    def build(number: int) -> Task | None:
        episode = sampler.episode(step * config.tasks + number)
        key = episode.name or f"{step}/{number}"  # an episode that comes again has the same draws
        return target.task(episode, changing, random.Random(f"{config.seed}/{key}").getrandbits(31))

    return [partial(build, number) for number in range(config.tasks)]


def _write(
    config: MetaTrainConfig,
    trainer: MetaTrainer,
    sigmas: dict[str, list[float]],
    target: MetaTarget,
    record: CallRecord,
    folder: Path,
) -> None:
    """Write the model with φ as its weights, and the learner in the same folder."""
    learner, steps = trainer.learner, trainer.steps_done
    origin = {"trainer": config.trainer.model_dump(mode="json")}
    saved = saved_learner(
        learner, target.model, config.rank, config.granularity, meta_steps=steps, sigma_history=sigmas, origin=origin
    )
    state = {
        "meta_learner": learner.name,
        "meta_steps": steps,
        "runs": target.state.get("runs", {}) | record.finished(),
    }
    target.write(learner.model_parameters(), saved, state, folder)
