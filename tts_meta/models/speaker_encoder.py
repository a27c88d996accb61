"""The Resemblyzer speaker encoder, in our own code and with its weights inside this package.

Resemblyzer (Jemine 2019, Apache-2.0) is the usual open encoder trained with the GE2E loss (Wan et al. 2018,
arXiv 1710.10467). The package itself is not a dependency: it requires `webrtcvad`, which needs a C compiler and no
longer imports beside current setuptools. The embeddings here equal the package's.
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
MIN_COVERAGE = 0.75  # of the last partial: with less speech in it, it is dropped

TARGET_DBFS = -30.0
VAD_WINDOW = 480  # samples, 30 ms
VAD_SMOOTHING = 8  # windows
VAD_MAX_SILENCE = 6  # windows
INT16_MAX = 2**15 - 1


class SpeakerEncoder(nn.Module):
    """Embeds speech as a unit vector (256,) that says who speaks."""

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
        """Return the unit embedding (256,) of an utterance (S,): the mean over 1.6 s windows, long pauses cut.

        Raises TtsMetaError where the waveform is unusable or holds no sound at all.
        """
        samples = trim_long_silences(normalize_volume(at_rate(waveform, rate)))
        starts = partial_starts(len(samples))
        padded = np.pad(samples, (0, max(0, (starts[-1] + PARTIAL_FRAMES) * HOP - len(samples))))
        mel = power_mel(torch.from_numpy(padded))
        partials = torch.stack([mel[start : start + PARTIAL_FRAMES] for start in starts])
        embedding = self(partials.to(self.linear.weight.device)).mean(0)
        return (embedding / embedding.norm()).cpu().numpy()


def normalize_volume(samples: Samples) -> Samples:
    """Return the samples (S,) at -30 dBFS or, where they are louder, as they are. Raises TtsMetaError on silence."""
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    if rms < 1e-7:
        raise TtsMetaError("the waveform to score is silent, so it has no voice to compare; check what produced it")
    return samples * np.float32(max(1.0, 10 ** (TARGET_DBFS / 20) / rms))


def trim_long_silences(samples: Samples) -> Samples:
    """Return the samples (S,) at 16 kHz without pauses longer than 180 ms, as WebRTC's voice detector hears them.

    Where it hears no voice at all the samples come back whole, so that even a mumble gets its embedding.
    """
    import webrtcvad

    windows = len(samples) // VAD_WINDOW
    voiced = np.zeros(windows)
    detector = webrtcvad.Vad(3)
    pcm = (np.clip(samples, -1, 1) * INT16_MAX).round().astype("<i2")
    for index in range(windows):
        window = pcm[index * VAD_WINDOW : (index + 1) * VAD_WINDOW]
        voiced[index] = detector.is_speech(window.tobytes(), SPEECH_RATE)
    # The same off-centre window as Resemblyzer, 3 windows back and 4 ahead, halves rounded to even.
    padded = np.pad(voiced, ((VAD_SMOOTHING - 1) // 2, VAD_SMOOTHING // 2))
    smooth = np.convolve(padded, np.ones(VAD_SMOOTHING), "valid") / VAD_SMOOTHING
    kept = np.round(smooth).astype(bool)
    # Not mode "same", which is as long as the longer of the two, and an utterance may be shorter than the window.
    kept = np.convolve(kept, np.ones(VAD_MAX_SILENCE + 1), "full")[VAD_MAX_SILENCE // 2 :][:windows] > 0.5
    if not kept.any():
        return samples
    return samples[: windows * VAD_WINDOW][np.repeat(kept, VAD_WINDOW)]


def partial_starts(n_samples: int) -> list[int]:
    """Return the first frames of the 1.6 s windows that cover `n_samples`."""
    frames = -(-(n_samples + 1) // HOP)
    step = round(SPEECH_RATE / PARTIALS_PER_SECOND / HOP)
    starts = list(range(0, max(1, frames - PARTIAL_FRAMES + step + 1), step))
    coverage = (n_samples - starts[-1] * HOP) / (PARTIAL_FRAMES * HOP)
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def power_mel(samples: Tensor) -> Tensor:
    """Return the power mel spectrogram (T, 40), no logarithm, of samples (S,) at 16 kHz: librosa's, in torch."""
    from torchaudio.functional import melscale_fbanks

    spectrum = torch.stft(
        samples, N_FFT, HOP, window=torch.hann_window(N_FFT), center=True, pad_mode="constant", return_complex=True
    )
    bank = melscale_fbanks(N_FFT // 2 + 1, 0.0, SPEECH_RATE / 2, MELS, SPEECH_RATE, norm="slaney", mel_scale="slaney")
    return spectrum.abs().square().T @ bank
