"""Typed, frozen, strict configuration: a misspelt key is an error that lists the valid names.

The classes mirror the parts that read them; a part is handed its own section, never the whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.parsing import ParseError, first_fault, parse_yaml, printable
from tts_meta.sections import Hours, Kernel, Layers, Section, Seed, Share, Threads, Width, even


class MelConfig(Section):
    """Log-mel spectrogram in the HiFi-GAN convention (Kong et al. 2020)."""

    sample_rate: int = Field(default=22050, ge=1000, le=768_000)
    """Samples a second of every waveform inside the toolkit."""
    n_fft: int = Field(default=1024, ge=16, le=65536)
    """Samples in one analysis window."""
    hop: int = Field(default=256, gt=0, le=65536)
    """Samples from one frame to the next."""
    n_mels: int = Field(default=80, gt=0, le=1024)
    """Mel bands M."""
    f_min: float = Field(default=0.0, ge=0)
    """Lowest frequency, Hz."""
    f_max: float = Field(default=8000.0, gt=0)
    """Highest frequency, Hz; 8,000 loses nothing of 16 kHz corpora."""
    floor: float = Field(default=1e-5, gt=0)
    """Magnitudes are clamped here before the natural logarithm."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hop > self.n_fft:
            raise ValueError(f"hop is {self.hop}, longer than the window n_fft of {self.n_fft}")
        if not self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"f_max must lie above f_min and at most at half of sample_rate, not at {self.f_max} Hz")
        return self

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate


class AudioConfig(Section):
    """How a recording becomes features."""

    mel: MelConfig = MelConfig()
    trim_db: float = Field(default=40.0, gt=0)
    """Leading and trailing parts this far below the loudest frame are cut, dB."""
    trim_pad: float = Field(default=0.06, ge=0, le=60)
    """Seconds kept on each side of what was found to be speech."""
    loudness: float = Field(default=-24.0, ge=-100, le=0)
    """Root mean square of the active part after normalisation, dB of full scale."""


class AlignerConfig(Section):
    """Frame classifier that aligns symbols to frames (`models/aligner.py`)."""

    channels: Width = 192
    """Width of the convolutions and of the recurrent layer."""
    layers: Layers = 3
    """Convolutions before the recurrent layer."""
    kernel: Kernel = 5
    """Frames each convolution sees."""


class EncoderConfig(Section):
    """Symbols to hidden states."""

    channels: Annotated[Width, AfterValidator(even)] = 384
    """Width D of embedding, convolutions and output."""
    layers: Layers = 3
    """Convolutions before the bidirectional LSTM."""
    kernel: Kernel = 5
    """Symbols each convolution sees."""
    dropout: Share = 0.2
    """Dropout after each convolution."""


class PredictorConfig(Section):
    """Predictor of something of each symbol: duration and range, or prosody."""

    channels: Width = 256
    """Width of its convolutions."""
    layers: Layers = 2
    """Convolutions."""
    kernel: Kernel = 3
    """Symbols each convolution sees."""
    dropout: Share = 0.2
    """Dropout after each convolution."""


class DecoderConfig(Section):
    """Autoregressive LSTM decoder."""

    reduction: int = Field(default=3, gt=0, le=32)
    """Frames R that one step emits."""
    prenet: Width = 256
    """Width of the two prenet layers."""
    prenet_dropout: Share = 0.5
    """Dropout in the prenet while training; keeps the decoder from copying its own last frame."""
    channels: Width = 512
    """Width of the LSTM layers."""
    layers: Layers = 2
    """LSTM layers."""


class PostnetConfig(Section):
    """Convolutional residual correction of the decoder's frames."""

    channels: Width = 256
    """Width of its convolutions."""
    layers: Layers = 5
    """Convolutions."""
    kernel: Kernel = 5
    """Frames each convolution sees."""
    dropout: Share = 0.0
    """Dropout after each convolution but the last."""


class AcousticConfig(Section):
    """The acoustic model, a Non-Attentive Tacotron (Shen et al. 2020)."""

    speaker_channels: Width = 64
    """Width of the speaker embedding."""
    encoder: EncoderConfig = EncoderConfig()
    duration: PredictorConfig = PredictorConfig()
    prosody: PredictorConfig = PredictorConfig()
    decoder: DecoderConfig = DecoderConfig()
    postnet: PostnetConfig = PostnetConfig()


