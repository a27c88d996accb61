"""Training of the source-filter vocoder: recordings, pitch predictor, and the generator in up to three stages.

Stage `spectral` minimises the spectral energy distance. Stage `adversarial` adds discriminators. Stage `finetune`
generates less noise than speech has and trains on mels that the acoustic model predicts. Every stage resumes:
the features of recordings are in the cache, and predictions and checkpoints in the output folder.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from rich.console import Console
from torch import nn

from tts_meta.array_store import ArrayStore
from tts_meta.corpus import Manifest, hold_out_named
from tts_meta.corpus.languages import in_language
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, write_tensors
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.pitch_predictor import PitchPredictor
from tts_meta.models.vocoders.source_filter import SourceFilterConfig, SourceFilterGenerator
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.report.log import Log
from tts_meta.report.run_info import RunInfo
from tts_meta.tensors import read_tensors
from tts_meta.train.checkpoint_history import resumed_stage
from tts_meta.train.discriminator import Discriminator, DiscriminatorConfig
from tts_meta.train.distributed import all_agree, barrier, is_first, process_group
from tts_meta.train.features import load_features
from tts_meta.train.logs import training_info
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.predicted_mels import load_predicted_mels
from tts_meta.train.provenance import CallRecord, without_absolute_path
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.shared_work import share_out
from tts_meta.train.training_config import FitSettings, TrainingConfig
from tts_meta.train.vocoder_data import (
    CropStream,
    Frames,
    PitchLabels,
    PredictedMels,
    StoredFrames,
    VocoderCache,
    VocoderData,
)
from tts_meta.train.vocoder_losses import VocoderLoss, adversarial_objective, pitch_loss, spectral_objective
from tts_meta.train.vocoder_samples import vocoder_sampler

_VALIDATION_EVERY = 80
"""One in this many utterances is kept for validation."""
_STAGES = ("spectral", "adversarial", "finetune")


class VocoderTrainConfig(TrainingConfig):
    """`tts-meta train-vocoder`: pitch predictor, then the generator in the stages spectral, adversarial, finetune."""

    cache: Path = Path("runs/cache")
    """Folder of the feature cache, which holds log-mels, samples and F0; several runs may share it."""
    base: Path | None = None
    """Base whose audio settings all stages use and whose predicted mels the last stage uses; default: shipped base."""
    init_from: Path | None = None
    """Source-filter vocoder of the same sizes to start from, whose pitch predictor is kept; default: random weights."""
    vocoder: SourceFilterConfig = SourceFilterConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    pitch: OptimiserConfig
    """Training of the pitch predictor on Praat's F0."""
    spectral: OptimiserConfig
    """Training by the spectral energy distance; 0 steps omit this stage."""
    adversarial: OptimiserConfig
    """Training with discriminators, which the last stage also uses; 0 steps omit this stage and the discriminators."""
    finetune: OptimiserConfig
    """Last stage: less noise, and mels that the acoustic model predicts; 0 steps omit this stage."""
    adversarial_weight: float = Field(default=0.3, ge=0)
    """Weight of the adversarial loss relative to the spectral energy distance."""
    repulsion: float = Field(default=0.2, ge=0, le=1)
    """Weight, in the last stage, of the distance between two generated waveforms; 1: as much noise as in speech."""
    predicted_fraction: float = Field(default=0.5, ge=0, le=1)
    """Fraction of the crops of the last stage that use predicted mels."""
    crop_frames: int = Field(default=72, gt=16, le=100_000)
    """Mel frames of a training crop."""


