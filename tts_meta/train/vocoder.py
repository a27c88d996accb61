"""Training of the light vocoder: recordings, pitch predictor, and the generator in up to three stages.

By the spectral energy distance alone; against discriminators beside it; at last with less noise than speech has, and on
mels that the acoustic model predicts. Every stage resumes: recordings, labels and predicted mels lie in the output
folder, and so does each training's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tts_meta.audio import MelSpec
from tts_meta.audio.mel import MelConfig
from tts_meta.corpus import Manifest, bucket_batches, collate, hold_out_named
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file, restore_folder, write_tensors
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.pitch_predictor import Pitch, PitchPredictor
from tts_meta.models.vocoders.source_filter import EDGE_FRAMES, SourceFilterConfig, SourceFilterGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_distance, spectral_energy_distance
from tts_meta.report.log import AUDIO, MEL, Log
from tts_meta.report.run_info import RunInfo
from tts_meta.tensors import read_tensors
from tts_meta.train.datasets import align_examples, cut_at_said_pauses
from tts_meta.train.discriminator import Discriminator, DiscriminatorConfig, adversarial_loss, discriminator_loss
from tts_meta.train.distributed import all_agree, barrier, is_first, processes
from tts_meta.train.feature_store import Durations, Store, load_array, write_store
from tts_meta.train.logs import training_info
from tts_meta.train.loop import FitSettings, TrainingConfig, fit
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.segments import Pieces
from tts_meta.train.vocoder_data import FULL_SCALE, CropStream, VocoderBatch, VocoderData, write_audio

_KEPT_EVERY = 80
"""One utterance in so many is kept for validation."""
_LEVEL_CHANGE, _MEL_NOISE = 0.3, 0.15
"""Standard deviations of what is added to log-mels in the training of the pitch predictor."""
_FRAMES_AT_ONCE = 8000
"""Frames of a batch of pieces whose mels are predicted."""
_SHOWN = 3
"""Utterances kept for validation that the log has as sounds."""
_STAGES = ("spectral", "adversarial", "finetune")

Loss = Callable[[VocoderBatch, int], tuple[Tensor, dict[str, Tensor]]]


class VocoderTrainConfig(TrainingConfig):
    """`tts-meta train-vocoder`: pitch predictor, generator by spectra, against discriminators, on predicted mels."""

    base: Path | None = None
    """Base whose mels the last stage trains on, and whose audio settings all do; none: the shipped one."""
    start: Path | None = None
    """Light vocoder that this one starts from, with the same sizes; its pitch predictor stays; none: from nothing."""
    vocoder: SourceFilterConfig = SourceFilterConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    pitch: OptimiserConfig
    """Of the stage that trains the pitch predictor, by Praat's F0."""
    spectral: OptimiserConfig
    """Of the stage that trains by the spectral energy distance alone; 0 steps leave it out."""
    adversarial: OptimiserConfig
    """Of the stage that adds discriminators, which then stay; 0 steps leave it and them out."""
    finetune: OptimiserConfig
    """Of the last stage, which makes the sound purer and hears the acoustic model's mels; 0 steps leave it out."""
    adversarial_weight: float = Field(default=0.3, ge=0)
    """Weight of the discriminators beside the spectral energy distance."""
    repulsion: float = Field(default=0.2, ge=0, le=1)
    """Weight, in the last stage, of the distance between two makings: 1 gives noise as in speech, less gives less."""
    predicted: float = Field(default=0.5, ge=0, le=1)
    """Part of the crops of the last stage whose mels are predicted."""
    crop_frames: int = Field(default=72, gt=16, le=100_000)
    """Mel frames of the crops trained on."""


