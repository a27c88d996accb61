"""Training of the ECAPA speaker encoder on the speakers of a base: classification and prototypical loss.

The loss is the sum of two losses. AAM-softmax (Deng et al. 2019, arXiv 1801.07698) classifies each crop, with a margin
between the angles of its own class and of the others. The angular prototypical loss (Chung et al. 2020, arXiv
2003.11982) is episodic: the prototype of a speaker is the mean of all crops but the first, and the first crop is
assigned to a prototype.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.config import DeviceName, Section, Seed, Share, Threads
from tts_meta.corpus import Manifest, hold_out_named
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.verification import cohort_mean, pair_error_rate
from tts_meta.models.ecapa_encoder import EcapaConfig, EcapaEncoder, log_mels
from tts_meta.report.log import Log
from tts_meta.train.logs import training_info
from tts_meta.train.loop import fit
from tts_meta.train.optimiser import OptimiserConfig
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.speaker_crops import FULL_SCALE, AugmentationConfig, CropBatch, SpeakerCrops, load_speech
from tts_meta.train.training_config import FitSettings

_BATCHES_PER_EPOCH = 300
"""An epoch is only a position in the order of the batches."""


def _refuse_parts(optimiser: OptimiserConfig) -> OptimiserConfig:
    if optimiser.accumulate > 1 or optimiser.frames_per_device is not None:
        raise ValueError("the encoder takes no accumulate and no frames_per_device; set speakers_per_batch")
    return optimiser


class VerifierConfig(Section):
    """Recipe of `python -m recipes.speaker_verification.train`."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: list[str]
    """Splits of the manifest to train on."""
    held_out_speakers: list[str] = Field(default=[])
    """Speakers of those splits on which the encoder is not trained."""
    validation_speakers: list[str] = Field(default=[])
    """Some of `held_out_speakers`, whose equal error rate is logged."""
    output: Path
    """Folder of the run. The encoder is in its folder `verifier`."""
    encoder: EcapaConfig = EcapaConfig()
    optimiser: Annotated[OptimiserConfig, AfterValidator(_refuse_parts)]
    """`frames_per_batch` is not used. The loss compares all crops of a batch, so a batch has no parts."""
    augmentation: AugmentationConfig = AugmentationConfig()
    speeds: list[float] = Field(default=[0.9, 1.0, 1.1], min_length=1)
    """Speeds of the crops. A speaker at another speed is another speaker."""
    speakers_per_batch: int = Field(default=32, gt=1)
    """Speakers of a batch."""
    crops_per_speaker: int = Field(default=2, gt=1)
    """Crops of each speaker in a batch."""
    crop_seconds: tuple[float, float] = (2.0, 3.0)
    """Range of the duration of the crops."""
    margin: float = Field(default=0.2, ge=0, lt=1.5)
    """Margin of AAM-softmax in radians."""
    scale: float = Field(default=30.0, gt=0)
    """Factor of the cosines of AAM-softmax."""
    mask_bands: int = Field(default=8, ge=0)
    """Largest number of adjacent mel bands of a crop that are masked (SpecAugment, Park et al. 2019)."""
    cohort_utterances: int = Field(default=20, gt=0)
    """Largest number of utterances of each training speaker in the mean of the cohort."""
    ema_decay: Share = 0.99
    """Decay of the moving average of the weights."""
    device: DeviceName = "auto"
    """Where to compute: `auto` (a GPU if there is one), `cpu`, `cuda` or `mps`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes matrix products in bfloat16 under autocast."""
    threads: Threads = 0
    """CPU threads; 0 leaves torch's default."""
    workers: int = Field(default=1, gt=0, le=256)
    """Threads that load recordings and make crops."""
    seed: Seed = 0
    """Seed of weights, crops and their changes."""
    log_every: int = Field(default=20, gt=0)
    """Steps between two lines of scalars."""
    save_every: int = Field(default=200, gt=0)
    """Steps between two checkpoints."""
    sample_every: int = Field(default=500, gt=0)
    """Steps between two measurements of the equal error rate."""

    def stream(self, speech: Mapping[str, Sequence[NDArray[np.int16]]]) -> SpeakerCrops:
        """Return the batches of a run. speech: from `load_speech`."""
        return SpeakerCrops(
            speech,
            self.augmentation,
            speeds=self.speeds,
            speakers=self.speakers_per_batch,
            crops=self.crops_per_speaker,
            seconds=self.crop_seconds,
            batches_per_epoch=_BATCHES_PER_EPOCH,
            seed=self.seed,
            threads=self.workers,
        )

    def fit_settings(self, device: str) -> FitSettings:
        """Return the settings of the training loop."""
        names = ("optimiser", "ema_decay", "precision", "log_every", "save_every")
        sample_every = max(1, min(self.sample_every, self.optimiser.steps))
        shared = {name: getattr(self, name) for name in names}
        return FitSettings(device=device, sample_every=sample_every, deadline=math.inf, **shared)


