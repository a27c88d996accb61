"""`SourceFilterVocoder`, the light vocoder: runs a `SourceFilterGenerator` on a whole mel or on a stream of frames."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_meta.context import default_torch_state
from tts_meta.devices import float64_device
from tts_meta.errors import TtsMetaError
from tts_meta.models.vocoders.pitch_predictor import Pitch
from tts_meta.models.vocoders.source_filter import SourceFilterGenerator
from tts_meta.tensors import check_finite

_SEED = 20
"""Seed of the noise, so that the same mel always gives the same samples."""


@dataclass(frozen=True)
class _StreamState:
    """State between two chunks.

    mel: mel frames from frame `first` on, `(B, T, M)`. pitch: pitch of the first of these frames; later frames cannot
    change it, so errors do not add up in the phase. phase: phase of the pulses `(B,)`, in periods, at the start of
    frame `first + 1`, or of frame 0 if `first` is 0.
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

    Long mels are computed in chunks of `chunk_frames` frames. Each chunk includes the context that its samples depend
    on, and the noise of a frame is seeded by the frame's number. Chunks of any size and a stream therefore give the
    same samples.
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
        """Return samples `(B, T * hop)` of log-mels `(B, T, M)`. Raises TtsMetaError for another shape or NaN."""
        bands = self.generator.mel_config.n_mels
        if mel.dim() != 3 or mel.shape[2] != bands:
            raise TtsMetaError(f"vocoder '{self.name}' takes mels (B, T, {bands}), not {tuple(mel.shape)}")
        mel = mel.to(self.generator.window)
        starts = range(0, mel.shape[1], self.chunk_frames)
        chunks = self._render(mel[:, start : start + self.chunk_frames] for start in starts)
        return torch.cat([mel.new_zeros(mel.shape[0], 0), *chunks], dim=1)

    @torch.no_grad()
    def stream(self, mels: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield samples `(S,)` as frames `(T, M)` arrive. The delay is the number of frames that a sample depends on.

        The concatenated parts equal the samples of the whole mel.
        """
        for samples in self._render(mel[None].to(self.generator.window) for mel in mels):
            yield samples[0]

    def _render(self, mels: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield samples `(B, S)` of frames `(B, T, M)`; those of the last `receptive_radius` frames come at the end."""
        state: _StreamState | None = None
        done = 0
        for mel in mels:
            if state is None:
                empty = mel[:, :0, 0]
                phase = torch.zeros(len(mel), dtype=torch.double, device=float64_device(mel.device))
                state = _StreamState(0, mel[:, :0], Pitch(empty, empty), phase)
            state = dataclasses.replace(state, mel=torch.cat([state.mel, mel], 1))
            end = state.end - self.generator.receptive_radius
            if end > done:
                samples, state = self._render_chunk(state, done, end)
                yield samples
                done = end
        if state is not None and done < state.end:
            yield self._render_chunk(state, done, state.end)[0]

    def _render_chunk(self, state: _StreamState, start: int, end: int) -> tuple[Tensor, _StreamState]:
        """Return samples of the frames from `start` up to `end`, and the state for the next chunk."""
        generator, hop, first = self.generator, self.hop, state.first
        final, predicted = state.pitch.log_f0.shape[1], generator.pitch(state.mel)
        pitch = Pitch(
            torch.cat([state.pitch.log_f0, predicted.log_f0[:, final:]], 1),
            torch.cat([state.pitch.voiced, predicted.voiced[:, final:]], 1),
        )
        filters = generator.filters(state.mel, pitch)
        excitation, phases = generator.excitation(pitch, state.phase, phase_frame=min(1, first))
        noise = self._noise(first, state.mel.shape[1]).to(state.mel.device).expand(len(state.mel), -1)
        harmonic = generator.harmonic_spectrum(filters, excitation)
        spectrum = harmonic + generator.noise_spectrum(filters, excitation, noise)
        samples = generator.istft(spectrum)[:, (start - first) * hop : (end - first) * hop].clamp(-1, 1)
        check_finite("the sound", samples, f"vocoder '{self.name}'", "copy it or clone the voice again")

        next_first = max(first, end - generator.receptive_radius)
        phase = state.phase if next_first == first else phases[:, (next_first + 1 - first) * hop - 1] % 1.0
        final_end = max(final, state.mel.shape[1] - generator.pitch.net.receptive_radius)
        final_pitch = pitch[slice(next_first - first, final_end)]
        return samples, _StreamState(next_first, state.mel[:, next_first - first :], final_pitch, phase)

    def _noise(self, first: int, frames: int) -> Tensor:
        """Return white noise `(1, frames * hop)` for the frames from number `first` on; each frame has its own seed."""
        noises = [
            torch.randn(self.hop, generator=torch.Generator().manual_seed(_SEED + frame))
            for frame in range(first, first + frames)
        ]
        return torch.cat(noises)[None]
