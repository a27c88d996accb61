"""`MetaTarget`: the model that is meta-trained, either the acoustic model or the vocoder, and its tasks.

The likelihood of one model does not depend on the other (`adapt/vocoder_task.py`), so each has its own meta-training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from tts_meta.adapt import AcousticTask, VocoderTask, adaptable_modules, adaptable_vocoder_modules
from tts_meta.adapt.acoustic_domain import acoustic_domain
from tts_meta.adapt.acoustic_task import Precision, with_history_mixing
from tts_meta.adapt.speech_objective import QueryObjective, query_loss
from tts_meta.adapt.vocoder_domain import vocoder_domain
from tts_meta.audio import FeatureCache, MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.corpus import Episode, Example, Manifest, Utterance
from tts_meta.errors import UsageError
from tts_meta.meta import Domain, Task, find_learner
from tts_meta.models.alignment_cache import AlignmentCache
from tts_meta.models.learner_format import Model
from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity, Partition
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import save_source_filter
from tts_meta.train.datasets import align_example, load_examples

_SCORED_STEPS = 4
"""The support and query sets of a vocoder task have the crops of this many inner steps."""


class MetaTarget(Protocol):
    """One of the two models: its domain, its tasks and its files."""

    folder: ClassVar[str]
    """Name of the result's folder in the folder of the run."""
    model: ClassVar[Model]
    """The model that is meta-trained."""

    @property
    def base(self) -> Base:
        """The base whose audio settings define the features of recordings."""
        ...

    def domain(self, learner: str) -> Domain:
        """Return the domain for a learner of this name. Raises UsageError that names a wrong module or role."""
        ...

    def task(self, episode: Episode[Utterance], changing: Sequence[str], seed: int) -> Task | None:
        """Return the episode as a task, or None if it has no usable recording. changing: the meta-learned modules."""
        ...

    @property
    def state(self) -> Mapping[str, Any]:
        """How the model was trained before, as in its `state.json`."""
        ...

    def write(
        self, params: Mapping[str, Tensor], learner: SavedLearner, state: Mapping[str, Any], folder: Path
    ) -> None:
        """Write the model with these parameters, the learner, and the facts of `state`."""
        ...


@dataclass(frozen=True)
class AcousticTarget:
    """The acoustic model; its tasks are the mels and durations of sentences, given their texts.

    rank: rank of the changes of matrices, 0 for full rank. roles: patterns of the modules of the head and the context.
    precision: that of the inner steps. granularity: size of the modules. query_objective: the query loss.
    history_mixing: probability of history mixing in the inner steps, the support and the query.
    """

    base: Base
    cache: FeatureCache
    modules: Sequence[str]
    roles: Mapping[str, Sequence[str]]
    rank: int
    frames_per_step: int
    precision: Precision = "float32"
    granularity: Granularity = DEFAULT_GRANULARITY
    query_objective: QueryObjective = field(default_factory=QueryObjective)
    history_mixing: float = 0.0
    folder: ClassVar[str] = "base"
    model: ClassVar[Model] = "acoustic"

    def domain(self, learner: str) -> Domain:
        all_modules = adaptable_modules(self.base, self.granularity)
        partition = all_modules.select(self.modules)
        roles = _roles(learner, all_modules, partition, self.roles)
        if not (self.query_objective.is_likelihood or find_learner(learner).uses_query_loss):
            raise UsageError(
                f"learner '{learner}' cannot use query_objective; remove it from the recipe, or choose a learner with "
                "implicit gradients, such as sigma-imaml"
            )
        domain = acoustic_domain(self.base, partition, self.rank, roles)
        return replace(domain, query_loss=query_loss(self.base, self.query_objective))

    def task(self, episode: Episode[Utterance], changing: Sequence[str], seed: int) -> Task | None:
        support, query = self.examples(episode.support), self.examples(episode.query)
        if not (support and query):  # no recording of one of the sets matches its transcript
            return None
        mixing = self.history_mixing
        scored = with_history_mixing(AcousticTask(self.base, query, changing).all_sentences(), mixing)
        adapted = AcousticTask(self.base, support, changing)
        task = adapted.task(scored, self.frames_per_step, seed, episode.task_name, self.precision, mixing)
        return replace(task, support=with_history_mixing(task.support, mixing))

    @cached_property
    def alignments(self) -> AlignmentCache:
        """The alignments on disk, in the folder of the cached features."""
        return AlignmentCache(self.cache.folder / "alignments", self.base)

    def examples(self, utterances: Sequence[Utterance]) -> list[Example]:
        """Aligned examples of the utterances that match their transcripts."""
        loaded = load_examples(Manifest(tuple(utterances)), self.base, self.cache)
        aligned = [align_example(example, self.base, self.alignments) for example in loaded]
        return [example for example in aligned if isinstance(example, Example)]

    @property
    def state(self) -> Mapping[str, Any]:
        return self.base.state

    def write(
        self, params: Mapping[str, Tensor], learner: SavedLearner, state: Mapping[str, Any], folder: Path
    ) -> None:
        if not self.rank:
            _set(self.base.acoustic, params)
        self.base.learner = learner
        self.base.state |= state
        save_base(self.base, folder)


