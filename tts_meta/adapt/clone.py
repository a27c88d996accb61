"""Cloning: a few recordings of a speaker in, a voice out."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from tts_meta.adapt.recordings import Recording, align_recordings, find_transcripts
from tts_meta.adapt.voice import Voice
from tts_meta.corpus import Batch, Example, collate
from tts_meta.errors import UsageError
from tts_meta.meta import ProximalAdam, ShrinkagePrior, solve
from tts_meta.meta.prior import Params
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.base import Base, load_base
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.partition import Partition

HELD_OUT_FROM = 4
"""With so many sentences or more, one is kept back to show how the voice does on words it was not adapted on."""


@dataclass(frozen=True)
class CloneSettings:
    """The inner loop: which modules adapt, how far and how long. Defaults: the best found on held-back speakers."""

    modules: tuple[str, ...] = ("*",)
    """Patterns over module names of the acoustic model."""
    steps: int = 200
    """Steps of the inner loop."""
    learning_rate: float = 3e-4
    """Step size of Adam."""
    variance: float = 1.0
    """Prior variance σ² of every adapted module."""
    frames_per_step: int = 1600
    """Sentences are drawn anew each step until they hold so many frames."""
    seed: int = 0
    """Seeds the draws and the prenet's dropout."""


@dataclass(frozen=True)
class Progress:
    """State after an inner step: the step, nats per frame adapted on and, at some steps, on the held-out sentence."""

    step: int
    loss: float
    held_out: float | None


def adaptable(base: Base) -> Partition:
    """Modules of the acoustic model that cloning may move: not the table of training speakers nor likelihood scales."""
    partition = Partition.by_layer(base.acoustic)
    fixed = ("speaker.offsets", "mel_log_scale", "duration_log_scale")
    return Partition(tuple(module for module in partition.modules if module.name not in fixed))


def clone_examples(
    base: Base,
    examples: Sequence[Example],
    settings: CloneSettings | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    consent: str = "",
) -> Voice:
    """Adapt the base to aligned sentences of one speaker.

    With `HELD_OUT_FROM` sentences or more the last is held out; its loss before and after stands in `voice.scores`.
    Raises UsageError where a module pattern matches nothing.
    """
    settings = settings or CloneSettings()
    if settings.steps < 0 or not settings.learning_rate > 0:
        raise UsageError("steps must be 0 or more and the learning rate above 0")
    chosen = adaptable(base).select(settings.modules)
    support = list(examples[:-1] if len(examples) >= HELD_OUT_FROM else examples)
    held_out = _batch(base, [examples[-1]]) if len(examples) >= HELD_OUT_FROM else None
    model = base.acoustic
    names = chosen.parameters()
    meta_params = {name: value.detach() for name, value in model.named_parameters() if name in names}
    total_frames = sum(len(example.mel) for example in support)
    draws = random.Random(settings.seed)

    def loss(params: Params, step: int) -> Tensor:
        batch = _batch(base, _draw(draws, support, settings.frames_per_step))
        # The sum over all frames, estimated from those drawn.
        return _nll(model, params, batch) * (total_frames / int(batch.mel_lengths.sum()))

    def after(step: int, params: Params, value: float) -> None:
        shown = held_out is not None and (step % 25 == 0 or step == settings.steps)
        held = _held_out_nll(model, params, held_out) if shown and held_out is not None else None
        report(Progress(step, value / total_frames, held))

    prior = ShrinkagePrior.isotropic(names, settings.variance)
    solver = ProximalAdam(settings.learning_rate)
    scores = {"sentences": len(support), "seconds": round(total_frames * base.config.audio.mel.frame_seconds, 1)}
    if held_out is not None:
        scores["held_out_before"] = _held_out_nll(model, meta_params, held_out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model.decoder.train()
        try:
            params, _ = solve(loss, meta_params, prior, solver, settings.steps, after)
        finally:
            model.decoder.eval()
    if held_out is not None:
        scores["held_out_after"] = _held_out_nll(model, params, held_out)
    deltas = {name: value - meta_params[name] for name, value in params.items()}
    return Voice(deltas, base.hash, chosen.names, settings.steps, consent, scores)


def clone(
    audio: Sequence[str | Path],
    *,
    transcripts: str | Path | Sequence[str] | None = None,
    base: Base | str | Path | None = None,
    settings: CloneSettings | None = None,
    consent: str = "",
    transcribe: Callable[[Path], str] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Voice:
    """Clone a voice from recordings.

    transcripts: a file of lines `FILE|TEXT`, or the texts in the order of `audio`; None looks for a `.txt` beside each
    recording, then calls `transcribe`. base: a base voice or its folder; None is the shipped one. Raises TtsMetaError
    naming the recording at fault.
    """
    loaded = base if isinstance(base, Base) else load_base(base)
    paths = [Path(path) for path in audio]
    if transcripts is None or isinstance(transcripts, str | Path):
        recordings = find_transcripts(paths, None if transcripts is None else Path(transcripts), transcribe)
    elif len(transcripts) != len(paths):
        raise UsageError(f"{len(paths)} recordings and {len(transcripts)} transcripts; give one for each")
    else:
        recordings = [Recording(path, text) for path, text in zip(paths, transcripts, strict=True)]
    examples = align_recordings(recordings, loaded, "new speaker", warn)
    return clone_examples(loaded, examples, settings, report, consent)


def _batch(base: Base, examples: Sequence[Example]) -> Batch:
    return collate(examples, dict.fromkeys((example.speaker for example in examples), -1), base.acoustic.reduction)


def _draw(draws: random.Random, examples: Sequence[Example], frames: int) -> list[Example]:
    """Sentences in random order until they hold `frames`, at least one."""
    order = draws.sample(list(examples), len(examples))
    chosen, total = [], 0
    for example in order:
        if chosen and total + len(example.mel) > frames:
            break
        chosen.append(example)
        total += len(example.mel)
    return chosen


def _nll(model: AcousticModel, params: Params, batch: Batch) -> Tensor:
    output = functional_call(model, params, (batch,))
    return acoustic_loss(model, output, batch).nll


@torch.no_grad()
def _held_out_nll(model: AcousticModel, params: Params, batch: Batch) -> float:
    """Nats per frame without dropout."""
    training = model.decoder.training
    model.decoder.eval()
    value = float(_nll(model, params, batch) / batch.mel_lengths.sum())
    model.decoder.train(training)
    return value
