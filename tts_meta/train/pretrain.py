"""Pretraining of a base: features, aligner, durations, acoustic model, and the folder of the base.

Every stage resumes: features are in the cache, and the output folder has the checkpoints of the aligner and of the
acoustic model.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from torch import Tensor

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Batch, Manifest, collate, hold_out_named, unperturbed_name
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.losses import acoustic_loss, mel_l1
from tts_meta.models.pretrained import Base, BaseConfig, load_base, save_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.models.warm_start import start_from
from tts_meta.report.run_info import RunInfo
from tts_meta.text import load_phonemizer
from tts_meta.text.versions import phonemizer_versions
from tts_meta.train.acoustic_samples import AcousticSamples
from tts_meta.train.aligner_training import train_aligner
from tts_meta.train.checkpoint_history import resumed_stage
from tts_meta.train.datasets import segment_utterances, training_stream
from tts_meta.train.distributed import barrier, is_first, process_group
from tts_meta.train.feature_store import FeatureStore
from tts_meta.train.features import load_features
from tts_meta.train.language import choose_language, training_symbols
from tts_meta.train.logs import training_info
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.postfilter import measure_postfilter
from tts_meta.train.provenance import CallRecord, without_absolute_path
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.segments import Segments
from tts_meta.train.shared_durations import aligned_durations
from tts_meta.train.training_config import FitSettings, TrainingConfig

_VALIDATION_EVERY, _MAX_VALIDATION_SEGMENTS = 80, 200
"""One in this many recordings is kept for validation, or fewer, so that there are at most about 200 segments."""
_MEASURED_SEGMENTS = 2000
"""Approximate number of segments from which the mean and scale of the frames are measured."""


class PretrainConfig(TrainingConfig):
    """`tts-meta pretrain`: features, aligner, durations, acoustic model."""

    language: str | None = Field(default=None, min_length=1, max_length=100)
    """Language of the texts, such as `de`, which chooses the phonemizer; default: that of the manifest, or English.

    With this setting, only the manifest's lines in this language and those without a language are used.
    """
    cache: Path = Path("runs/cache")
    """Folder of the feature cache, which holds the log-mels; several runs may share it, also at the same time."""
    lexicon: Path | None = None
    """Pronunciations of words of the transcripts, one per line (`docs/text.md`)."""
    base: BaseConfig = BaseConfig()
    init_from: Path | None = None
    """Base of the same sizes and phonemizer whose acoustic model training starts from; default: random weights."""
    aligner: OptimiserConfig
    acoustic: OptimiserConfig
    max_seconds: float = Field(default=16.0, gt=0)
    """The acoustic model is not trained on longer segments, nor the aligner on longer recordings."""
    sentences: list[str] | None = None
    """Sentences whose synthesis is logged for TensorBoard; default: two sentences, or two texts of the manifest."""


def pretrain(config: PretrainConfig, command: str = "") -> Path:
    """Train a base as `config` says and return its folder, `config.output / "base"`.

    A second call with the same configuration continues a stopped run. command: the command line, for the logs. Raises
    TtsMetaError for a folder that holds another run.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else float("inf")
    with process_group(config.device) as rank:
        console = Console(stderr=True, quiet=rank > 0)
        manifest = Manifest.load(config.manifest).of_split(*config.splits)
        manifest, held_out = hold_out_named(manifest, config.held_out_speakers)
        config, manifest = choose_language(config, manifest)
        recipe, config = config, config.model_copy(update={"device": str(choose_device(config.device))})
        torch.manual_seed(config.seed)
        symbols = training_symbols(load_phonemizer(config.base.phonemizer), manifest)
        base = Base.create(config.base, symbols, manifest.speakers).with_lexicon(config.lexicon)
        if config.init_from and not (config.output / "acoustic" / "training").exists():
            start_from(base, load_base(config.init_from))
        with open_run_dir(config.output, recipe):
            stage_to_resume(config)
            cache = FeatureCache(config.cache, config.base.audio)
            store = load_features(config.output, manifest, base, cache, config.workers, console)
            console.print(
                f"{len(store)} utterances of {len(base.speakers)} speakers; {len(held_out)} utterances held out"
            )
            info = training_info(command, recipe, manifest, held_out)
            record = CallRecord(config.output, "pretrain", command, config.manifest, manifest, config.device)
            recordings = [utterance.source for utterance in manifest]
            return _train(config, base, store, recordings, console, deadline, info, record)


