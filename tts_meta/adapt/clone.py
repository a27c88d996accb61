"""Cloning: a few recordings of a speaker in, a voice out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts_meta.adapt.acoustic_task import AcousticTask, acoustic_nll, adaptable
from tts_meta.adapt.arguments import Audio, Transcripts, check_consent, check_settings, find_recordings
from tts_meta.adapt.early_stopping import CHECK_EVERY, PlateauStop
from tts_meta.adapt.recordings import align_recordings
from tts_meta.adapt.vocoder_task import VocoderTask, adaptable_sound, adapting, own_modules, sound_nll
from tts_meta.adapt.voice import VOCODER, Voice, as_stored
from tts_meta.context import own_context
from tts_meta.corpus import Example
from tts_meta.errors import UsageError
from tts_meta.meta import Adam, Layout, Problem, ShrinkagePrior, Task, solve
from tts_meta.meta.inner import StepSize
from tts_meta.meta.parameters import parameters_of
from tts_meta.models.low_rank import LowRankModel, by_parameter_name, low_rank
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import Vocoder, as_vocoder, load_vocoder
from tts_meta.text import Lexicon

CLONE_VERSION = 2
"""Version of how a voice is adapted. Increase it when the same recordings and settings would give another voice.

The benchmark's cache depends on it. 2: no sentence is held out by default, and packing finds its own codes again.
"""

NEGLIGIBLE = 0.077
"""Modules whose learned σ² is below this part of the largest are left as they are, where the prior names none.

Of the shipped base that leaves 32 of 48, with which voices of held-back speakers score as with all
(`recipes/few_shot/prune.py`).
"""
FREE_RATE = 3e-4
"""Step size of Adam where no learned prior is followed."""
FREE_STEPS = 200
"""Steps there: what more of them do, no prior holds."""
SOUND_RATE = 3e-5
"""Of the vocoder there: crops and noise say more than the speaker does."""
SIGMA_RATE = 0.1
"""Its step size where one is, in units of each module's σ, falling to nothing over the steps.

What each step draws anew then averages out, and what is found after more steps is the same, only nearer.
"""


@dataclass(frozen=True)
class CloneSettings:
    """The inner loop: which modules adapt, how far and how long. Defaults: the best found on held-back speakers."""

    modules: tuple[str, ...] = ()
    """Patterns over module names; empty: those that the base's prior keeps, or all of the acoustic model.

    Those of the light vocoder begin with `vocoder.`, and only patterns that do so choose them.
    """
    steps: int | None = None
    """Steps of the inner loop; None: until it settles (`settle.py`), or where no learned prior is followed 200."""
    learning_rate: float | None = None
    """Step size of Adam, in every step; None: `FREE_RATE`, or where a learned prior is followed `SIGMA_RATE`."""
    vocoder_steps: int = 100
    """Steps of the vocoder's inner loop, where modules of it adapt."""
    vocoder_learning_rate: float | None = None
    """Step size of Adam in the first of these, falling to nothing; None: `SOUND_RATE`, or where the vocoder has a
    learned prior `SIGMA_RATE`."""
    variance: float | None = None
    """Prior variance σ² of every adapted module; None: what the prior of its model says, or 1."""
    prior_scale: float | None = None
    """So many times σ² as learned is the prior variance, of every module; None: what that prior says."""
    rank: int | None = None
    """Matrices move in so low a rank (`models/low_rank.py`), 0: whole; None: what the base's prior says, or whole."""
    frames_per_step: int = 1600
    """Sentences are drawn anew each step until they hold so many frames."""
    crops_per_step: int = 8
    """Crops of .7 s that a step of the vocoder hears."""
    seed: int = 0
    """Seeds the draws, the prenet's dropout and the vocoder's noise."""
    hold_out: int = 0
    """The last so many sentences are not adapted on; their loss before and after stands in `Voice.scores`."""

    def follows(self, base: Base) -> bool:
        """Whether cloning with these settings follows the base's learned prior."""
        return base.prior is not None and self.variance is None

    def prior_scale_for(self, base: Base) -> float:
        """How many times as wide as learned the base's prior is. Raises UsageError for one that is not followed."""
        if self.prior_scale is None:
            return 1.0 if base.prior is None else base.prior.prior_scale
        if not self.follows(base):
            raise UsageError(
                "prior_scale scales the base's learned prior, but these settings do not use that prior; leave it out"
            )
        return self.prior_scale

    def rank_for(self, base: Base) -> int:
        """The rank that matrices of the base's acoustic model move in; 0: whole."""
        if self.rank is None:
            return base.prior.rank if base.prior is not None and self.follows(base) else 0
        return self.rank

    @property
    def adapts_vocoder(self) -> bool:
        """Whether a pattern names modules of the vocoder."""
        return any(pattern.startswith(VOCODER) for pattern in self.modules)