@dataclass(frozen=True)
class VocoderTarget:
    """The light vocoder; its tasks are the waveforms of random crops, given their mels."""

    base: Base
    vocoder: SourceFilterVocoder
    modules: Sequence[str]
    crops_per_step: int
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folder: ClassVar[str] = "vocoder"
    model: ClassVar[Model] = "vocoder"

    def domain(self, learner: str) -> Domain:
        all_modules = adaptable_vocoder_modules(self.vocoder)
        chosen = all_modules.select(self.modules)
        return vocoder_domain(self.vocoder, chosen, _roles(learner, all_modules, chosen, self.roles))

    def task(self, episode: Episode[Utterance], changing: Sequence[str], seed: int) -> Task | None:
        support, query = (
            VocoderTask(self.vocoder.generator, self.examples(utterances))
            for utterances in (episode.support, episode.query)
        )
        crops = _SCORED_STEPS * self.crops_per_step
        support_set, query_set = (recordings.sample(crops, seed) for recordings in (support, query))
        return replace(
            support.task(self.crops_per_step, seed),
            support=support_set,
            query=query_set,
            name=episode.task_name,
        )

    def examples(self, utterances: Sequence[Utterance]) -> list[Example]:
        """Mels and samples of the recordings, without symbols."""
        config = self.base.config.audio
        mel_spec, no_symbols, examples = MelSpec(config.mel), torch.zeros(0, dtype=torch.int64), []
        for utterance in utterances:
            samples, mel = load_waveform_and_mel(utterance.source, config, mel_spec)
            waveform = torch.from_numpy(samples[: len(mel) * config.mel.hop])
            examples.append(Example(utterance.id, utterance.speaker, no_symbols, no_symbols, mel, waveform))
        return examples

    @property
    def state(self) -> Mapping[str, Any]:
        return self.vocoder.generator.state

    def write(
        self, params: Mapping[str, Tensor], learner: SavedLearner, state: Mapping[str, Any], folder: Path
    ) -> None:
        _set(self.vocoder.generator, params)
        self.vocoder.generator.learner = learner
        self.vocoder.generator.state |= state
        save_source_filter(self.vocoder.generator, folder, self.vocoder.generator.state)


def _roles(
    learner: str, all_modules: Partition, chosen: Partition, patterns: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the chosen modules of the role that a learner adapts; empty for a learner that adapts all modules.

    Raises UsageError for a pattern that matches no module of the model, and if no module of the role was chosen.
    """
    role = find_learner(learner).adapts
    if role in ("all", "none"):
        return {}
    if not patterns.get(role):
        raise UsageError(f"learner '{learner}' adapts the {role}; name its modules under roles: {role}: [...]")
    named = all_modules.select(patterns[role]).names
    role_modules = tuple(name for name in chosen.names if name in named)
    if not role_modules:
        raise UsageError(
            f"learner '{learner}' adapts the {role}, which is {', '.join(named)}; none of them is in modules; "
            f"add one to modules, or name other modules under roles"
        )
    return {role: role_modules}


@torch.no_grad()
def _set(model: nn.Module, params: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in params:  # a step of 0 changes -0 to 0, and so the file's hash
            parameter.copy_(torch.where(parameter == params[name], parameter, params[name]))