def _train(
    config: PretrainConfig,
    base: Base,
    store: FeatureStore,
    recordings: Sequence[Path],
    console: Console,
    deadline: float,
    info: RunInfo,
    record: CallRecord,
) -> Path:
    """Run the stages and return the folder of the base. recordings: the source of each utterance."""
    if not train_aligner(config, base, store, deadline, info, console):
        raise TtsMetaError("the time is up in the training of the aligner; run the same command again to continue")
    segments = _pieces(config, base, store, console)

    steps = _train_acoustic(config, base, segments, recordings, deadline, info)
    base.acoustic.speaker.centre()
    folder = config.output / "base"
    corpus, utterances = without_absolute_path(config.manifest), int(segments.durations.known.sum())
    base.state |= {"steps": steps, "corpus": corpus, "utterances": utterances, "runs": record.finished()}
    base.state |= {"phonemizer": phonemizer_versions(config.base.phonemizer)}
    if is_first():
        measure_postfilter(base, segments.select(_is_validation(segments)))
        save_base(base, folder)
    barrier()
    if steps < config.acoustic.steps:
        raise TtsMetaError(f"the time is up; {folder} holds the base so far, run the same command again to continue")
    return folder


def _pieces(config: PretrainConfig, base: Base, store: FeatureStore, console: Console) -> Segments:
    """Return the segments for the acoustic model; excluded.jsonl lists utterances that do not match their texts."""
    durations = aligned_durations(config.output, store, base, console)
    segments = segment_utterances(store, durations, base, config.min_segment_seconds, config.pause_seconds)
    segments = segments.select(segments.frames <= config.max_seconds / config.base.audio.mel.frame_seconds)
    utterances = int(durations.known.sum())
    console.print(f"{utterances} utterances aligned; {len(segments)} segments of at most {config.max_seconds:.0f} s")
    return segments


def stage_to_resume(config: PretrainConfig) -> str | None:
    """The stage of `config.resume`. Raises UsageError for a checkpoint of another run or of a finished stage."""
    results = {"aligner_first": "realigned.safetensors", "aligner": "aligner.safetensors", "acoustic": ""}
    return resumed_stage(config.resume, config.output, results)


def acoustic_objective(
    model: AcousticModel, log_every: int = 1
) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    """The loss of pretraining, one process's share of it, and further scalars to log."""

    def loss(batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        output = model(batch)
        nll = acoustic_loss(model, output, batch)
        share = dataclasses.replace(nll, frames=batch.all_frames, symbols=batch.all_symbols)
        if (step + 1) % log_every:
            return share.per_unit(model.n_mels), {}
        scalars = {
            "mel_nll": nll.mel / nll.frames / model.n_mels,
            "duration_nll": nll.duration / nll.symbols,
            "prosody_nll": nll.prosody / nll.symbols,
            "mel_l1": mel_l1(output, batch),
        }
        return share.per_unit(model.n_mels), scalars

    return loss


def _is_validation(segments: Segments) -> NDArray[np.bool_]:
    """Mark the segments for validation, `(P,)`: all segments of some recordings, at every speed."""
    recordings: dict[str, int] = {}
    of_utterance = np.array([recordings.setdefault(unperturbed_name(id), len(recordings)) for id in segments.store.ids])
    every = max(_VALIDATION_EVERY, len(segments) // _MAX_VALIDATION_SEGMENTS)
    return of_utterance[segments.table[:, 0]] % every == 0


def _train_acoustic(
    config: PretrainConfig, base: Base, segments: Segments, recordings: Sequence[Path], deadline: float, info: RunInfo
) -> int:
    """Train the acoustic model and return the steps done. recordings: the source of each utterance."""
    model = base.acoustic
    is_validation = _is_validation(segments)
    stream = training_stream(config, base, config.acoustic, segments.select(~is_validation), model.reduction)
    validation = collate(segments.select(is_validation)[:], stream.speakers, model.reduction)
    if not config.init_from:
        frames = torch.cat(
            [segments[n].mel for n in range(0, len(segments), max(10, len(segments) // _MEASURED_SEGMENTS))]
        )
        model.mel_mean.copy_(frames.mean(0))
        # A band without energy in this corpus, such as above 4 kHz in telephone speech, has a scale of almost 0.
        model.mel_scale.copy_(frames.std(0).clamp(min=0.1))
    model.to(config.device)
    vocoder = load_vocoder(mel=config.base.audio.mel) if is_first() and config.sentences else None
    samples = AcousticSamples(
        base, segments.select(is_validation), validation, recordings, config.sentences or (), vocoder, config.device
    )
    steps = fit(
        "acoustic",
        model,
        acoustic_objective(model, config.log_every),
        stream,
        FitSettings.of(config, config.acoustic, deadline, stage_to_resume(config) == "acoustic"),
        config.output / "acoustic",
        config.base.audio.mel,
        samples.log,
        info=info.of_stage("acoustic", config.acoustic),
    )
    model.cpu().eval()
    return steps
