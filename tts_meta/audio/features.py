"""From a recording to what models read: trimmed, level waveform, its log-mel, and a cache of both decisions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts_meta.audio.cache_entry import read_entry, write_entry
from tts_meta.audio.io import Waveform, read_audio
from tts_meta.audio.mel import MelSpec
from tts_meta.config import AudioConfig, dump_config
from tts_meta.errors import TtsMetaError
from tts_meta.files import sha256_file

_VERSION = 2
"""Of trimming, loudness and log-mel: a change of what they give for a recording needs another number."""

_SILENCE_DB = -60.0
_ACTIVE_DB = 30.0
_FRAME, _STEP = 1024, 256


def prepare_waveform(samples: Waveform, config: AudioConfig, name: str = "recording") -> Waveform:
    """Trim silence at both ends and bring the active part to one loudness: `(S,)` to `(S',)`, float32.

    A constant offset is taken out. Raises TtsMetaError naming the recording where all of it is silent.
    """
    samples = samples - samples.mean()
    levels = _levels_db(samples)
    if levels.max() < _SILENCE_DB:
        raise TtsMetaError(f"{name}: silent throughout; check the microphone and record it again")
    loud = np.flatnonzero(levels > levels.max() - config.trim_db)
    pad = round(config.trim_pad * config.mel.sample_rate)
    start = max(0, loud[0] * _STEP - pad)
    end = min(len(samples), loud[-1] * _STEP + _FRAME + pad)
    active = levels[levels > levels.max() - _ACTIVE_DB]
    loudness = 10 * np.log10(np.mean(10 ** (active / 10)))
    gain = 10 ** ((config.loudness - loudness) / 20)
    trimmed = samples[start:end] * gain
    return (trimmed / max(1.0, float(np.abs(trimmed).max()))).astype(np.float32)


class FeatureCache:
    """Log-mels on disk, keyed by the recording's content and the feature configuration.

    A changed file or setting has another key, so that nothing stale is ever read; a damaged entry is computed again.
    """

    def __init__(self, folder: str | Path, config: AudioConfig) -> None:
        self.folder = Path(folder)
        self.config = config
        self._mel_spec = MelSpec(config.mel)
        self._settings = hashlib.sha256(dump_config(config).encode()).hexdigest()

    def path(self, audio: str | Path) -> Path:
        """Where the features of a recording lie, present or not."""
        if not Path(audio).is_file():
            raise TtsMetaError(f"{audio}: no such file; check the path")
        key = hashlib.sha256(f"{sha256_file(audio)} {self._settings} {_VERSION}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.safetensors"

    def mel(self, audio: str | Path) -> Tensor:
        """Log-mel `(T, M)` float32 of a recording, computed once. Raises as `read_audio` and `prepare_waveform`."""
        entry = self.path(audio)
        mel = read_entry(entry, entry.stem, self.config.mel.n_mels)
        if mel is None:
            mel = self.compute(audio)
            write_entry(entry, entry.stem, mel)
        return mel

    def compute(self, audio: str | Path) -> Tensor:
        """Log-mel `(T, M)` float32 of a recording, without the cache."""
        return load_sound(audio, self.config, self._mel_spec)[1]


def load_sound(audio: str | Path, config: AudioConfig, mel_spec: MelSpec) -> tuple[Waveform, Tensor]:
    """What models read of a recording: the prepared waveform `(S,)` and its log-mel `(T, M)`, float32.

    Raises as `read_audio` and `prepare_waveform`, and where it is too short for a word.
    """
    waveform = prepare_waveform(read_audio(audio, config.mel.sample_rate), config, str(audio))
    if len(waveform) < config.mel.n_fft:
        raise TtsMetaError(f"{audio}: too short to hold a word; leave it out")
    with torch.inference_mode():
        mel = mel_spec(torch.from_numpy(waveform)[None])[0]
    return waveform, mel.clone()


def _levels_db(samples: Waveform) -> Waveform:
    """Root mean square of overlapping frames, dB of full scale, `(frames,)`."""
    if len(samples) < _FRAME:
        samples = np.pad(samples, (0, _FRAME - len(samples)))
    squares = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts = np.arange(0, len(samples) - _FRAME + 1, _STEP)
    power = (squares[starts + _FRAME] - squares[starts]) / _FRAME
    return (10 * np.log10(np.maximum(power, 1e-12))).astype(np.float32)
