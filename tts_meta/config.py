"""Typed, frozen, strict configuration: a misspelt key is an error that lists the valid names.

The classes mirror the parts that read them; a part is handed its own section, never the whole.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts_meta.errors import TtsMetaError, UsageError


class Section(BaseModel):
    """One section of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class MelConfig(Section):
    """Log-mel spectrogram in the HiFi-GAN convention (Kong et al. 2020)."""

    sample_rate: int = 22050
    """Samples a second of every waveform inside the toolkit."""
    n_fft: int = 1024
    """Samples in one analysis window."""
    hop: int = 256
    """Samples from one frame to the next."""
    n_mels: int = 80
    """Mel bands M."""
    f_min: float = 0.0
    """Lowest frequency, Hz."""
    f_max: float = 8000.0
    """Highest frequency, Hz; 8,000 loses nothing of 16 kHz corpora."""
    floor: float = 1e-5
    """Magnitudes are clamped here before the natural logarithm."""

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate


class AudioConfig(Section):
    """How a recording becomes features."""

    mel: MelConfig = MelConfig()
    trim_db: float = 40.0
    """Leading and trailing parts this far below the loudest frame are cut, dB."""
    trim_pad: float = 0.06
    """Seconds kept on each side of what was found to be speech."""
    loudness: float = -24.0
    """Root mean square of the active part after normalisation, dB of full scale."""


class AlignerConfig(Section):
    """Frame classifier that aligns symbols to frames (`models/aligner.py`)."""

    channels: int = 192
    """Width of the convolutions and of the recurrent layer."""
    layers: int = 3
    """Convolutions before the recurrent layer."""
    kernel: int = 5
    """Frames each convolution sees."""


class EncoderConfig(Section):
    """Symbols to hidden states."""

    channels: int = 384
    """Width D of embedding, convolutions and output."""
    layers: int = 3
    """Convolutions before the bidirectional LSTM."""
    kernel: int = 5
    """Symbols each convolution sees."""
    dropout: float = 0.2
    """Dropout after each convolution."""


class PredictorConfig(Section):
    """Predictor of something of each symbol: duration and range, or prosody."""

    channels: int = 256
    """Width of its convolutions."""
    layers: int = 2
    """Convolutions."""
    kernel: int = 3
    """Symbols each convolution sees."""
    dropout: float = 0.2
    """Dropout after each convolution."""


class DecoderConfig(Section):
    """Autoregressive LSTM decoder."""

    reduction: int = 3
    """Frames R that one step emits."""
    prenet: int = 256
    """Width of the two prenet layers."""
    prenet_dropout: float = 0.5
    """Dropout in the prenet while training; keeps the decoder from copying its own last frame."""
    channels: int = 512
    """Width of the LSTM layers."""
    layers: int = 2
    """LSTM layers."""


class PostnetConfig(Section):
    """Convolutional residual correction of the decoder's frames."""

    channels: int = 256
    """Width of its convolutions."""
    layers: int = 5
    """Convolutions."""
    kernel: int = 5
    """Frames each convolution sees."""
    dropout: float = 0.0
    """Dropout after each convolution but the last."""


class AcousticConfig(Section):
    """The acoustic model, a Non-Attentive Tacotron (Shen et al. 2020)."""

    speaker_channels: int = 64
    """Width of the speaker embedding."""
    encoder: EncoderConfig = EncoderConfig()
    duration: PredictorConfig = PredictorConfig()
    prosody: PredictorConfig = PredictorConfig()
    decoder: DecoderConfig = DecoderConfig()
    postnet: PostnetConfig = PostnetConfig()


class BaseConfig(Section):
    """All that is needed to build a base voice again; stored as `config.json` in its folder."""

    audio: AudioConfig = AudioConfig()
    phonemizer: str = "hibari"
    """Which phonemizer made the symbols the model was trained on."""
    aligner: AlignerConfig = AlignerConfig()
    acoustic: AcousticConfig = AcousticConfig()


class PitchConfig(Section):
    """F0 and voicing of mel frames, inside the light vocoder (`models/light.py`)."""

    low: float = 60.0
    """Lowest F0, Hz."""
    high: float = 500.0
    """Highest F0, Hz."""
    bins: int = 128
    """Classes of F0 between them, evenly spaced in the logarithm."""
    channels: int = 128
    """Width of its blocks."""
    layers: int = 4
    """ConvNeXt blocks."""
    kernel: int = 7
    """Frames each block sees."""
    expansion: int = 3
    """How much wider a block is inside."""


