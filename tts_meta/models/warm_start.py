"""`start_from`: the weights of one base as the start of the training of another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base
from tts_meta.text import SymbolTable

_EMBEDDING = "encoder.embedding.weight"


def start_from(base: Base, other: Base) -> None:
    """Copy the weights of another base's acoustic model to `base`; new speakers start at the mean voice of that base.

    The phonemes of all languages of eSpeak are in one alphabet, so a base of one language may start from another: the
    symbols that both have get the other's embeddings, and the rest keeps its own. Raises TtsMetaError if layer sizes
    differ, or if the symbols differ and one of the phonemizers is not eSpeak.
    """
    weights = other.acoustic.state_dict()
    if other.symbols.symbols != base.symbols.symbols:
        if not all(config.phonemizer.startswith("espeak:") for config in (base.config, other.config)):
            raise TtsMetaError(f"{other.folder}: the base has other symbols; start from one with the same phonemizer")
        own = base.acoustic.state_dict()[_EMBEDDING]
        weights[_EMBEDDING] = _common_rows(own, base.symbols, weights[_EMBEDDING], other.symbols)
    weights["speaker.offsets"] = _speaker_rows(weights, base.speakers, other.speakers)
    try:
        base.acoustic.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise TtsMetaError(f"{other.folder}: the base has other layer sizes ({reason}); use the same config") from error


def _common_rows(own: Tensor, symbols: SymbolTable, others: Tensor, other_symbols: SymbolTable) -> Tensor:
    """Return embeddings `(V, D)` with the rows of the symbols that both tables have from `others`."""
    if own.shape[1] != others.shape[1]:
        return others  # the caller reports the width
    rows = own.clone()
    row_of = {symbol: row for row, symbol in enumerate(other_symbols.symbols, start=1)}
    for row, symbol in enumerate(symbols.symbols, start=1):
        if symbol in row_of:
            rows[row] = others[row_of[symbol]]
    return rows


def _speaker_rows(weights: Mapping[str, Tensor], speakers: tuple[str, ...], others: tuple[str, ...]) -> Tensor:
    """Return the speaker offsets `(S, E)` of `speakers`; zero, the mean voice, for one that `others` lacks."""
    offsets = weights["speaker.offsets"]
    rows = {name: row for row, name in enumerate(others)}
    mean_voice = torch.zeros_like(offsets[0])
    return torch.stack([offsets[rows[name]] if name in rows else mean_voice for name in speakers])
