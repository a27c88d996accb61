"""The light vocoder: its folder, and a vocoder that runs it whole or as a stream.

model.safetensors   weights in half precision
config.json         what `SourceFilterFile` says
state.json          format version, what it was trained on, SHA-256 of the weights
prior.safetensors   where there is one, how far each module strays from voice to voice
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import model_validator
from torch import Tensor

from tts_meta.audio.mel import MelConfig
from tts_meta.config import Section, dump_config, parse_config
from tts_meta.context import SkipInitialization, default_torch_state
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_folder, sha256_file, write_tensors
from tts_meta.headers import Digest, Header, check_header, read_json
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter import LightConfig, Pitch, SourceFilterGenerator
from tts_meta.tensors import TensorFile, check_finite, to_float32

FORMAT = 1
_ADVICE = "copy it again"
_SEED = 20
"""Of the noise: the same mel always sounds the same."""


class SourceFilterFile(Section):
    """`config.json` of a light vocoder."""

    light: LightConfig
    mel: MelConfig

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.mel.hop % self.light.subframes:
            raise ValueError(f"a hop of {self.mel.hop} samples is not divisible by {self.light.subframes} subframes")
        if self.light.window < self.mel.hop // self.light.subframes:
            raise ValueError(f"a window of {self.light.window} samples is shorter than a subframe")
        return self


class SourceFilterState(Header):
    """`state.json` of a light vocoder. Further keys say how it was made."""

    format: int
    sha256: Digest


def save_source_filter(generator: SourceFilterGenerator, folder: Path, state: Mapping[str, Any]) -> None:
    """Write a folder, whole or not at all; weights in half precision. Its prior becomes that of the weights written."""
    config = SourceFilterFile(light=generator.config, mel=generator.mel_config)
    weights = {name: value.half().cpu().contiguous() for name, value in generator.state_dict().items()}
    for name, value in weights.items():
        check_finite(name, value, str(folder), "not written, the training diverged; lower the learning rate")
    with atomic_folder(folder) as temporary:
        write_tensors(temporary / "model.safetensors", weights)
        digest = sha256_file(temporary / "model.safetensors")
        whole = {"format": FORMAT, "sha256": digest, **state}
        (temporary / "config.json").write_text(dump_config(config), encoding="utf-8")
        (temporary / "state.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        if generator.prior is not None:
            generator.prior = generator.prior.save_to(temporary, digest)


def is_source_filter(folder: Path) -> bool:
    """Whether a folder holds a light vocoder, damaged or not: its `config.json` names one, or is no HiFi-GAN's."""
    path = folder / "config.json"
    if not path.is_file():
        return False
    try:
        data = read_json(path, _ADVICE)
    except TtsMetaError:
        return (folder / "state.json").is_file()
    return isinstance(data, dict) and "light" in data


def load_source_filter(folder: Path) -> SourceFilterGenerator:
    """Read a folder; weights become single precision, in evaluation mode.

    Raises TtsMetaError where a file is missing or damaged, the format is another, or the weights do not fit
    `config.json` or are not finite.
    """
    path = folder / "model.safetensors"
    state = read_json(folder / "state.json", _ADVICE)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TtsMetaError(f"{folder}: a vocoder of another format; this version reads format {FORMAT}")
    check_header(state, SourceFilterState, str(folder / "state.json"), _ADVICE)
    config = parse_config(read_json(folder / "config.json", _ADVICE), SourceFilterFile, str(folder / "config.json"))
    file = TensorFile.open(path, _ADVICE)
    digest = sha256_file(path)
    if digest != state["sha256"]:
        raise TtsMetaError(f"{folder}: the weights are not those that state.json names (SHA-256); {_ADVICE}")
    # A configuration is compared with the file before memory is taken for it.
    with SkipInitialization(shapes_only=True):
        file.check_like(
            SourceFilterGenerator(config.light, config.mel).state_dict(), "weights that do not fit config.json"
        )
    weights = to_float32(file.read(), str(path), _ADVICE)
    with SkipInitialization():
        generator = SourceFilterGenerator(config.light, config.mel)
    generator.load_state_dict(weights)
    generator.hash = digest
    generator.state = {name: value for name, value in state.items() if name not in ("format", "sha256")}
    generator.prior = ModulePrior.load_from(folder, digest)
    return generator.eval()


def shipped_vocoder() -> Path | None:
    """Folder of the vocoder that comes with the package, or None where it has none."""
    package = Path(__file__).resolve().parents[2]
    for candidate in (package / "_checkpoints" / "vocoder", package.parent / "checkpoints" / "vocoder"):
        if (candidate / "state.json").is_file():
            return candidate
    return None