class BaseConfig(Section):
    """All that is needed to build a base voice again; stored as `config.json` in its folder."""

    audio: AudioConfig = AudioConfig()
    phonemizer: str = Field(default="hibari", min_length=1, max_length=100)
    """Which phonemizer made the symbols the model was trained on."""
    aligner: AlignerConfig = AlignerConfig()
    acoustic: AcousticConfig = AcousticConfig()


class PitchConfig(Section):
    """F0 and voicing of mel frames, inside the light vocoder (`models/vocoders/source_filter.py`)."""

    low: float = Field(default=60.0, gt=0)
    """Lowest F0, Hz."""
    high: float = Field(default=500.0, gt=0)
    """Highest F0, Hz."""
    bins: int = Field(default=128, gt=1, le=4096)
    """Classes of F0 between them, evenly spaced in the logarithm."""
    channels: Width = 128
    """Width of its blocks."""
    layers: Layers = 4
    """ConvNeXt blocks."""
    kernel: Kernel = 7
    """Frames each block sees."""
    expansion: int = Field(default=3, gt=0, le=64)
    """How much wider a block is inside."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} Hz, and must lie below high, {self.high} Hz")
        return self


class LightConfig(Section):
    """The light vocoder (`models/vocoders/source_filter.py`)."""

    channels: Width = 384
    """Width of its blocks."""
    layers: Layers = 6
    """ConvNeXt blocks."""
    kernel: Kernel = 7
    """Frames each block sees."""
    expansion: int = Field(default=3, gt=0, le=64)
    """How much wider a block is inside."""
    window: Annotated[int, Field(ge=4, le=65536), AfterValidator(even)] = 512
    """Samples of the window in which sources are filtered."""
    subframes: int = Field(default=2, gt=0, le=64)
    """Filters for each mel frame: hop / subframes samples from one to the next."""
    pitch: PitchConfig = PitchConfig()


class OptimiserConfig(Section):
    """AdamW with linear warm-up and cosine decay."""

    steps: int = Field(ge=0, le=10**9)
    """Optimiser steps in all."""
    frames_per_batch: int = Field(default=12000, gt=0)
    """Mel frames, padding included, that one batch holds at most; all processes of `torchrun` share it."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak step size."""
    final_rate: float = Field(default=0.02, ge=0)
    """Step size at the last step, as a part of the peak."""
    warmup: int = Field(default=200, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay (Loshchilov and Hutter 2019), not on biases and norms."""
    betas: tuple[Share, Share] = (0.9, 0.98)
    """Decays of the moments of the gradient."""
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""


class PretrainConfig(Section):
    """`tts-meta pretrain`: features, aligner, durations, acoustic model."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: list[str] = Field(default=["train"])
    """Which of its splits to train on."""
    held_out_speakers: list[str] = Field(default=[])
    """Speakers of those splits kept for validation and tuning; never trained on."""
    output: Path
    """Folder of the run: checkpoints and TensorBoard logs."""
    cache: Path = Path("runs/cache")
    """Folder of prepared features; shared by runs."""
    lexicon: Path | None = None
    """Words of the transcripts and how they are said, a line each (`docs/text.md`)."""
    base: BaseConfig = BaseConfig()
    start: Path | None = None
    """Base whose acoustic model this one starts from, with the same sizes and phonemizer; none: from nothing."""
    aligner: OptimiserConfig
    acoustic: OptimiserConfig
    ema: Share = 0.999
    """Decay of the moving average of the weights that is evaluated and shipped; 0 switches it off."""
    min_segment_seconds: float = Field(default=2.5, ge=0)
    """Recordings are cut at pauses into pieces at least so long, for wide and short batches; 0 keeps them whole."""
    pause_seconds: float = Field(default=0.1, ge=0)
    """Shortest pause that may be cut at."""
    max_seconds: float = Field(default=16.0, gt=0)
    """Longer pieces are left out of acoustic training, longer recordings out of the aligner's."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes matrix products in bfloat16 under autocast."""
    threads: Threads = 0
    """CPU threads of each process; 0 leaves torch's own choice."""
    workers: int = Field(default=2, gt=0, le=256)
    """Threads of each process that compute features and put batches together ahead of the training."""
    seed: Seed = 0
    """Seeds weights, batch order and dropout."""
    log_every: int = Field(default=20, gt=0)
    """Steps from one line of scalars to the next."""
    save_every: int = Field(default=300, gt=0)
    """Steps from one checkpoint to the next."""
    sample_every: int = Field(default=1000, gt=0)
    """Steps from one validation with pictures and audio to the next."""
    sentences: list[str] = Field(
        default=[
            "The birch canoe slid on the smooth planks.",
            "Where did you put the keys, and who has them now?",
        ]
    )
    """Fixed sentences spoken into TensorBoard."""
    hours: Hours = 0.0
    """Stop, with a checkpoint, after so many hours in this process; 0 means no limit."""


class DiscriminatorConfig(Section):
    """What tells spoken from made sound while the light vocoder is trained (`train/discriminator.py`)."""

    windows: list[Annotated[int, Field(ge=16, le=65536)]] = Field(default=[2048, 1024, 512, 256, 128])
    """Samples of the windows of the transforms that it sees, a network for each."""
    channels: Width = 32
    """Width of its convolutions."""


class VocoderTrainConfig(Section):
    """`tts-meta train-vocoder`: pitch predictor, generator by spectra, against discriminators, on predicted mels."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    splits: list[str] = Field(default=["train"])
    """Which of its splits to train on."""
    held_out_speakers: list[str] = Field(default=[])
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
    adversarial_weight: float = Field(default=0.3, ge=0)
    """Weight of the discriminators beside the spectral energy distance."""
    repulsion: float = Field(default=0.2, ge=0, le=1)
    """Weight, in the last stage, of the distance between two makings: 1 gives noise as in speech, less gives less."""
    predicted: float = Field(default=0.5, ge=0, le=1)
    """Part of the crops of the last stage whose mels are predicted."""
    crop_frames: int = Field(default=72, gt=16, le=100_000)
    """Mel frames of the crops trained on."""
    min_segment_seconds: float = Field(default=2.5, ge=0)
    """Recordings are cut at pauses into pieces at least so long before the acoustic model predicts their mels."""
    pause_seconds: float = Field(default=0.1, ge=0)
    """Shortest pause that may be cut at."""
    ema: Share = 0.999
    """Decay of the moving average of the weights that is evaluated and shipped; 0 switches it off."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes matrix products in bfloat16 under autocast."""
    threads: Threads = 0
    """CPU threads of each process; 0 leaves torch's own choice."""
    workers: int = Field(default=2, gt=0, le=256)
    """Threads of each process that read recordings and put batches together ahead of the training."""
    seed: Seed = 0
    """Seeds weights, crops and noise."""
    log_every: int = Field(default=20, gt=0)
    """Steps from one line of scalars to the next."""
    save_every: int = Field(default=300, gt=0)
    """Steps from one checkpoint to the next."""
    sample_every: int = Field(default=1000, gt=0)
    """Steps from one validation with sounds to the next."""
    hours: Hours = 0.0
    """Stop, with a checkpoint, after so many hours in this process; 0 means no limit."""


AnySection = TypeVar("AnySection", bound=Section)


def parse_config(data: object, kind: type[AnySection], where: str) -> AnySection:
    """Build `kind` from plain data. Raises TtsMetaError naming `where`, the key and the valid names."""
    if not isinstance(data, dict):
        raise TtsMetaError(f"{where}: holds no keys; write lines such as `{next(iter(kind.model_fields))}: VALUE`")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise TtsMetaError(f"{where}: {first_fault(error, kind)}") from error


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
        data = parse_yaml(path.read_bytes())
        return {} if data is None else data
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; give the path of a recipe") from error
    except ParseError as error:
        raise TtsMetaError(f"{path}: {error}; correct the recipe") from error


def _apply_change(data: Any, change: str) -> None:
    key, equals, value = change.partition("=")
    if not key or not equals:
        raise UsageError(f"'{change}' is not KEY=VALUE; write for example steps=100")
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(data, dict) or not isinstance(data.setdefault(section, {}), dict):
            raise UsageError(f"'{change}': '{section}' is not a section of the recipe")
        data = data[section]
    if not isinstance(data, dict):
        raise UsageError(f"'{change}': the recipe holds no keys")
    try:
        data[last] = parse_yaml(value)
    except ParseError as error:
        raise UsageError(f"'{printable(change)}': {error}") from error


def dump_config(config: Section) -> str:
    """Return a section as indented JSON, every default written out."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"
