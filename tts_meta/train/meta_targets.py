"""What may be meta-trained, the acoustic model or the vocoder: modules, likelihood, and episodes as tasks.

Neither likelihood has a part in the other's (`adapt/vocoder_task.py`), so each is meta-trained by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from tts_meta.adapt import (
    AcousticTask,
    VocoderTask,
    acoustic_nll,
    adaptable_modules,
    adaptable_vocoder_modules,
    vocoder_nll,
)
from tts_meta.adapt.vocoder_task import generator_modules
from tts_meta.audio import FeatureCache, MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.corpus import Episode, Example, Manifest, Utterance
from tts_meta.errors import UsageError
from tts_meta.meta import LearnerSettings, MetaLearner, Task
from tts_meta.meta.presets import find_preset
from tts_meta.models.low_rank import low_rank
from tts_meta.models.partition import Partition
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import save_source_filter
from tts_meta.train.datasets import align_example, load_examples

_WHOLE = 4
"""Steps' worth of crops that stand for all of a speaker's recordings."""


class MetaTarget(Protocol):
    """One of the two models, as a learner and its episodes see it."""

    folder: ClassVar[str]
    """Name of the folder, in that of the run, that it is written to."""

    @property
    def base(self) -> Base:
        """The base, whose features recordings have."""
        ...

    def learner(self, name: str, settings: LearnerSettings, meta_steps: int) -> MetaLearner:
        """The learner at the start. Raises UsageError naming a module or role that is wrong."""
        ...

    def task(self, episode: Episode[Utterance], changing: Sequence[str], seed: int) -> Task | None:
        """The episode as a task; None where no recording of it can be used. changing: modules that are meta-learned."""
        ...

    def write(
        self, params: Mapping[str, Tensor], prior: ModulePrior | None, state: Mapping[str, Any], folder: Path
    ) -> None:
        """Write the model with these parameters, its prior if it has one, and what is to be told of it."""
        ...


@dataclass(frozen=True)
class AcousticTarget:
    """The acoustic model, and the mels and durations of sentences given their texts.

    rank: that matrices stray in, 0 for whole. roles: patterns of what learners call the head and the context.
    """

    base: Base
    cache: FeatureCache
    modules: Sequence[str]
    roles: Mapping[str, Sequence[str]]
    rank: int
    frames_per_step: int
    folder: ClassVar[str] = "base"

    def learner(self, name: str, settings: LearnerSettings, meta_steps: int) -> MetaLearner:
        whole, model = adaptable_modules(self.base), self.base.acoustic
        partition = whole.select(self.modules)
        roles = _roles(name, whole, partition, self.roles)
        if self.rank:
            if settings.outer_lr:
                raise UsageError("with a rank the base stays as it is; set settings.outer_lr to 0")
            model, partition = low_rank(self.base.acoustic, partition, self.rank)
        nll = acoustic_nll(self.base.acoustic)
        return MetaLearner(name, model, nll, partition.modules, settings, roles=roles, meta_steps=meta_steps)

    def task(self, episode: Episode[Utterance], changing: Sequence[str], seed: int) -> Task | None:
        support, query = self.examples(episode.support), self.examples(episode.query)
        if not (support and query):  # no recording of one of them says its transcript
            return None
        scored = AcousticTask(self.base, query, changing).all_sentences()
        own = AcousticTask(self.base, support, changing)
        return own.task(scored, self.frames_per_step, seed, episode.speaker)

    def examples(self, utterances: Sequence[Utterance]) -> list[Example]:
        """Aligned examples of those utterances that match their transcripts."""
        loaded = load_examples(Manifest(tuple(utterances)), self.base, self.cache)
        aligned = [align_example(example, self.base) for example in loaded]
        return [example for example in aligned if isinstance(example, Example)]

    def write(
        self, params: Mapping[str, Tensor], prior: ModulePrior | None, state: Mapping[str, Any], folder: Path
    ) -> None:
        if not self.rank:
            _set(self.base.acoustic, params)
        self.base.prior = prior
        self.base.state |= state
        save_base(self.base, folder)


@dataclass(frozen=True)
class VocoderTarget:
    """The light vocoder, and the sound of recordings given their mels, in crops."""

    base: Base
    vocoder: SourceFilterVocoder
    modules: Sequence[str]
    crops_per_step: int
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folder: ClassVar[str] = "vocoder"

    def learner(self, name: str, settings: LearnerSettings, meta_steps: int) -> MetaLearner:
        whole, model = adaptable_vocoder_modules(self.vocoder), self.vocoder.generator
        chosen = whole.select(self.modules)
        roles, nll = _roles(name, whole, chosen, self.roles), vocoder_nll(model)
        return MetaLearner(name, model, nll, generator_modules(chosen), settings, roles=roles, meta_steps=meta_steps)

    def task(self, episode: Episode[Utterance], changing: Sequence[str], seed: int) -> Task | None:
        support, query = (
            VocoderTask(self.vocoder.generator, self.examples(own)) for own in (episode.support, episode.query)
        )
        whole, scored = (sound.sample(_WHOLE * self.crops_per_step, seed) for sound in (support, query))
        return replace(support.task(self.crops_per_step, seed), support=whole, query=scored, name=episode.speaker)

    def examples(self, utterances: Sequence[Utterance]) -> list[Example]:
        """Mels and samples of the recordings, without symbols."""
        config = self.base.config.audio
        mel_spec, nothing, found = MelSpec(config.mel), torch.zeros(0, dtype=torch.int64), []
        for one in utterances:
            samples, mel = load_waveform_and_mel(one.audio, config, mel_spec)
            sound = torch.from_numpy(samples[: len(mel) * config.mel.hop])
            found.append(Example(one.id, one.speaker, nothing, nothing, mel, sound))
        return found

    def write(
        self, params: Mapping[str, Tensor], prior: ModulePrior | None, state: Mapping[str, Any], folder: Path
    ) -> None:
        _set(self.vocoder.generator, params)
        self.vocoder.generator.prior = prior
        self.vocoder.generator.state |= state
        save_source_filter(self.vocoder.generator, folder, self.vocoder.generator.state)


def _roles(
    learner: str, whole: Partition, chosen: Partition, patterns: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Names of the chosen modules of the role that a learner adapts; nothing for one that adapts them all.

    Raises UsageError for a pattern that matches no module of the model, and where none of the role's was chosen.
    """
    role = find_preset(learner).adapts
    if role == "all":
        return {}
    if not patterns.get(role):
        raise UsageError(f"learner '{learner}' adapts the {role}; name its modules under roles: {role}: [...]")
    named = whole.select(patterns[role]).names
    own = tuple(name for name in chosen.names if name in named)
    if not own:
        raise UsageError(
            f"learner '{learner}' adapts the {role}, which is {', '.join(named)}: none is among the modules chosen; "
            f"add one to modules, or name others under roles"
        )
    return {role: own}


@torch.no_grad()
def _set(model: nn.Module, params: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in params:  # a step of nothing makes 0 of -0, and another file of the same weights
            parameter.copy_(torch.where(parameter == params[name], parameter, params[name]))
