"""Training of the aligner: on flat-start durations first, then on its own alignments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tts_meta.corpus import Batch
from tts_meta.files import atomic_file, write_tensors
from tts_meta.models.aligner import Aligner
from tts_meta.models.pretrained import Base
from tts_meta.report.run_info import RunInfo
from tts_meta.tensors import read_tensors
from tts_meta.train.aligner_loss import aligner_loss, symbol_log_prior
from tts_meta.train.datasets import training_stream
from tts_meta.train.distributed import all_agree, barrier, is_first
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.flat_start import flat_start_durations
from tts_meta.train.loop import fit
from tts_meta.train.segments import Segments
from tts_meta.train.training_config import FitSettings

if TYPE_CHECKING:
    from tts_meta.train.pretrain import PretrainConfig

_ALIGNER_UTTERANCES = 20_000
"""Approximate number of training utterances of the aligner. Its steps use fewer, and each needs a flat start."""
_SCORE_QUANTILE = 0.005
"""Quantile of the training sentences' alignment scores that `Aligner.matches` uses."""


def train_aligner(config: PretrainConfig, base: Base, store: FeatureStore, deadline: float, info: RunInfo) -> bool:
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
        durations = cached_durations(
            config.output / "flat_start.safetensors",
            store,
            lambda: zip(chosen, flat_start_durations(unaligned, base.kinds), strict=True),
        )
        if not _fit_aligner("aligner_first", config, base, store, durations, deadline, info):
            return False
        known = np.flatnonzero(durations.known).tolist()
        durations = cached_durations(
            config.output / "realigned.safetensors",
            store,
            lambda: ((n, aligner.align(store[n].mel, store[n].tokens, base.kinds).durations) for n in known),
        )
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
    settings, folder = FitSettings.of(config, config.aligner, deadline), config.output / stage
    stage_info, mel_config = info.of_stage(stage, config.aligner), config.base.audio.mel
    steps = fit(stage, aligner, _aligner_loss(aligner), stream, settings, folder, mel_config, info=stage_info)
    aligner.cpu().eval()
    return steps == config.aligner.steps


def _aligner_loss(aligner: Aligner) -> Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]:
    return lambda batch, step: (aligner_loss(aligner, batch), {})


def cached_durations(
    path: Path, store: FeatureStore, compute: Callable[[], Iterable[tuple[int, Tensor | None]]]
) -> Durations:
    """Return the durations in `path`, which the first process computes, by utterance number, once per run."""
    if is_first() and not path.exists():
        Durations.of(store, compute()).save(path)
    barrier()
    return Durations.load(path, store)