class LightConfig(Section):
    """The light vocoder (`models/light.py`)."""

    channels: int = 384
    """Width of its blocks."""
    layers: int = 6
    """ConvNeXt blocks."""
    kernel: int = 7
    """Frames each block sees."""
    expansion: int = 3
    """How much wider a block is inside."""
    window: int = 512
    """Samples of the window in which sources are filtered."""
    subframes: int = 2
    """Filters for each mel frame: hop / subframes samples from one to the next."""
    pitch: PitchConfig = PitchConfig()


class OptimiserConfig(Section):
    """AdamW with linear warm-up and cosine decay."""

    steps: int
    """Optimiser steps in all."""
    frames_per_batch: int = 12000
    """Mel frames, padding included, that one batch holds at most; all processes of `torchrun` share it."""
    learning_rate: float = 1e-3
    """Peak step size."""
    final_rate: float = 0.02
    """Step size at the last step, as a part of the peak."""
    warmup: int = 200
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """Decoupled weight decay (Loshchilov and Hutter 2019), not on biases and norms."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decays of the moments of the gradient."""
    clip: float = 1.0
    """Largest gradient norm."""


class PretrainConfig(Section):
    """`tts-meta pretrain`: features, aligner, durations, acoustic model."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: list[str] = ["train"]
    """Which of its splits to train on."""
    held_back: list[str] = []
    """Speakers of those splits kept for validation and tuning; never trained on."""
    output: Path
    """Folder of the run: checkpoints and TensorBoard logs."""
    cache: Path = Path("runs/cache")
    """Folder of prepared features; shared by runs."""
    base: BaseConfig = BaseConfig()
    start: Path | None = None
    """Base whose acoustic model this one starts from, with the same sizes and phonemizer; none: from nothing."""
    aligner: OptimiserConfig
    acoustic: OptimiserConfig
    ema: float = 0.999
    """Decay of the moving average of the weights that is evaluated and shipped; 0 switches it off."""
    piece_seconds: float = 2.5
    """Recordings are cut at pauses into pieces at least so long, for wide and short batches; 0 keeps them whole."""
    pause_seconds: float = 0.1
    """Shortest pause that may be cut at."""
    max_seconds: float = 16.0
    """Longer pieces are left out of acoustic training, longer recordings out of the aligner's."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes matrix products in bfloat16 under autocast."""
    threads: int = 0
    """CPU threads of each process; 0 leaves torch's own choice."""
    workers: int = Field(default=2, gt=0)
    """Threads of each process that compute features and put batches together ahead of the training."""
    seed: int = 0
    """Seeds weights, batch order and dropout."""
    log_every: int = Field(default=20, gt=0)
    """Steps from one line of scalars to the next."""
    save_every: int = Field(default=300, gt=0)
    """Steps from one checkpoint to the next."""
    sample_every: int = Field(default=1000, gt=0)
    """Steps from one validation with pictures and audio to the next."""
    sentences: list[str] = [
        "The birch canoe slid on the smooth planks.",
        "Where did you put the keys, and who has them now?",
    ]
    """Fixed sentences spoken into TensorBoard."""
    hours: float = 0.0
    """Stop, with a checkpoint, after so many hours in this process; 0 means no limit."""


class DiscriminatorConfig(Section):
    """What tells spoken from made sound while the light vocoder is trained (`train/discriminator.py`)."""

    windows: list[int] = [2048, 1024, 512, 256, 128]
    """Samples of the windows of the transforms that it sees, a network for each."""
    channels: int = 32
    """Width of its convolutions."""


