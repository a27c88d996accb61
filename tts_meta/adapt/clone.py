"""Cloning: a few recordings of a speaker in, a voice out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tts_meta.adapt.likelihood import SpeakerSentences, acoustic_nll, adaptable
from tts_meta.adapt.recordings import Recording, align_recordings, find_transcripts
from tts_meta.adapt.voice import Voice
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import Adam, Layout, Problem, ShrinkagePrior, solve
from tts_meta.meta.parameters import parameters_of
from tts_meta.models.base import Base, load_base
from tts_meta.models.partition import Partition

HELD_OUT_FROM = 4
"""With so many sentences or more, one is kept back to show how the voice does on words it was not adapted on."""


NEGLIGIBLE = 0.01
"""Modules whose learned σ² is below this part of the largest are left as they are."""


@dataclass(frozen=True)
class CloneSettings:
    """The inner loop: which modules adapt, how far and how long. Defaults: the best found on held-back speakers."""

    modules: tuple[str, ...] = ()
    """Patterns over module names of the acoustic model; empty: those that the base's prior keeps, or all."""
    steps: int = 200
    """Steps of the inner loop."""
    learning_rate: float = 3e-4
    """Step size of Adam."""
    variance: float | None = None
    """Prior variance σ² of every adapted module; None: what the base's prior says, or 1."""
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


def chosen_modules(base: Base, settings: CloneSettings) -> Partition:
    """Modules that cloning with these settings adapts. Raises UsageError where a pattern matches nothing."""
    if not settings.modules and base.prior is not None:
        kept = set(base.prior.strongest(NEGLIGIBLE))
        return Partition(tuple(module for module in adaptable(base).modules if module.name in kept))
    return adaptable(base).select(settings.modules or ("*",))


def _prior(base: Base, layout: Layout, settings: CloneSettings) -> ShrinkagePrior:
    if settings.variance is not None or base.prior is None:
        return ShrinkagePrior.isotropic(layout, 1.0 if settings.variance is None else settings.variance)
    missing = [name for name in layout.modules if name not in base.prior.variances]
    if missing:
        raise UsageError(f"the base's prior says nothing of '{missing[0]}'; give a variance")
    return ShrinkagePrior(layout, torch.tensor([math.log(base.prior.variances[name]) for name in layout.modules]))


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
    chosen = chosen_modules(base, settings)
    model, layout = base.acoustic, Layout.of(base.acoustic, chosen.modules)
    problem = Problem(model, acoustic_nll(model), layout, Layout.of(model, ()))
    meta, nothing = parameters_of(model, layout), torch.zeros(0)
    support = SpeakerSentences(base, examples[:-1] if len(examples) >= HELD_OUT_FROM else examples, chosen.names)
    last = SpeakerSentences(base, examples[-1:], chosen.names) if len(examples) >= HELD_OUT_FROM else None
    task = support.task(None, settings.frames_per_step, settings.seed)
    losses: list[float] = []

    def nll(params: Tensor, step: int) -> Tensor:
        value = problem.nll(params, nothing, [task.at(step)])
        losses.append(float(value.detach()) / support.frames)
        return value

    @torch.no_grad()
    def held_out(params: Tensor) -> float:
        """Nats per frame."""
        assert last is not None
        return float(problem.nll(params, nothing, [last.whole()])) / last.frames

    def after(step: int, params: Tensor) -> None:
        if step:
            shown = last is not None and (step % 25 == 0 or step == settings.steps)
            report(Progress(step, losses[-1], held_out(params) if shown else None))

    scores = {
        "sentences": len(support.examples),
        "seconds": round(support.frames * base.config.audio.mel.frame_seconds, 1),
    }
    if last is not None:
        scores["held_out_before"] = held_out(meta[None])
    with torch.random.fork_rng(devices=[]):
        kept, _ = solve(
            nll,
            meta,
            _prior(base, layout, settings),
            Adam(),
            lambda step: settings.learning_rate,
            settings.steps,
            observe=after,
        )
    if last is not None:
        scores["held_out_after"] = held_out(meta + kept[-1])
    deltas = layout.unflatten(kept[-1][0])
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