def train_vocoder(config: VocoderTrainConfig, command: str = "") -> Path:
    """Train a light vocoder as `config` says and return its folder, `config.output / "vocoder"`.

    Called again with the same configuration it goes on where it was stopped. The vocoder as it is after the stage
    `spectral`, `adversarial` or `finetune` lies in the folder of that name. command: the command line, for the logs.
    Raises TtsMetaError for a folder that holds another run, and where the vocoder to start from has other sizes or
    takes other mels.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else float("inf")
    with processes(config.device) as rank:
        console = Console(stderr=True, quiet=rank > 0)
        manifest = Manifest.load(config.manifest).of_split(*config.splits)
        manifest, held = hold_out_named(manifest, config.held_out_speakers)
        base = load_base(config.base)
        torch.manual_seed(config.seed)
        generator = _first_generator(config, base)
        discriminator = Discriminator(config.discriminator)
        with open_run_dir(config.output, config):
            info = training_info(command, config, manifest, held)
            run = _Run(config, base, manifest, console, deadline, info)
            console.print(f"{len(run.store)} utterances; {len(held)} utterances held back")
            if not config.start:
                run.train_pitch(generator.pitch)
            pitch = run.predict_pitch(generator.pitch)
            for stage in _STAGES:
                run.train_generator(stage, generator, discriminator, pitch)
            folder = config.output / "vocoder"
            if rank == 0:
                save_source_filter(generator, folder, run.state())
            barrier()
            return folder


def _first_generator(config: VocoderTrainConfig, base: Base) -> SourceFilterGenerator:
    """The generator that training starts from."""
    if not config.start:
        return SourceFilterGenerator(config.vocoder, base.config.audio.mel)
    generator = load_source_filter(config.start)
    if (generator.config, generator.mel_config) != (config.vocoder, base.config.audio.mel):
        raise TtsMetaError(f"{config.start}: of other sizes or for other mels than this run; start from another")
    return generator


class _Run:
    """What the stages of a run share: its utterances, and where each writes."""

    def __init__(
        self,
        config: VocoderTrainConfig,
        base: Base,
        manifest: Manifest,
        console: Console,
        deadline: float,
        info: RunInfo,
    ) -> None:
        self.config, self.base, self.console, self.deadline, self.info = config, base, console, deadline, info
        self.mel_config: MelConfig = base.config.audio.mel
        self.store, self.sound = self._utterances(manifest)
        self.mels: NDArray[np.float16] = np.memmap(
            config.output / "utterances" / "mel.float16", np.float16, "r"
        ).reshape(-1, self.mel_config.n_mels)
        numbers = np.arange(len(self.store))
        self.kept, self.trained_on = numbers[::_KEPT_EVERY], np.delete(numbers, numbers[::_KEPT_EVERY])

    def state(self) -> dict[str, object]:
        """What is told of the training beside the weights."""
        stages = {stage: getattr(self.config, stage).steps for stage in ("pitch", *_STAGES)}
        state: dict[str, object] = {"corpus": str(self.config.manifest), "utterances": len(self.store), "steps": stages}
        return state | {"start": str(self.config.start)} if self.config.start else state

    def train_pitch(self, predictor: PitchPredictor) -> None:
        """Train the pitch predictor by Praat's F0; the finished one lies in `pitch.safetensors`, read ever after."""
        finished = self.config.output / "pitch.safetensors"
        f0, low = self.sound.f0, self.config.vocoder.pitch.low
        labels = np.stack([np.log(np.maximum(f0, low)), f0 > 0], 1).astype(np.float32)
        self._train("pitch", predictor, _pitch_loss(predictor), self._stream(self.config.pitch, labels), finished)

    def predict_pitch(self, predictor: PitchPredictor) -> NDArray[np.float32]:
        """What the predictor says of all recordings, `(F, 2)`: what the generator is trained on."""
        path = self.config.output / "pitch.npy"
        if is_first() and not path.exists():
            predictor.to(self.config.device)
            said = []
            with torch.inference_mode():
                for n in track(range(len(self.store)), "pitch of recordings", console=self.console):
                    example = self.store[n]
                    pitch = predictor(example.mel[None].to(self.config.device))
                    said.append(torch.stack([pitch.log_f0[0], pitch.voiced[0]], 1).cpu().numpy())
            with atomic_file(path) as temporary, open(temporary, "wb") as file:
                np.save(file, np.concatenate(said))
            predictor.cpu()
        barrier()
        return load_array(path, np.float32, (int(self.store.frames.sum()), 2))

    def train_generator(
        self, stage: str, generator: SourceFilterGenerator, discriminator: Discriminator, pitch: NDArray[np.float32]
    ) -> None:
        """One stage; the generator and discriminator are left as it ends, and the vocoder is written to its folder."""
        optimiser: OptimiserConfig = getattr(self.config, stage)
        if not optimiser.steps:
            return
        generator.pitch.requires_grad_(False)
        finished = self.config.output / stage / "players.safetensors"
        last, config = stage == "finetune", self.config
        other = (*self._predicted(), config.predicted) if last and config.predicted else None
        stream = self._stream(optimiser, pitch, other)
        players = nn.ModuleDict({"generator": generator.net})
        repulsion = config.repulsion if last else 1.0
        if stage == "spectral" or not config.adversarial.steps:
            loss = spectral_objective(generator, repulsion)
        else:
            players["discriminator"] = discriminator
            loss = adversarial_objective(generator, discriminator, config.adversarial_weight, repulsion)
        sample = self._sampler(generator)

        def save() -> None:
            save_source_filter(generator, self.config.output / stage / "vocoder", self.state() | {"stage": stage})

        self._train(stage, players, loss, stream, finished, generator, sample, save)

    def _utterances(self, manifest: Manifest) -> tuple[Store, VocoderData]:
        config = self.config
        folder, sound = config.output / "utterances", config.output / "sound"
        if is_first():
            restore_folder(folder)
            restore_folder(sound)
            if not (folder.exists() and sound.exists()):
                loaded = write_audio(sound, manifest, self.base, config.workers)
                write_store(folder, track(loaded, "recordings", len(manifest), console=self.console))
        barrier()
        store = Store(folder)
        if store.ids != [utterance.id for utterance in manifest]:
            raise TtsMetaError(f"{config.output} holds a run on other utterances; choose another output folder")
        store.check(len(self.base.symbols), self.mel_config.n_mels)
        return store, VocoderData(sound, store, self.mel_config.hop)

    def _predicted(self) -> tuple[NDArray[np.bool_], NDArray[np.float16]]:
        """Which utterances have mels that the acoustic model predicts, teacher-forced and sharpened, and those mels."""
        output, base, store = self.config.output, self.base, self.store
        path, durations_path = output / "predicted.float16", output / "durations.safetensors"
        if is_first() and not durations_path.exists():
            numbers = {name: number for number, name in enumerate(store.ids)}
            aligned = align_examples(store, base, output / "left_out.jsonl")
            told = track(aligned, "alignment", len(store), console=self.console)
            Durations.of(store, ((numbers[example.id], example.durations) for example in told)).save(durations_path)
        barrier()
        durations = Durations.load(durations_path, store)
        if is_first() and not path.exists():
            pieces = cut_at_said_pauses(
                store, durations, base, self.config.min_segment_seconds, self.config.pause_seconds
            )
            mels = predict_mels(base, store, pieces, self.config.device, self.console)
            with atomic_file(path) as temporary:
                mels.tofile(temporary)
        barrier()
        known = durations.known & np.isin(np.array(store.speakers), np.array(base.speakers))
        if path.stat().st_size != self.mels.nbytes:
            raise TtsMetaError(f"{path}: damaged, of another size than its utterances; delete it to make it again")
        return known, np.memmap(path, np.float16, "r").reshape(-1, self.mel_config.n_mels)

    def _stream(
        self,
        optimiser: OptimiserConfig,
        pitch: NDArray[np.float32],
        other: tuple[NDArray[np.bool_], NDArray[np.float16], float] | None = None,
    ) -> CropStream:
        config = self.config
        return CropStream(
            self.store,
            self.sound,
            self.mels,
            pitch,
            self.trained_on,
            config.crop_frames,
            optimiser.frames_per_batch,
            config.seed,
            config.workers,
            other,
        )

    def _train(
        self,
        stage: str,
        model: nn.Module,
        loss: Loss,
        stream: CropStream,
        finished: Path,
        beside: nn.Module | None = None,
        sample: Callable[[Log, int], None] = lambda log, step: None,
        save: Callable[[], None] = lambda: None,
    ) -> None:
        """Fit a stage that is not finished, or read what it left.

        `beside` is a module that its loss also runs; `save` writes what came of it, also where the time was up.
        """
        config, optimiser = self.config, getattr(self.config, stage)
        modules = [module for module in (model, beside) if module is not None]
        if not all_agree(finished.exists()):
            settings = FitSettings.of(config, optimiser, self.deadline)
            for module in modules:
                module.to(config.device)
            folder, players = config.output / stage, list(model.children()) if isinstance(model, nn.ModuleDict) else ()
            info = self.info.of_stage(stage, optimiser)
            steps = fit(stage, model, loss, stream, settings, folder, self.mel_config, sample, players, info)
            if is_first():
                save()
            barrier()
            if steps < optimiser.steps:
                raise TtsMetaError(f"the time is up in the stage {stage}; run the same command again to go on")
            if is_first():
                with atomic_file(finished) as temporary:
                    write_tensors(temporary, {name: value.cpu() for name, value in model.state_dict().items()})
            barrier()
            for module in modules:
                module.cpu()
        advice = f"delete {finished} to make it again from the last checkpoint"
        model.load_state_dict(read_tensors(finished, advice, model.state_dict(), f"not of the stage {stage}"))
        model.eval()

    def _sampler(self, generator: SourceFilterGenerator) -> Callable[[Log, int], None]:
        """Logs how far the kept utterances are as spoken anew, and the first ones to listen to and look at."""
        longest = 8 * self.mel_config.sample_rate // self.mel_config.hop

        def sample(log: Log, step: int) -> None:
            light, distances = SourceFilterVocoder(generator), []
            for n in self.kept[:20]:
                begin, frames = int(self.store.frame_starts[n]), min(longest, int(self.store.frames[n]))
                mel = torch.from_numpy(np.array(self.mels[begin : begin + frames])).float()
                made = light(mel[None].to(self.config.device)).cpu()
                real = torch.from_numpy(self.sound.samples(begin, begin + frames) / np.float32(FULL_SCALE))[None]
                distances.append(spectral_distance(spectra(real), spectra(made)))
                if n in self.kept[:_SHOWN]:
                    self._log_pair(log, int(n), real[0], made[0], step)
            log.scalar("validation/distance", torch.stack(distances).mean(), step)

        return sample

    def _log_pair(self, log: Log, n: int, real: Tensor, made: Tensor, step: int) -> None:
        """An utterance as recorded `(S,)` and as the vocoder makes it."""
        name, rate, mel_spec = self.store.ids[n], self.mel_config.sample_rate, MelSpec(self.mel_config)
        for part, samples in (("1_real", real), ("2_made", made)):
            log.audio(f"{AUDIO}/{name}/{part}", samples, rate, step)
            log.mel(f"{MEL}/{name}/{part}", mel_spec(samples[None])[0], step)