def train_vocoder(config: VocoderTrainConfig, command: str = "") -> Path:
    """Train a source-filter vocoder as `config` says and return its folder, `config.output / "vocoder"`.

    A second call with the same configuration continues a stopped run. The vocoder after stage `spectral`, `adversarial`
    or `finetune` is in the folder of that name. command: the command line, for the logs. Raises TtsMetaError for a
    folder that holds another run, and if the vocoder to start from has other sizes or takes other mels.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else float("inf")
    with process_group(config.device) as rank:
        recipe, config = config, config.model_copy(update={"device": str(choose_device(config.device))})
        console = Console(stderr=True, quiet=rank > 0)
        manifest = Manifest.load(config.manifest).of_split(*config.splits)
        base = load_base(config.base)
        manifest = in_language(manifest, base.language, config.manifest)
        manifest, held_out = hold_out_named(manifest, config.held_out_speakers)
        torch.manual_seed(config.seed)
        generator = _initial_generator(config, base)
        discriminator = Discriminator(config.discriminator)
        with open_run_dir(config.output, recipe):
            info = training_info(command, recipe, manifest, held_out)
            record = CallRecord(config.output, "train-vocoder", command, config.manifest, manifest, config.device)
            run = _Run(config, base, manifest, console, deadline, info, record)
            console.print(f"{len(run.store)} utterances; {len(held_out)} utterances held out")
            if not config.init_from:
                run.train_pitch(generator.pitch)
            pitch = run.predict_pitch(generator.pitch)
            for stage in _STAGES:
                run.train_generator(stage, generator, discriminator, pitch)
            folder = config.output / "vocoder"
            if rank == 0:
                save_source_filter(generator, folder, run.state())
            barrier()
            return folder


def _initial_generator(config: VocoderTrainConfig, base: Base) -> SourceFilterGenerator:
    if not config.init_from:
        return SourceFilterGenerator(config.vocoder, base.config.audio.mel)
    generator = load_source_filter(config.init_from)
    if (generator.config, generator.mel_config) != (config.vocoder, base.config.audio.mel):
        raise TtsMetaError(f"{config.init_from}: a vocoder of other sizes or for other mels; start from another one")
    return generator


class _Run:
    """The data of a run and its stages, each of which writes to the run's folder."""

    def __init__(
        self,
        config: VocoderTrainConfig,
        base: Base,
        manifest: Manifest,
        console: Console,
        deadline: float,
        info: RunInfo,
        record: CallRecord,
    ) -> None:
        self.record = record
        self.config, self.base, self.console, self.deadline, self.info = config, base, console, deadline, info
        self.mel_config = base.config.audio.mel
        results = {"pitch": "pitch.safetensors"} | {stage: f"{stage}/weights.safetensors" for stage in _STAGES}
        self.resumed = resumed_stage(config.resume, config.output, results)
        cache = VocoderCache(config.cache, base.config.audio)
        self.store = load_features(config.output, manifest, base, cache, config.workers, console)
        self.data = VocoderData(self.store, cache)
        numbers = np.arange(len(self.store))
        self.validation = numbers[::_VALIDATION_EVERY]
        self.training = np.delete(numbers, self.validation)

    def state(self) -> dict[str, object]:
        """The facts of the training for the vocoder's `state.json`."""
        stages = {stage: getattr(self.config, stage).steps for stage in ("pitch", *_STAGES)}
        corpus, init_from = without_absolute_path(self.config.manifest), self.config.init_from
        state: dict[str, object] = {"corpus": corpus, "utterances": len(self.store), "steps": stages}
        state["runs"] = self.record.finished()
        return state | {"init_from": without_absolute_path(init_from)} if init_from else state

    def train_pitch(self, predictor: PitchPredictor) -> None:
        """Train the pitch predictor on Praat's F0, or load it from `pitch.safetensors` if it is finished."""
        finished = self.config.output / "pitch.safetensors"
        labels = PitchLabels(self.data.f0, self.config.vocoder.pitch.low)
        self._train("pitch", predictor, pitch_loss(predictor), self._stream(self.config.pitch, labels), finished)

    def predict_pitch(self, predictor: PitchPredictor) -> StoredFrames:
        """Return the predictor's log F0 and voicing of all frames, `(F, 2)`; the generator is trained on them.

        They are in the folder `pitch_frames` of the run, which all processes fill.
        """
        weights = hashlib.sha256(b"".join(value.numpy().tobytes() for value in predictor.state_dict().values()))
        content = {"features": "log F0 and voicing", "predictor": weights.hexdigest()}
        arrays = ArrayStore(self.config.output / "pitch_frames", np.float32, 2, content)
        predictor.to(self.config.device)

        def predict(number: int) -> None:
            with torch.inference_mode():
                pitch = predictor(self.store[number].mel[None].to(self.config.device))
                both = torch.stack([pitch.log_f0[0], pitch.voiced[0]], 1).cpu()
            arrays.put(self.store.key(number), both.numpy())

        share_out(self.store.missing(arrays), predict, "pitch of recordings", self.console)
        arrays.refresh()
        predictor.cpu()
        return StoredFrames(self.store, arrays)

    def train_generator(
        self,
        stage: str,
        generator: SourceFilterGenerator,
        discriminator: Discriminator,
        pitch: Frames,
    ) -> None:
        """Train generator and discriminator by one stage, and write the vocoder to the folder of the stage."""
        optimiser: OptimiserConfig = getattr(self.config, stage)
        if not optimiser.steps:
            return
        generator.pitch.requires_grad_(False)
        finished = self.config.output / stage / "weights.safetensors"
        is_last, config = stage == "finetune", self.config
        predicted = None
        if is_last and config.predicted_fraction:
            predicted = load_predicted_mels(config, self.base, self.store, config.predicted_fraction, self.console)
        stream = self._stream(optimiser, pitch, predicted)
        networks = nn.ModuleDict({"generator": generator.net})
        repulsion = config.repulsion if is_last else 1.0
        if stage == "spectral" or not config.adversarial.steps:
            loss = spectral_objective(generator, repulsion)
        else:
            networks["discriminator"] = discriminator
            loss = adversarial_objective(generator, discriminator, config.adversarial_weight, repulsion)
        sample = vocoder_sampler(generator, self.store, self.data, self.validation, config.device)

        def save() -> None:
            save_source_filter(generator, config.output / stage / "vocoder", self.state() | {"stage": stage})

        self._train(stage, networks, loss, stream, finished, generator, sample, save)

    def _stream(self, optimiser: OptimiserConfig, pitch: Frames, predicted: PredictedMels | None = None) -> CropStream:
        config = self.config
        return CropStream(
            self.store,
            self.data,
            self.data.mels,
            pitch,
            self.training,
            config.crop_frames,
            optimiser.batch_size,
            config.seed,
            config.workers,
            predicted,
        )

    def _train(
        self,
        stage: str,
        model: nn.Module,
        loss: VocoderLoss,
        stream: CropStream,
        finished: Path,
        container: nn.Module | None = None,
        sample: Callable[[Log, int], float | None] = lambda log, step: None,
        save: Callable[[], None] = lambda: None,
    ) -> None:
        """Train a stage, or load its weights from `finished` if it is done.

        `container` is the module that the loss runs, with the trained modules inside. `save` writes the result, also if
        the time is up.
        """
        config, optimiser = self.config, getattr(self.config, stage)
        modules = [module for module in (model, container) if module is not None]
        if not all_agree(finished.exists()):
            settings = FitSettings.of(config, optimiser, self.deadline, self.resumed == stage)
            for module in modules:
                module.to(config.device)
            clipped = list(model.children()) if isinstance(model, nn.ModuleDict) else ()
            folder, info = config.output / stage, self.info.of_stage(stage, optimiser)
            steps = fit(stage, model, loss, stream, settings, folder, self.mel_config, sample, clipped, info)
            if is_first():
                save()
            barrier()
            if steps < optimiser.steps:
                raise TtsMetaError(f"the time is up in stage {stage}; run the same command again to continue")
            if is_first():
                with atomic_file(finished) as temporary:
                    write_tensors(temporary, {name: value.cpu() for name, value in model.state_dict().items()})
            barrier()
            for module in modules:
                module.cpu()
        advice = f"delete {finished} to make it again from the last checkpoint"
        model.load_state_dict(read_tensors(finished, advice, model.state_dict(), f"not of stage {stage}"))
        model.eval()
