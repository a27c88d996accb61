"""Output of a teacher-forced pass of the acoustic model, and the cache of activations that cloning does not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class EncoderOutput:
    """Activations before the decoder, padding included.

    context: input of the decoder at each step `(B, T/R, D)`. log_durations: predicted log(1 + frames) `(B, N)`.
    prosody: predicted, `(B, N, 3)`. true_prosody: measured, `(B, N, 3)`; the context is computed with true_prosody.
    """

    context: Tensor
    log_durations: Tensor
    prosody: Tensor
    true_prosody: Tensor


@dataclass(frozen=True)
class AcousticOutput:
    """The predictions of a teacher-forced pass, padding included.

    mel_before, mel: log-mels `(B, T, M)` before and after the postnet. history: the normalised frames `(B, T, M)` that
    the decoder reads, without gradient; None without history mixing.
    """

    mel_before: Tensor
    mel: Tensor
    encoder_output: EncoderOutput
    history: Tensor | None = None


@dataclass(frozen=True)
class ActivationCache:
    """Activations of a teacher-forced pass that depend on no adapted parameter; None for activations not in the cache.

    true_prosody: measured `(B, N, 3)`. hidden: output of the encoder `(B, N, D)`. encoder_output: activations before
    the decoder. frames_before: normalised frames before the postnet `(B, T, M)`.
    """

    true_prosody: Tensor | None = None
    hidden: Tensor | None = None
    encoder_output: EncoderOutput | None = None
    frames_before: Tensor | None = None

    @classmethod
    def pad(cls, caches: Sequence[ActivationCache]) -> ActivationCache:
        """Return the cache of a padded batch. caches: one cache per sentence, each of a batch of one."""
        outputs = [cache.encoder_output for cache in caches if cache.encoder_output is not None]
        columns = [[getattr(output, field.name) for output in outputs] for field in fields(EncoderOutput)]
        return cls(
            true_prosody=_pad_all([cache.true_prosody for cache in caches]),
            hidden=_pad_all([cache.hidden for cache in caches]),
            encoder_output=EncoderOutput(*map(_pad, columns)) if outputs else None,
            frames_before=_pad_all([cache.frames_before for cache in caches]),
        )


def _pad_all(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """Return one padded batch of several batches of one, or None if a sentence has no value."""
    present = [tensor for tensor in tensors if tensor is not None]
    return _pad(present) if len(present) == len(tensors) else None


def _pad(tensors: Sequence[Tensor]) -> Tensor:
    return pad_sequence([tensor[0] for tensor in tensors], batch_first=True)