def predict_mels(base: Base, store: Store, pieces: Pieces, device: str, console: Console) -> NDArray[np.float16]:
    """Log-mels `(F, M)` of all frames of a store that the acoustic model predicts for aligned pieces; 0 elsewhere.

    Each piece is spoken with the true durations, prosody and last frames, and sharpened as when the model speaks.
    """
    model = base.acoustic.to(device)
    starts = store.frame_starts
    mels = np.zeros((int(store.frames.sum()), model.n_mels), np.float16)
    speakers = {name: number for number, name in enumerate(base.speakers)}
    speakers |= {name: -1 for name in store.speakers if name not in speakers}
    batches = bucket_batches(pieces.frames.tolist(), _FRAMES_AT_ONCE, 0, 0)
    for places in track(batches, "predicted mels", console=console):
        batch = collate([pieces[place] for place in places], speakers, model.reduction).to(device)
        with torch.inference_mode():
            said = model(batch).mel
        for row, place in enumerate(places):
            number, begin, end = (int(pieces.table[place, column]) for column in (0, 6, 7))
            mel = model.postfilter(said[row, : end - begin])
            mels[starts[number] + begin : starts[number] + end] = mel.cpu().numpy()
    model.cpu()
    return mels


def _pitch_loss(predictor: PitchPredictor) -> Loss:
    """Cross-entropy of bins around the true F0 where voiced, and of voicing, for mels of other levels and noisier."""

    def loss(crops: VocoderBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        levels = _LEVEL_CHANGE * torch.randn(len(crops.mel), 1, 1, device=crops.mel.device)
        noise = _MEL_NOISE * torch.randn(len(crops.mel), 1, 1, device=crops.mel.device)
        scores, voiced = predictor.logits(crops.mel + levels + noise * torch.randn_like(crops.mel))
        width = predictor.centres[1] - predictor.centres[0]
        near = (predictor.centres - crops.log_f0.unsqueeze(-1)) / width
        target = (-0.5 * near.square()).softmax(-1)
        frames = -(target * scores.log_softmax(-1)).sum(-1) * crops.voiced
        bins = frames.sum() / crops.voiced.sum().clamp(min=1)
        voicing = F.binary_cross_entropy_with_logits(voiced, crops.voiced)
        return (bins + voicing) * crops.share, {"bins": bins, "voicing": voicing}

    return loss


def _make(generator: SourceFilterGenerator, crops: VocoderBatch, makings: int) -> tuple[Tensor, Tensor]:
    """The real sound of crops `(B, S)` and independent makings `(makings, B, S)`, the edges left out."""
    phase = torch.rand(len(crops.mel), device=crops.mel.device)
    noises = torch.randn(makings, *crops.samples.shape, device=crops.mel.device)
    made = generator(crops.mel, Pitch(crops.log_f0, crops.voiced), phase, noises)
    edge = EDGE_FRAMES * generator.mel_config.hop
    return crops.samples[:, edge:-edge], made[..., edge:-edge]


def spectral_objective(generator: SourceFilterGenerator, repulsion: float = 1.0) -> Loss:
    """The energy distance of two makings to the real sound, one process's share of it where several have a part."""

    def loss(crops: VocoderBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        real, made = _make(generator, crops, 2)
        value = spectral_energy_distance(spectra(real), *map(spectra, made), repulsion=repulsion)
        return value * crops.share, {"energy_distance": value}

    return loss


def adversarial_objective(
    generator: SourceFilterGenerator, discriminator: Discriminator, weight: float, repulsion: float = 1.0
) -> Loss:
    """Both players' losses in one sum: neither has a gradient by the other's."""

    def loss(crops: VocoderBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        real, made = _make(generator, crops, 2)
        value = spectral_energy_distance(spectra(real), *map(spectra, made), repulsion=repulsion)
        judge = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        fooled = adversarial_loss(functional_call(discriminator, judge, (made[0],)))
        told = discriminator_loss(discriminator(torch.cat([real, made[0].detach()])))
        scalars = {"energy_distance": value, "adversarial": fooled, "discriminator": told}
        return (value + weight * fooled + told) * crops.share, scalars

    return loss