class VocoderTrainConfig(Section):
    """`tts-meta train-vocoder`: pitch predictor, generator by spectra, against discriminators, on predicted mels."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: list[str] = ["train"]
    """Which of its splits to train on."""
    held_back: list[str] = []
    """Speakers of those splits kept for validation and tuning; never trained on."""
    output: Path
    """Folder of the run: checkpoints and TensorBoard logs."""
    base: Path | None = None
    """Base whose mels the last stage trains on, and whose audio settings all do; none: the shipped one."""
    start: Path | None = None
    """Light vocoder that this one starts from, with the same sizes; its pitch predictor stays; none: from nothing."""
    vocoder: LightConfig = LightConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    pitch: OptimiserConfig
    """Of the stage that trains the pitch predictor, by Praat's F0."""
    spectral: OptimiserConfig
    """Of the stage that trains by the spectral energy distance alone; 0 steps leave it out."""
    adversarial: OptimiserConfig
    """Of the stage that adds discriminators, which then stay; 0 steps leave it and them out."""
    finetune: OptimiserConfig
    """Of the last stage, which makes the sound purer and hears the acoustic model's mels; 0 steps leave it out."""
    adversarial_weight: float = 0.3
    """Weight of the discriminators beside the spectral energy distance."""
    repulsion: float = Field(default=0.2, ge=0, le=1)
    """Weight, in the last stage, of the distance between two makings: 1 gives noise as in speech, less gives less."""
    predicted: float = Field(default=0.5, ge=0, le=1)
    """Part of the crops of the last stage whose mels are predicted."""
    crop_frames: int = Field(default=72, gt=16)
    """Mel frames of the crops trained on."""
    piece_seconds: float = 2.5
    """Recordings are cut at pauses into pieces at least so long before the acoustic model predicts their mels."""
    pause_seconds: float = 0.1
    """Shortest pause that may be cut at."""
    ema: float = 0.999
    """Decay of the moving average of the weights that is evaluated and shipped; 0 switches it off."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes matrix products in bfloat16 under autocast."""
    threads: int = 0
    """CPU threads of each process; 0 leaves torch's own choice."""
    workers: int = Field(default=2, gt=0)
    """Threads of each process that read recordings and put batches together ahead of the training."""
    seed: int = 0
    """Seeds weights, crops and noise."""
    log_every: int = Field(default=20, gt=0)
    """Steps from one line of scalars to the next."""
    save_every: int = Field(default=300, gt=0)
    """Steps from one checkpoint to the next."""
    sample_every: int = Field(default=1000, gt=0)
    """Steps from one validation with sounds to the next."""
    hours: float = 0.0
    """Stop, with a checkpoint, after so many hours in this process; 0 means no limit."""


AnySection = TypeVar("AnySection", bound=Section)


def parse_config(data: object, kind: type[AnySection], where: str) -> AnySection:
    """Build `kind` from plain data. Raises TtsMetaError naming `where`, the key and the valid names."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise TtsMetaError(f"{where}: {_first_fault(error, kind)}") from error


def load_config(path: str | Path, kind: type[AnySection], changes: Sequence[str] = ()) -> AnySection:
    """Read a YAML (or JSON) file into `kind`; paths in it are relative to the working directory.

    changes: `KEY=VALUE`, a dotted key and a YAML value that replaces the file's. Raises TtsMetaError where the file is
    missing, is not YAML, or has a key or value that `kind` does not allow; UsageError where a change has another form.
    """
    data = _read_yaml(Path(path))
    for change in changes:
        _apply_change(data, change)
    return parse_config(data, kind, " ".join([str(path), *changes]))


def names_in(path: str | Path) -> set[str]:
    """The names at the top of a YAML (or JSON) file. Raises TtsMetaError as `load_config`."""
    return set(data) if isinstance(data := _read_yaml(Path(path)), dict) else set()


def _read_yaml(path: Path) -> Any:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {} if data is None else data
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; give the path of a recipe") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _apply_change(data: Any, change: str) -> None:
    key, equals, value = change.partition("=")
    if not key or not equals:
        raise UsageError(f"'{change}' is not KEY=VALUE; write for example steps=100")
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(data, dict) or not isinstance(data.setdefault(section, {}), dict):
            raise UsageError(f"'{change}': '{section}' is not a section of the recipe")
        data = data[section]
    try:
        data[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"'{change}': the value is not YAML") from error


def dump_config(config: Section) -> str:
    """Return a section as indented JSON, every default written out."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"


def _first_fault(error: ValidationError, kind: type[Section]) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"{place or 'the whole'}: {fault['msg']}" if place else str(fault["msg"])
    valid = _valid_names(kind, fault["loc"][:-1])
    close = difflib.get_close_matches(str(fault["loc"][-1]), valid, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown key '{place}'; {hint}valid here: {', '.join(valid)}"


def _valid_names(kind: type[Section], path: tuple[Any, ...]) -> list[str]:
    for part in path:
        annotation = kind.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            kind = annotation
    return sorted(kind.model_fields)
