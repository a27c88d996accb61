"""Training of the aligner: on flat-start durations first, then on its own alignments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.files import atomic_file, write_tensors
from tts_meta.models.aligner import Aligner
from tts_meta.models.alignment_cache import aligner_hash
from tts_meta.models.pretrained import Base
from tts_meta.report.run_info import RunInfo
from tts_meta.tensors import read_tensors
from tts_meta.train.aligner_loss import aligner_loss, symbol_log_prior
from tts_meta.train.datasets import training_stream
from tts_meta.train.distributed import all_agree, barrier, is_first, of_first
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.flat_start import FlatStart
from tts_meta.train.loop import fit
from tts_meta.train.segments import Segments
from tts_meta.train.shared_durations import shared_durations
from tts_meta.train.training_config import FitSettings

if TYPE_CHECKING:
    from tts_meta.train.pretrain import PretrainConfig

_ALIGNER_UTTERANCES = 20_000
"""Approximate number of training utterances of the aligner. Its steps use fewer, and each needs a flat start."""
_SCORE_QUANTILE = 0.005
"""Quantile of the training sentences' alignment scores that `Aligner.matches` uses."""


def train_aligner(
    config: PretrainConfig, base: Base, store: FeatureStore, deadline: float, info: RunInfo, console: Console
) -> bool:
    """Train the aligner on flat-start durations, then on its own alignments, and measure its scores.

    The finished aligner is in `aligner.safetensors` of the run, which later calls load. Returns False if the time is
    up.
    """
    finished, aligner = config.output / "aligner.safetensors", base.aligner
    if not all_agree(finished.exists()):
        longest = config.max_seconds / config.base.audio.mel.frame_seconds
        chosen = np.flatnonzero(store.frames <= longest)
        chosen = chosen[:: max(1, len(chosen) // _ALIGNER_UTTERANCES)].tolist()
        unaligned = Segments.uncut(store, Durations.of(store, ()), chosen)
        durations = _flat_start(config.output, base, unaligned, chosen, console)
        if not _fit_aligner("aligner_first", config, base, store, durations, deadline, info):
            return False
        known = np.flatnonzero(durations.known).tolist()

        def realign(number: int) -> Tensor:
            example = store[number]
            return aligner.align(example.mel, example.tokens, base.kinds).durations

        path, method = config.output / "realigned.safetensors", f"alignment {aligner_hash(base)}"
        durations = shared_durations(path, store, known, method, realign, console)
        if not _fit_aligner("aligner", config, base, store, durations, deadline, info):
            return False
        if is_first():
            examples = [store[n] for n in known[:: len(known) // 400 + 1]]
            scores = [aligner.align(e.mel, e.tokens, base.kinds).score for e in examples]
            aligner.score_range.copy_(torch.tensor(scores).quantile(torch.tensor([_SCORE_QUANTILE, 0.5])))
            with atomic_file(finished) as temporary:
                write_tensors(temporary, aligner.state_dict())
        barrier()
    advice = f"delete {finished} to make it again from the last checkpoint"
    aligner.load_state_dict(read_tensors(finished, advice, aligner.state_dict(), "not the aligner of this run"))
    aligner.eval()
    return True


def _fit_aligner(
    stage: str,
    config: PretrainConfig,
    base: Base,
    store: FeatureStore,
    durations: Durations,
    deadline: float,
    info: RunInfo,
) -> bool:
    """Train the aligner on the utterances that have durations; return whether all its steps are done."""
    aligner, known = base.aligner, np.flatnonzero(durations.known).tolist()
    stream = training_stream(config, base, config.aligner, Segments.uncut(store, durations, known))
    has_durations = np.repeat(durations.known, store.symbols)
    pair = (
        torch.from_numpy(store.tokens[has_durations].astype(np.int64)),
        torch.from_numpy(durations.frames[has_durations]),
    )
    aligner.log_prior.copy_(symbol_log_prior([pair], len(base.symbols)))
    aligner.to(config.device)
    is_resumed = config.resume is not None and (config.output / stage).resolve() in config.resume.resolve().parents
    settings, folder = FitSettings.of(config, config.aligner, deadline, is_resumed), config.output / stage
    stage_info, mel_config = info.of_stage(stage, config.aligner), config.base.audio.mel
    steps = fit(stage, aligner, _aligner_loss(aligner), stream, settings, folder, mel_config, info=stage_info)
    aligner.cpu().eval()
    return steps == config.aligner.steps


def _aligner_loss(aligner: Aligner) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    return lambda batch, step: (aligner_loss(aligner, batch), {})


def _flat_start(output: Path, base: Base, unaligned: Segments, chosen: list[int], console: Console) -> Durations:
    """Return the flat-start durations of the utterances `chosen`, whose segments are `unaligned`."""
    model: FlatStart | None = None

    def durations_of(number: int) -> Tensor | str:
        assert model is not None
        found = model.durations(unaligned.store[number])
        return "too short for its transcript" if found is None else found

    path = output / "flat_start.safetensors"
    if not all_agree(path.exists()):
        model = FlatStart.estimate(unaligned, base.kinds) if is_first() else FlatStart.untrained(base.kinds)
        means, variances = (of_first(torch.from_numpy(array)).numpy() for array in (model.means, model.variances))
        model = FlatStart(base.kinds, means, variances)
    return shared_durations(path, unaligned.store, chosen, "flat start", durations_of, console)
