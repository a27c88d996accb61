"""Audio in the log of meta-training: one sentence as recorded, before adaptation and after adaptation."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.corpus import Episode, EpisodeSampler, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.meta import MetaLearner, Task
from tts_meta.models.low_rank import LowRankModel
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.log import AUDIO, MEL, TEXT, Log
from tts_meta.synth import speak_text
from tts_meta.train.meta_targets import MetaTarget, VocoderTarget

AnyModel = TypeVar("AnyModel", bound=nn.Module)

_MAX_SAMPLES = 10
"""Approximate number of meta-steps with audio: as many as TensorBoard shows of a tag."""


class MetaSamples:
    """One sentence of a speaker, and sentences of the same speaker to which the learner adapts."""

    def __init__(self, target: MetaTarget, episode: Episode[Utterance], task: Task) -> None:
        self.target, self.utterance, self.task = target, episode.query[0], task
        config = target.base.config.audio
        self.real, self.real_mel = load_waveform_and_mel(self.utterance.audio, config, MelSpec(config.mel))
        self.vocoder = (
            target.vocoder
            if isinstance(target, VocoderTarget)
            else load_vocoder(device=target.base.device, mel=config.mel)
        )

    @classmethod
    def of(
        cls,
        target: MetaTarget,
        learner: MetaLearner,
        held_out: Sequence[Utterance],
        training: Sequence[Utterance],
        support: int,
    ) -> MetaSamples | None:
        """Choose a held-out speaker if one has enough sentences, else a training speaker.

        Returns None if no sentence of that speaker can be used.
        """
        for utterances in (held_out, training):
            if max(Counter(utterance.speaker for utterance in utterances).values(), default=0) > support:
                episode = EpisodeSampler(utterances, support, 1, 0).episode(0)
                changing = (*learner.domain.adapted.modules, *learner.domain.shared.modules)
                task = target.task(episode, changing, 0)
                return None if task is None else cls(target, episode, task)
        return None

    @staticmethod
    def due(step: int, steps: int) -> bool:
        """Whether audio is logged after meta-step `step` of `steps`."""
        return step == steps or step % max(1, -(-steps // _MAX_SAMPLES)) == 0

    def log(self, log: Log, learner: MetaLearner, step: int) -> None:
        """Log the recording and the same sentence before adaptation and after the inner steps of meta-training."""
        rate, name = self.target.base.config.audio.mel.sample_rate, f"speaker_{self.utterance.speaker}"
        log.text(f"{TEXT}/sentence", self.utterance.text, step)
        log.audio(f"{AUDIO}/{name}/1_real", self.real, rate, step, self.utterance.text)
        log.mel(f"{MEL}/{name}/1_real", self.real_mel, step, self.utterance.text)
        with torch.random.fork_rng(devices=[]):
            for part, (samples, part_rate) in self._synthesise(log, learner, step):
                log.audio(f"{AUDIO}/{name}/{part}", samples, part_rate, step, self.utterance.text)
                with torch.inference_mode():
                    mel = MelSpec(self.target.base.config.audio.mel)(samples[None])[0]
                log.mel(f"{MEL}/{name}/{part}", mel, step, self.utterance.text)

    def _synthesise(self, log: Log, learner: MetaLearner, step: int) -> Iterator[tuple[str, tuple[Tensor, int]]]:
        """Yield samples and rate by name; a failure, for example if the learner diverges, is logged as text."""
        before = learner.meta_params()
        try:
            yield "2_before_adaptation", self._speak(learner, before)
            adapted = learner.adapt(self.task, learner.settings.inner_steps)
            yield "3_after_adaptation", self._speak(learner, before | adapted.params)
        except TtsMetaError as error:
            log.text(f"{TEXT}/failed", str(error), step)

    def _speak(self, learner: MetaLearner, params: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        """Synthesise the sentence, or for a vocoder its mel, with these parameters of the meta-learned model."""
        if isinstance(self.target, VocoderTarget):
            vocoder = SourceFilterVocoder(_with(self.target.vocoder.generator, params), self.target.vocoder.name)
            return vocoder(self.real_mel[None])[0].cpu(), vocoder.sample_rate
        if isinstance(learner.domain.model, LowRankModel):
            deltas = learner.domain.model.expand(params)
            weights = dict(self.target.base.acoustic.named_parameters())
            params = {name: weights[name].detach() + delta for name, delta in deltas.items()}
        model = _with(self.target.base.acoustic, params)
        speech = speak_text(self.target.base, model, self.vocoder, self.utterance.text)
        return torch.from_numpy(speech.samples), speech.rate


@torch.no_grad()
def _with(model: AnyModel, params: Mapping[str, Tensor]) -> AnyModel:
    """A copy of the model with these parameters."""
    changed = copy.deepcopy(model)
    for name, parameter in changed.named_parameters():
        if name in params:
            parameter.copy_(params[name])
    return changed.eval()