@dataclass(frozen=True)
class Progress:
    """State after an inner step of `part`: its loss and, at some steps, that of held-out sentences, if any are.

    Of the acoustic model nats per frame, of the vocoder the spectral distance. steps: in all, as far as is known.
    """

    step: int
    loss: float
    held_out: float | None
    part: str = "acoustic model"
    steps: int = 0


def chosen_modules(base: Base, settings: CloneSettings, vocoder: Vocoder | None = None) -> Partition:
    """Modules that cloning with these settings adapts. Raises UsageError where a pattern matches nothing."""
    if not settings.modules and base.prior is not None:
        kept = set(base.prior.strongest(NEGLIGIBLE))
        return Partition(tuple(module for module in adaptable(base).modules if module.name in kept))
    if not settings.modules:
        return adaptable(base)
    chosen = Partition(())
    own = [pattern for pattern in settings.modules if not pattern.startswith(VOCODER)]
    if own:
        chosen += adaptable(base).select(own)
    if settings.adapts_vocoder:
        chosen += adaptable_sound(adapting(vocoder, base)).select(set(settings.modules) - set(own))
    return chosen


def _free(layout: Layout, settings: CloneSettings) -> ShrinkagePrior:
    """One variance for all, by default one so wide that it does not matter."""
    return ShrinkagePrior.isotropic(layout, 1.0 if settings.variance is None else settings.variance)


def _prior(base: Base, layout: Layout, settings: CloneSettings) -> ShrinkagePrior:
    prior_scale = settings.prior_scale_for(base)
    if base.prior is None or not settings.follows(base):
        return _free(layout, settings)
    if bool(base.prior.rank) != bool(settings.rank_for(base)):
        how = f"in rank {base.prior.rank}" if base.prior.rank else "whole"
        raise UsageError(f"the base's prior is of matrices that stray {how}; give a variance")
    return _learned(base.prior, layout, prior_scale)


def _learned(prior: ModulePrior, layout: Layout, prior_scale: float) -> ShrinkagePrior:
    """That prior of these modules, so many times as wide. Raises UsageError for a module that it says nothing of."""
    missing = [name for name in layout.modules if name not in prior.variances]
    if missing:
        raise UsageError(f"the learned prior says nothing of '{missing[0]}'; give a variance")
    values = [prior.variances[name] * prior_scale for name in layout.modules]
    return ShrinkagePrior(layout, torch.tensor(values).log())


@dataclass(frozen=True)
class _Data:
    """What a model is scored on: sentences or sound, and how many frames or samples they hold."""

    task: Task
    size: int