@dataclass(frozen=True)
class _Heard:
    """What a rendering goes on from: frames from the number `first` on, `(B, T, M)`, and the pitch of some of them.

    phase: `(B,)`, in periods, of the pulses at the beginning of frame `first + 1`, or of frame 0 where `first` is 0.
    Only pitch that no later frame can change is kept, so that no error is summed up in the phase.
    """

    first: int
    mel: Tensor
    pitch: Pitch
    phase: Tensor

    @property
    def end(self) -> int:
        """Number of the frame after the last one."""
        return self.first + self.mel.shape[1]


class SourceFilterVocoder:
    """Vocoder that runs a copy of a generator, without gradients; see `Vocoder` for the contract.

    Long mels go through in pieces of `chunk_frames` with enough context that the result is the same. The noise of a
    frame is drawn by its number, so pieces of any size, and a stream, sound as the whole does.
    """

    notice: str | None = None

    def __init__(self, generator: SourceFilterGenerator, name: str = "light", chunk_frames: int = 1024) -> None:
        self.name = name
        self.mel_config = generator.mel_config
        self.sample_rate = generator.mel_config.sample_rate
        self.hop = generator.mel_config.hop
        self.chunk_frames = chunk_frames
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)

    @default_torch_state()
    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        bands = self.generator.mel_config.n_mels
        if mel.dim() != 3 or mel.shape[2] != bands:
            raise TtsMetaError(f"vocoder '{self.name}' takes mels (B, T, {bands}), not {tuple(mel.shape)}")
        mel = mel.to(self.generator.window)
        pieces = [mel.new_zeros(mel.shape[0], 0)]
        pieces += self._render(mel[:, at : at + self.chunk_frames] for at in range(0, mel.shape[1], self.chunk_frames))
        return torch.cat(pieces, dim=1)

    @torch.no_grad()
    def stream(self, mels: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield samples `(S,)` of frames `(T, M)` as they come: those whose context is there, and at the end the rest.

        One after the other they are what the whole mel gives.
        """
        for samples in self._render(mel[None].to(self.generator.window) for mel in mels):
            yield samples[0]

    def _render(self, mels: Iterable[Tensor]) -> Iterator[Tensor]:
        """Samples `(B, S)` of frames `(B, T, M)`, behind them by the frames that a sample depends on."""
        heard: _Heard | None = None
        done = 0
        for mel in mels:
            if heard is None:
                batch, nothing = len(mel), mel[:, :0, 0]
                heard = _Heard(0, mel[:, :0], Pitch(nothing, nothing), mel.new_zeros(batch, dtype=torch.double))
            heard = dataclasses.replace(heard, mel=torch.cat([heard.mel, mel], 1))
            end = heard.end - self.generator.receptive_radius
            if end > done:
                samples, heard = self._piece(heard, done, end)
                yield samples
                done = end
        if heard is not None and done < heard.end:
            yield self._piece(heard, done, heard.end)[0]

    def _piece(self, heard: _Heard, done: int, end: int) -> tuple[Tensor, _Heard]:
        """Samples of the frames `done` to `end`, and what the next piece goes on from."""
        generator, hop, first = self.generator, self.hop, heard.first
        sure, new = heard.pitch.log_f0.shape[1], generator.pitch(heard.mel)
        pitch = Pitch(
            torch.cat([heard.pitch.log_f0, new.log_f0[:, sure:]], 1),
            torch.cat([heard.pitch.voiced, new.voiced[:, sure:]], 1),
        )
        filters = generator.filters(heard.mel, pitch)
        excitation, ends = generator.excite(pitch, heard.phase, known_at=min(1, first))
        noise = self._noise(first, heard.mel.shape[1]).to(heard.mel.device).expand(len(heard.mel), -1)
        spectrum = generator.harmonics(filters, excitation) + generator.breath(filters, excitation, noise)
        samples = generator.inverse(spectrum)[:, (done - first) * hop : (end - first) * hop].clamp(-1, 1)
        check_finite("the sound", samples, f"vocoder '{self.name}'", "copy it or clone the voice again")

        after = max(first, end - generator.receptive_radius)
        phase = heard.phase if after == first else ends[:, (after + 1 - first) * hop - 1] % 1.0
        known = slice(after - first, max(sure, heard.mel.shape[1] - generator.pitch.net.receptive_radius))
        return samples, _Heard(after, heard.mel[:, after - first :], pitch[known], phase)

    def _noise(self, first: int, frames: int) -> Tensor:
        """White noise of frames by their number, `(1, frames * hop)`."""
        drawn = [
            torch.randn(self.hop, generator=torch.Generator().manual_seed(_SEED + frame))
            for frame in range(first, first + frames)
        ]
        return torch.cat(drawn)[None]
