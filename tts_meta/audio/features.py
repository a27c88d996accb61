"""`FeatureCache`: log-mels of recordings, computed once and kept on disk in half precision."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.array_store import ArrayStore
from tts_meta.audio.cache_entry import read_entry
from tts_meta.audio.io import Waveform
from tts_meta.audio.mel import MelSpec
from tts_meta.audio.speech import load_speech
from tts_meta.audio.trimming import AudioConfig
from tts_meta.config import dump_config
from tts_meta.corpus.audio_part import sha256_audio, split_part
from tts_meta.errors import TtsMetaError

FEATURE_VERSION = 3
"""Version of trimming, loudness and log-mel. Raise it when their result for a recording changes."""

Mel = NDArray[np.float16]


class FeatureCache:
    """Log-mels in `folder/mels`, by the content of the recording; several processes may fill the folder at once.

    Each configuration and version has a subfolder (`store`), so an outdated log-mel is never read. A damaged log-mel is
    computed again. Log-mels of older versions of this project, a file for each recording, are moved into the store.
    """

    def __init__(self, folder: str | Path, config: AudioConfig) -> None:
        self.folder = Path(folder)
        self.config = config
        self.mel_spec = MelSpec(config.mel)
        content = {"features": "log-mel", "version": FEATURE_VERSION, "audio": config.model_dump(mode="json")}
        self.store = ArrayStore(self.folder / "mels", np.float16, config.mel.n_mels, content)

    @property
    def stores(self) -> tuple[ArrayStore, ...]:
        """All array stores of the cache. Their arrays have a row for each frame."""
        return (self.store,)

    def refresh(self) -> None:
        """Find what other processes have written since the cache was opened."""
        for store in self.stores:
            store.refresh()

    def key(self, audio: str | Path) -> bytes:
        """Return the key of a recording in the store: the SHA-256 of its content, and for a part of the seconds."""
        if not split_part(audio)[0].is_file():
            raise TtsMetaError(f"{audio}: no such file; check the path")
        return bytes.fromhex(sha256_audio(audio))

    def mel(self, audio: str | Path) -> Tensor:
        """Return the log-mel `(T, M)` float32 of a recording, rounded to half precision, from the store if possible.

        Raises as `load_speech`.
        """
        return self.key_and_mel(audio)[1]

    def key_and_mel(self, audio: str | Path) -> tuple[bytes, Tensor]:
        """Return the key of a recording and its log-mel, as `key` and `mel` do."""
        key = self.key(audio)
        mel = self._stored(key)
        return key, torch.from_numpy(self._put(key, self.compute(audio)) if mel is None else mel).float()

    def add(self, audio: str | Path, waveform: Waveform) -> None:
        """Store the log-mel of a recording whose prepared waveform `(S,)` is known, unless there is a valid one."""
        key = self.key(audio)
        if self._stored(key) is None:
            self._put(key, _log_mel(waveform, self.mel_spec))

    def compute(self, audio: str | Path) -> Tensor:
        """Compute the log-mel `(T, M)` float32 of a recording, without the store."""
        return load_waveform_and_mel(audio, self.config, self.mel_spec)[1]

    def _put(self, key: bytes, mel: Tensor) -> Mel:
        """Store a log-mel and return it in half precision."""
        half = mel.half().numpy()
        self.store.put(key, half)
        return half

    def _stored(self, key: bytes) -> NDArray[Any] | None:
        """Return a valid log-mel of the store or of an older version, which is moved into the store."""
        mel = self.store.get(key)
        if mel is None and (older := self._of_older_version(key)) is not None:
            return self._put(key, older)
        return mel

    def _of_older_version(self, key: bytes) -> Tensor | None:
        settings = hashlib.sha256(dump_config(self.config).encode()).hexdigest()
        name = hashlib.sha256(f"{key.hex()} {settings} {FEATURE_VERSION}".encode()).hexdigest()
        tensors = read_entry(self.folder / name[:2] / f"{name}.safetensors", name, {"mel": torch.float32})
        if tensors is None:
            return None
        mel = tensors["mel"]
        return mel if mel.dim() == 2 and len(mel) and mel.shape[1] == self.config.mel.n_mels else None


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