@dataclass(frozen=True)
class _Part:
    """One of the two models: what of it adapts, on what, for how long."""

    name: str
    problem: Problem
    support: _Data
    held_out: _Data | None
    steps: int
    prior: ShrinkagePrior
    learning_rate: Callable[[int], StepSize]
    plateau: PlateauStop | None = None
    """What ends the loop before `steps`."""

    def adapt(self, report: Callable[[Progress], None]) -> tuple[dict[str, Tensor], int, dict[str, Any]]:
        """Changes of parameters by name, the steps done, and why no more, with the held-out loss before and after."""
        meta, losses = parameters_of(self.problem.model, self.problem.adapted), list[float]()

        def nll(params: Tensor, step: int) -> Tensor:
            value = self.problem.nll(params, torch.zeros(0), [self.support.task.at(step)])
            losses.append(float(value.detach()) / self.support.size)
            return value

        plateau = self.plateau

        def after(step: int, params: Tensor) -> None:
            if plateau is not None and plateau.should_check(step):
                plateau.update(step, self._objective(params, meta))
            if step:
                steps = self.steps if plateau is None else plateau.end
                shown = self._held_out_loss(params) if step % CHECK_EVERY == 0 or step == steps else {}
                report(Progress(step, losses[-1], shown.get("held_out"), self.name, steps))

        scores: dict[str, Any] = {f"{name}_before": loss for name, loss in self._held_out_loss(meta[None]).items()}
        finished = plateau.finished if plateau is not None else lambda done: False
        kept, _ = solve(nll, meta, self.prior, Adam(), self.learning_rate, self.steps, observe=after, finished=finished)
        deltas, params = self._stored(meta, kept[-1][0])
        scores |= {f"{name}_after": loss for name, loss in self._held_out_loss(params[None]).items()}
        if plateau is not None:
            scores["stopped"] = plateau.reason
        return deltas, len(losses), scores

    def _stored(self, meta: Tensor, moved: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Deltas by name as the voice file holds them, and the parameters `(P,)` that the model has with these."""
        layout = self.problem.adapted
        if isinstance(self.problem.model, LowRankModel):
            strays = by_parameter_name(layout.unflatten(meta + moved))
            deltas = as_stored(strays)
            inside = dict(zip(layout.shapes, strays, strict=True))
            return deltas, layout.flatten({name: deltas[own] for name, own in inside.items()})
        deltas = as_stored(layout.unflatten(moved))
        return deltas, meta + layout.flatten(deltas)

    @torch.no_grad()
    def _objective(self, params: Tensor, meta: Tensor) -> float:
        """What is minimised, of all recordings, without dropout: nats, of parameters `(1, P)`."""
        nll = self.problem.nll(params, torch.zeros(0), [self.support.task.support])
        return float(nll + self.prior.penalty(params - meta))

    @torch.no_grad()
    def _held_out_loss(self, params: Tensor) -> dict[str, float]:
        """Under `held_out`, where a sentence is, of parameters `(1, P)`."""
        if self.held_out is None:
            return {}
        nll = self.problem.nll(params, torch.zeros(0), [self.held_out.task.at(0)])
        return {"held_out": float(nll) / self.held_out.size}


def _speech(
    base: Base, chosen: Partition, support: Sequence[Example], last: Sequence[Example], settings: CloneSettings
) -> _Part:
    """Modules of the acoustic model and the mels of sentences."""
    model, rank = base.acoustic, settings.rank_for(base)
    moving, moves = (model, chosen) if not rank else low_rank(model, chosen, rank)
    problem = Problem(moving, acoustic_nll(model), Layout.of(moving, moves.modules), Layout.of(moving, ()))
    sentences, others = (AcousticTask(base, examples, chosen.names) for examples in (support, last))
    own = _Data(sentences.task(None, settings.frames_per_step, settings.seed), sentences.frames)
    held_out = _Data(Task(others.whole()), others.frames) if last else None
    prior = _prior(base, problem.adapted, settings)
    name, plateau, rate = "acoustic model", None, settings.learning_rate
    if rate is not None or not settings.follows(base):
        steps, rates = FREE_STEPS if settings.steps is None else settings.steps, _held(rate or FREE_RATE)
    elif settings.steps is not None:
        steps, rates = settings.steps, _falling(_in_sigmas(base, prior, settings), settings.steps)
    else:
        plateau = PlateauStop(_in_sigmas(base, prior, settings))
        steps, rates = plateau.most, plateau.rate
    return _Part(name, problem, own, held_out, steps, prior, rates, plateau)


def _in_sigmas(base: Base, prior: ShrinkagePrior, settings: CloneSettings) -> Tensor:
    """The first step size `(P,)` under a learned prior: in each module's σ as it was learned."""
    return SIGMA_RATE * prior.deviation() / settings.prior_scale_for(base) ** 0.5


def _held(rate: StepSize) -> Callable[[int], StepSize]:
    """One step size for all steps."""
    return lambda step: rate


def _falling(longest: StepSize, steps: int) -> Callable[[int], StepSize]:
    """Step sizes from `longest` to nothing."""
    return lambda step: longest * (1 - step / steps)


def _sound(
    vocoder: SourceFilterVocoder,
    chosen: Partition,
    support: Sequence[Example],
    last: Sequence[Example],
    settings: CloneSettings,
) -> _Part:
    """Modules of the vocoder, and the sound of sentences given their mels."""
    model = vocoder.generator
    problem = Problem(model, sound_nll(model), Layout.of(model, own_modules(chosen)), Layout.of(model, ()))

    def data(examples: Sequence[Example], seed: int) -> _Data:
        sound = VocoderTask(model, examples)
        return _Data(sound.task(settings.crops_per_step, seed), sound.samples)

    held_out = data(last, 0) if last else None
    prior, longest, steps = _free(problem.adapted, settings), SOUND_RATE, settings.vocoder_steps
    if model.prior is not None and settings.variance is None:
        prior_scale = settings.prior_scale or model.prior.prior_scale
        prior = _learned(model.prior, problem.adapted, prior_scale)
        longest = SIGMA_RATE * prior.deviation() / prior_scale**0.5
    rates = _falling(settings.vocoder_learning_rate or longest, steps)
    return _Part("vocoder", problem, data(support, settings.seed), held_out, steps, prior, rates)


@own_context(draws=True)
def clone_examples(
    base: Base,
    examples: Sequence[Example],
    settings: CloneSettings | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    consent: str = "",
    vocoder: Vocoder | None = None,
) -> Voice:
    """Adapt the base to aligned sentences of one speaker, and the vocoder where the settings name modules of it.

    All sentences are adapted on, but for those that `settings.hold_out` keeps back. The deltas are as the voice file
    holds them: saving and loading the voice changes no bit. vocoder: None is the default one. Raises UsageError where a
    module pattern matches nothing, no sentence is left to adapt on or the vocoder is not a light one, TtsMetaError
    where it takes other mels than the base gives or the voice diverges.
    """
    settings = settings or CloneSettings()
    check_settings(settings)
    check_consent(consent)
    if settings.adapts_vocoder and vocoder is None:
        vocoder = load_vocoder()
    chosen = chosen_modules(base, settings, vocoder)
    count = len(examples) - settings.hold_out
    if not 0 < count <= len(examples):
        raise UsageError(
            f"{settings.hold_out} of {len(examples)} sentences cannot be held out; hold out 0 to {len(examples) - 1}"
        )
    support, last = examples[:count], examples[count:]
    seconds = sum(len(example.mel) for example in support) * base.config.audio.mel.frame_seconds
    scores: dict[str, Any] = {"sentences": len(support), "seconds": round(seconds, 1)}
    sources = [example.source for example in support if example.source]
    scores |= {"recordings": sources} if sources else {}
    deltas, done = dict[str, Tensor](), 0
    spoken = Partition(tuple(module for module in chosen.modules if not module.name.startswith(VOCODER)))
    heard = Partition(tuple(module for module in chosen.modules if module.name.startswith(VOCODER)))
    if spoken.modules:
        part = _speech(base, spoken, support, last, settings)
        deltas, done, found = part.adapt(report)
        scores |= found
    sound_of = ""
    if heard.modules:
        light = adapting(vocoder, base)
        changed, steps_heard, found = _sound(light, heard, support, last, settings).adapt(report)
        deltas |= {VOCODER + name: delta for name, delta in changed.items()}
        scores |= {"vocoder_steps": steps_heard} | {f"vocoder_{name}": value for name, value in found.items()}
        sound_of = light.generator.hash
    return Voice(deltas, base.hash, chosen.names, done, consent, scores, sound_of)


@own_context(draws=True)
def clone(
    audio: Audio,
    *,
    transcripts: Transcripts = None,
    base: Base | str | Path | None = None,
    vocoder: Vocoder | str | Path | None = None,
    lexicon: Lexicon | str | Path | None = None,
    settings: CloneSettings | None = None,
    consent: str = "",
    transcribe: Callable[[Path], str] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    warn: Callable[[str], None] = warnings.warn,
) -> Voice:
    """Clone a voice from recordings.

    audio: paths, or `{path: text}`. transcripts: a file of transcripts, the texts in the order of `audio`, or `{path:
    text}`; None looks for a `.txt` next to each recording, then calls `transcribe`. base: a base voice or its folder;
    None is the shipped one. vocoder: that which adapts too, where the settings name modules of it; None is the default.
    lexicon: a file of words and how they are said (see `Lexicon`). Raises UsageError for arguments of another kind,
    TtsMetaError naming the recording at fault.
    """
    if settings is not None and not isinstance(settings, CloneSettings):
        raise UsageError(f"settings must be CloneSettings, not {type(settings).__name__}")
    check_settings(settings or CloneSettings())
    check_consent(consent)
    recordings = find_recordings(audio, transcripts, transcribe)
    loaded = (base if isinstance(base, Base) else load_base(base)).with_lexicon(lexicon)
    vocoder = None if vocoder is None else as_vocoder(vocoder, loaded.config.audio.mel)
    examples = align_recordings(recordings, loaded, "new speaker", warn)
    return clone_examples(loaded, examples, settings, report, consent, vocoder)