class VerificationLoss(nn.Module):
    """The encoder with the parameters of both losses. labels: number of classes. margin in radians."""

    def __init__(self, encoder: EcapaEncoder, labels: int, margin: float, scale: float, mask_bands: int) -> None:
        super().__init__()
        self.encoder, self.margin, self.scale, self.mask_bands = encoder, margin, scale, mask_bands
        self.classes = nn.Parameter(nn.init.xavier_normal_(torch.empty(labels, encoder.config.embedding)))
        self.prototype_scale = nn.Parameter(torch.tensor(10.0))
        self.prototype_bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, batch: CropBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss `()` of a batch, and both parts of it with the accuracy of the classification."""
        with torch.autocast(batch.samples.device.type, enabled=False):
            mels = mask_bands(log_mels(batch.samples), self.mask_bands)
        embeddings = self.encoder(mels)
        with torch.autocast(batch.samples.device.type, enabled=False):
            cosines = embeddings @ nn.functional.normalize(self.classes, dim=1).T
            aam = nn.functional.cross_entropy(aam_logits(cosines, batch.labels, self.margin, self.scale), batch.labels)
            crops = embeddings.unflatten(0, (-1, int((batch.labels == batch.labels[0]).sum())))
            prototypical = prototypical_loss(crops, self.prototype_scale, self.prototype_bias)
        accuracy = (cosines.argmax(1) == batch.labels).float().mean()
        return aam + prototypical, {"aam": aam, "prototypical": prototypical, "accuracy": accuracy}


def aam_logits(cosines: Tensor, labels: Tensor, margin: float, scale: float) -> Tensor:
    """Return scaled cosines `(B, L)`, with cos(angle + margin) in place of the cosine of the own class.

    Where the angle plus the margin exceeds π, the linear continuation cos(angle) - margin sin(margin) is used.
    """
    own = cosines.gather(1, labels[:, None])
    sine = (1 - own.square()).clamp(min=1e-7).sqrt()
    moved = own * math.cos(margin) - sine * math.sin(margin)
    moved = torch.where(own > -math.cos(margin), moved, own - margin * math.sin(margin))
    return scale * cosines.scatter(1, labels[:, None], moved)


def prototypical_loss(crops: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return the loss `()` of unit embeddings `(S, C, E)` of C crops of S speakers; scale and bias `()` are learned."""
    prototypes = nn.functional.normalize(crops[:, 1:].mean(1), dim=1)
    logits = crops[:, 0] @ prototypes.T * scale.clamp(min=1e-6) + bias
    return nn.functional.cross_entropy(logits, torch.arange(len(crops), device=crops.device))


def mask_bands(mels: Tensor, most: int) -> Tensor:
    """Return mels `(B, T, M)` with 0 to `most` adjacent bands of each crop set to 0, which is their mean."""
    count = torch.randint(most + 1, (len(mels), 1), device=mels.device)
    first = (torch.rand(len(mels), 1, device=mels.device) * (mels.shape[2] - count + 1)).long()
    bands = torch.arange(mels.shape[2], device=mels.device)
    masked = (bands >= first) & (bands < first + count)
    return mels.masked_fill(masked[:, None], 0.0)


def train_verifier(config: VerifierConfig, command: str = "") -> Path:
    """Train an encoder as `config` says and return its folder, `config.output / "verifier"`.

    A second call with the same configuration continues a stopped run. command: the command line, for the log. Raises
    TtsMetaError for a folder that holds another run, and for recordings that cannot be used.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    if unknown := set(config.validation_speakers) - set(config.held_out_speakers):
        raise TtsMetaError(f"validation_speakers: {min(unknown)} is a training speaker; add it to held_out_speakers")
    device = str(choose_device(config.device))
    manifest = Manifest.load(config.manifest).of_split(*config.splits)
    training, held_out = hold_out_named(manifest, config.held_out_speakers)
    torch.manual_seed(config.seed)
    encoder = EcapaEncoder(config.encoder)
    with open_run_dir(config.output, config):
        speech = load_speech(training, config.workers)
        validation = load_speech(held_out.of_speakers(config.validation_speakers)) if config.validation_speakers else {}

        def sample(log: Log, step: int) -> None:
            if validation:
                rate = pair_error_rate(embed_speech(encoder, validation, config.cohort_utterances))
                log.scalar("verifier/validation_eer", rate, step)
                print(f"step {step}: equal error rate of the validation speakers {rate:.4f}")

        stream = config.stream(speech)
        model = VerificationLoss(encoder, stream.labels, config.margin, config.scale, config.mask_bands).to(device)
        info = training_info(command, config, training, held_out)
        settings = config.fit_settings(device)
        fit("verifier", model, model, stream, settings, config.output, MelConfig(), sample, info=info)
        cohort = embed_speech(encoder, speech, config.cohort_utterances)
        encoder.cohort_mean.copy_(torch.from_numpy(cohort_mean(cohort)))
        state = {"steps": config.optimiser.steps, "utterances": len(training), "speakers": list(training.speakers)}
        encoder.save(config.output / "verifier", state)
    return config.output / "verifier"


def embed_speech(
    encoder: EcapaEncoder, speech: Mapping[str, Sequence[NDArray[np.int16]]], most: int
) -> dict[str, NDArray[np.float32]]:
    """Return embeddings `(U, E)`, not centred, of at most `most` utterances of each speaker at equal distances.

    speech: from `load_speech`.
    """
    chosen = {name: utterances[:: max(1, -(-len(utterances) // most))] for name, utterances in speech.items()}
    return {
        name: np.stack([encoder.embed_uncentred(samples / FULL_SCALE, SPEECH_RATE) for samples in utterances])
        for name, utterances in chosen.items()
    }
