"""`SpeakerEncoder`: embeds speech for speaker similarity; a reimplementation of Resemblyzer with its weights.

Resemblyzer (Jemine 2019, Apache-2.0) is the usual open encoder trained with the GE2E loss (Wan et al. 2018,
arXiv 1710.10467). The package Resemblyzer is not a dependency, because it requires `webrtcvad`. This package needs a C
compiler and cannot be imported with current versions of setuptools. The embeddings of this module equal those of
Resemblyzer.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tts_meta.audio.waveform import SPEECH_RATE, Samples, at_rate
from tts_meta.errors import TtsMetaError

Embedding = npt.NDArray[np.float32]

MELS, HIDDEN, EMBEDDING = 40, 256, 256
N_FFT, HOP = 400, 160
PARTIAL_FRAMES = 160  # 1.6 s
PARTIALS_PER_SECOND = 1.3
MIN_COVERAGE = 0.75  # the last partial window is dropped if a smaller fraction of it is covered

TARGET_DBFS = -30.0
VAD_WINDOW = 480  # samples, 30 ms
VAD_SMOOTHING = 8  # windows
VAD_MAX_SILENCE = 6  # windows
INT16_MAX = 2**15 - 1


class SpeakerEncoder(nn.Module):
    """Embeds speech as a unit vector (256,) that represents the speaker's voice."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, HIDDEN, 3, batch_first=True)
        self.linear = nn.Linear(HIDDEN, EMBEDDING)

    @classmethod
    def load(cls, device: str | torch.device = "cpu") -> SpeakerEncoder:
        """Return the encoder with the trained weights, in evaluation mode on `device`."""
        from safetensors.torch import load

        weights = files("tts_meta.models").joinpath("data/speaker_encoder.safetensors")
        encoder = cls()
        encoder.load_state_dict(load(weights.read_bytes()))
        return encoder.requires_grad_(False).eval().to(device)

    def forward(self, mels: Tensor) -> Tensor:
        """Map power mel spectrograms (B, T, 40) to unit embeddings (B, 256)."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.no_grad()
    def embed(self, waveform: object, rate: int) -> Embedding:
        """Return the unit embedding (256,) of an utterance (S,) at `rate` Hz: the mean over 1.6 s windows.

        Long pauses are removed first. Raises TtsMetaError if the waveform is unusable or silent.
        """
        samples = trim_long_silences(normalize_volume(at_rate(waveform, rate)))
        starts = partial_starts(len(samples))
        padded = np.pad(samples, (0, max(0, (starts[-1] + PARTIAL_FRAMES) * HOP - len(samples))))
        mel = power_mel(torch.from_numpy(padded))
        partials = torch.stack([mel[start : start + PARTIAL_FRAMES] for start in starts])
        embedding = self(partials.to(self.linear.weight.device)).mean(0)
        return (embedding / embedding.norm()).cpu().numpy()


def normalize_volume(samples: Samples) -> Samples:
    """Raise the level of samples (S,) to -30 dBFS; louder samples do not change. Raises TtsMetaError for silence."""
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    if rms < 1e-7:
        raise TtsMetaError("the waveform is silent, so its voice cannot be compared; check what produced it")
    return samples * np.float32(max(1.0, 10 ** (TARGET_DBFS / 20) / rms))


def trim_long_silences(samples: Samples) -> Samples:
    """Return the samples (S,) at 16 kHz without pauses over 180 ms, found by WebRTC's voice activity detector.

    If the detector finds no voice, all samples are returned, so that every sound has an embedding.
    """
    import webrtcvad

    windows = len(samples) // VAD_WINDOW
    voiced = np.zeros(windows)
    detector = webrtcvad.Vad(3)
    pcm = (np.clip(samples, -1, 1) * INT16_MAX).round().astype("<i2")
    for index in range(windows):
        window = pcm[index * VAD_WINDOW : (index + 1) * VAD_WINDOW]
        voiced[index] = detector.is_speech(window.tobytes(), SPEECH_RATE)
    # The moving average of Resemblyzer is off-centre, 3 windows back and 4 ahead, with halves rounded to even.
    padded = np.pad(voiced, ((VAD_SMOOTHING - 1) // 2, VAD_SMOOTHING // 2))
    smooth = np.convolve(padded, np.ones(VAD_SMOOTHING), "valid") / VAD_SMOOTHING
    is_speech = np.round(smooth).astype(bool)
    # Mode "same" would be as long as the longer operand, and an utterance can be shorter than the window.
    is_speech = np.convolve(is_speech, np.ones(VAD_MAX_SILENCE + 1), "full")[VAD_MAX_SILENCE // 2 :][:windows] > 0.5
    if not is_speech.any():
        return samples
    return samples[: windows * VAD_WINDOW][np.repeat(is_speech, VAD_WINDOW)]


def partial_starts(n_samples: int) -> list[int]:
    """Return the first frames of the 1.6 s windows that cover `n_samples`."""
    frames = -(-(n_samples + 1) // HOP)
    step = round(SPEECH_RATE / PARTIALS_PER_SECOND / HOP)
    starts = list(range(0, max(1, frames - PARTIAL_FRAMES + step + 1), step))
    coverage = (n_samples - starts[-1] * HOP) / (PARTIAL_FRAMES * HOP)
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def power_mel(samples: Tensor) -> Tensor:
    """Return the power mel spectrogram (T, 40), without logarithm, of samples (S,) at 16 kHz, equal to librosa's."""
    from torchaudio.functional import melscale_fbanks

    spectrum = torch.stft(
        samples, N_FFT, HOP, window=torch.hann_window(N_FFT), center=True, pad_mode="constant", return_complex=True
    )
    bank = melscale_fbanks(N_FFT // 2 + 1, 0.0, SPEECH_RATE / 2, MELS, SPEECH_RATE, norm="slaney", mel_scale="slaney")
    return spectrum.abs().square().T @ bank
