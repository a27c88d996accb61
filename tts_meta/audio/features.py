"""`FeatureCache`: log-mels of recordings, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.audio.cache_entry import read_entry, write_entry
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelSpec
from tts_meta.audio.speech import load_speech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.config import dump_config
from tts_meta.corpus.audio_part import sha256_audio, split_part
from tts_meta.errors import TtsMetaError

_VERSION = 3
"""Version of trimming, loudness and log-mel. Raise it when their result for a recording changes."""


class FeatureCache:
    """Log-mels on disk, keyed by the content of the recording and the feature configuration.

    A changed file or setting has another key, so an outdated entry is never read. A damaged entry is computed again.
    """

    def __init__(self, folder: str | Path, config: AudioConfig) -> None:
        self.folder = Path(folder)
        self.config = config
        self._mel_spec = MelSpec(config.mel)
        self._settings = hashlib.sha256(dump_config(config).encode()).hexdigest()

    def path(self, audio: str | Path) -> Path:
        """Return the path of the features of a recording, whether the file exists or not."""
        if not split_part(audio)[0].is_file():
            raise TtsMetaError(f"{audio}: no such file; check the path")
        key = hashlib.sha256(f"{sha256_audio(audio)} {self._settings} {_VERSION}".encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.safetensors"

    def mel(self, audio: str | Path) -> Tensor:
        """Return the log-mel `(T, M)` float32 of a recording, from the cache if possible. Raises as `load_speech`."""
        entry = self.path(audio)
        mel = self._read(entry)
        if mel is None:
            mel = self.compute(audio)
            write_entry(entry, entry.stem, {"mel": mel})
        return mel

    def add(self, audio: str | Path, waveform: Waveform) -> None:
        """Store the log-mel of a recording whose prepared waveform `(S,)` is known, unless there is a valid entry."""
        entry = self.path(audio)
        if self._read(entry) is None:
            write_entry(entry, entry.stem, {"mel": _log_mel(waveform, self._mel_spec)})

    def _read(self, entry: Path) -> Tensor | None:
        """Return the log-mel of an entry, or None if there is no valid one."""
        tensors = read_entry(entry, entry.stem, {"mel": torch.float32})
        if tensors is None:
            return None
        mel = tensors["mel"]
        return mel if mel.dim() == 2 and len(mel) and mel.shape[1] == self.config.mel.n_mels else None

    def compute(self, audio: str | Path) -> Tensor:
        """Compute the log-mel `(T, M)` float32 of a recording, without the cache."""
        return load_waveform_and_mel(audio, self.config, self._mel_spec)[1]


def load_waveform_and_mel(audio: str | Path, config: AudioConfig, mel_spec: MelSpec) -> tuple[Waveform, Tensor]:
    """Return the prepared waveform `(S,)` of a recording and its log-mel `(T, M)`, both float32.

    Raises as `load_speech`.
    """
    waveform = load_speech(audio, config).waveform
    return waveform, _log_mel(waveform, mel_spec)


def _log_mel(waveform: Waveform, mel_spec: MelSpec) -> Tensor:
    with torch.inference_mode():
        mel = mel_spec(torch.from_numpy(waveform)[None])[0]
    return mel.clone()
