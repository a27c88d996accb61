"""`acoustic_domain`: the acoustic model as a domain of learners, with the capabilities that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tts_meta.adapt.acoustic_task import ADAPTATION_DENSITY, AcousticBatch, acoustic_nll, acoustic_outputs, fix_history
from tts_meta.errors import UsageError
from tts_meta.meta import Domain, HeadData, Items, LinearHead, TrainedTasks
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.conv_blocks import length_mask
from tts_meta.models.densities import Density
from tts_meta.models.low_rank import low_rank
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base

HEAD = "decoder.output"
"""The layer of the capability `linear_head`."""


def acoustic_domain(
    base: Base,
    modules: Partition,
    rank: int = 0,
    roles: Mapping[str, Sequence[str]] | None = None,
    trained_tasks: TrainedTasks | None = None,
    density: Density = ADAPTATION_DENSITY,
) -> Domain:
    """Return the domain of a base's acoustic model in which `modules` may change.

    The data of its tasks are `AcousticBatch`. rank: rank of the changes of matrices, 0 for full rank; with a rank, the
    model is a `LowRankModel` and has no `linear_head`. roles: names of the modules of the head and of the context.
    trained_tasks: the training speakers, if their recordings are known. density: density of the errors in the loss.
    Raises UsageError for a negative rank.
    """
    acoustic = base.acoustic
    if rank:
        model, modules = low_rank(acoustic, modules, rank)
        return Domain(
            model,
            acoustic_nll(acoustic, density),
            modules.modules,
            roles or {},
            outputs=acoustic_outputs(acoustic, density),
            items=sentences,
            trained_tasks=trained_tasks,
            fix_inputs=fix_history(acoustic),
        )
    return Domain(
        acoustic,
        acoustic_nll(acoustic, density),
        modules.modules,
        roles or {},
        linear_head=LinearHead(f"{HEAD}.weight", f"{HEAD}.bias", _HeadData(acoustic)),
        outputs=acoustic_outputs(acoustic, density),
        items=sentences,
        trained_tasks=trained_tasks,
        fix_inputs=fix_history(acoustic),
    )


def sentences(data: AcousticBatch | Sequence[AcousticBatch]) -> Items:
    """Return the log-mels of the sentences `(N, L, M)`, padded with zeros, and their numbers of frames."""
    batches = [data.batch] if isinstance(data, AcousticBatch) else [part.batch for part in data]
    lengths = torch.cat([batch.mel_lengths for batch in batches])
    mels = [mel[:length] for batch in batches for mel, length in zip(batch.mel, batch.mel_lengths, strict=True)]
    return Items(pad_sequence(mels, batch_first=True), lengths)


class _HeadData:
    """The data of the decoder's output layer in a teacher-forced pass without dropout.

    A row is a step of the decoder with R complete frames. Targets are the normalised frames of the step, `(N, R * M)`.
    A Gaussian with the variance of the Laplace likelihood of pretraining, 2 b², replaces the likelihood. The postnet,
    which corrects the frames, is ignored.
    """

    def __init__(self, model: AcousticModel) -> None:
        self.model = model

    def __call__(self, call: Callable[..., Any], data: AcousticBatch | Sequence[AcousticBatch]) -> HeadData:
        if not isinstance(data, AcousticBatch):
            parts = [self(call, batch) for batch in data]
            inputs, targets, weights = zip(*((part.inputs, part.targets, part.weights) for part in parts), strict=True)
            return HeadData(torch.cat(inputs), torch.cat(targets), torch.cat(weights), parts[0].precisions)
        model, seen = self.model, list[Tensor]()

        def keep(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen.append(arguments[0])

        handle = model.decoder.output.register_forward_pre_hook(keep)
        try:
            call(data.batch, data.cache, None)
        finally:
            handle.remove()
        if not seen:
            raise UsageError(f"the data has no input of {HEAD}; name {HEAD} among the modules that change")
        mel, lengths = data.batch.mel, data.batch.mel_lengths
        count, steps = len(mel), mel.shape[1] // model.reduction
        normalised = (mel - model.mel_mean) / model.mel_scale
        complete = length_mask(lengths // model.reduction, steps).reshape(-1)
        scale = torch.exp(model.mel_log_scale.detach()) / model.mel_scale
        return HeadData(
            seen[0].reshape(count * steps, -1)[complete],
            normalised.reshape(count * steps, -1)[complete],
            torch.full((int(complete.sum()),), data.weight, dtype=mel.dtype, device=mel.device),
            (0.5 / scale.square()).repeat(model.reduction),
        )
