"""Checks that predicted durations and frames can be speech, so that a damaged voice raises an error."""

from __future__ import annotations

import torch
from torch import Tensor

from tts_meta.errors import TtsMetaError

MAX_SYMBOL_SECONDS, MAX_SENTENCE_SECONDS, MAX_MEAN_SYMBOL_SECONDS = 5.0, 5.0, 0.5
"""Limits at speed 1. A symbol lasts at most `MAX_SYMBOL_SECONDS`. A sentence of N symbols lasts at most
`MAX_SENTENCE_SECONDS` plus N times `MAX_MEAN_SYMBOL_SECONDS`.

The longest pauses and vowels of real speech last one or two seconds; an average symbol lasts a tenth of a second.
"""
MAX_LOG_MEL, MIN_LOG_MEL = 20.0, -100.0
"""Bounds of log-mels. Speech at full scale has log-mels below 5; silence has the logarithm of `MelConfig.floor`."""
_ADVICE = "the voice or base is damaged or diverged; clone or copy it again"


def check_durations(log_durations: Tensor, mask: Tensor, frame_seconds: float) -> None:
    """Raise TtsMetaError if durations `(B, N)`, as log(1 + frames), are longer than those of any speech."""
    # Infinity after an overflow is above the limits, and comparisons with NaN are false.
    seconds = torch.where(mask, log_durations.float().expm1().clamp(min=0.0) * frame_seconds, 0.0)
    longest, total = seconds.amax(1), seconds.sum(1)
    limits = MAX_SENTENCE_SECONDS + MAX_MEAN_SYMBOL_SECONDS * mask.sum(1)
    if not bool(((longest <= MAX_SYMBOL_SECONDS) & (total <= limits)).all()):
        raise TtsMetaError(
            f"a sentence of {int(mask.sum(1).max())} symbols would last {float(total.max()):.3g} s, one symbol "
            f"{float(longest.max()):.3g} s; {_ADVICE}"
        )


def check_frames(mel: Tensor) -> Tensor:
    """Return log-mels `(..., T, M)` unchanged. Raises TtsMetaError if a value is not finite or is out of range."""
    # Comparisons with NaN are false.
    if mel.numel() and not bool(((mel <= MAX_LOG_MEL) & (mel >= MIN_LOG_MEL)).all()):
        raise TtsMetaError(f"the predicted spectrum is not that of a sound (not finite or out of range); {_ADVICE}")
    return mel
