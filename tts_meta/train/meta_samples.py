"""Voices in the log of meta-training: two speakers are cloned at fixed meta-steps, and speak fixed sentences."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tts_meta.audio import MelSpec
from tts_meta.audio.features import load_waveform_and_mel
from tts_meta.corpus import EpisodeSampler, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.meta import Budget, MetaLearner, Params, Task
from tts_meta.models.low_rank import LowRankModel
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.report.log import AUDIO, MEL, TEXT, Log
from tts_meta.report.run_info import markdown_table
from tts_meta.synth import speak_text
from tts_meta.train.meta_targets import MetaTarget, VocoderTarget

AnyModel = TypeVar("AnyModel", bound=nn.Module)

_MAX_SAMPLES = 10
"""Approximate number of meta-steps with audio: as many as TensorBoard shows of a tag."""
_SPEAKERS = 2
"""Number of speakers that are cloned."""


@dataclass(frozen=True)
class _SampleSpeaker:
    """A speaker, one of its recordings `(S,)` with the log-mel `(T, M)`, and a task of other sentences.

    The query of the task is the recording.
    """

    utterance: Utterance
    task: Task
    real: npt.NDArray[np.float32]
    real_mel: Tensor

    @property
    def name(self) -> str:
        """Name of the speaker in tags."""
        return f"speaker_{self.utterance.speaker}"


class MetaSamples:
    """Speakers, sentences of theirs to which the learner adapts, and texts that their voices speak."""

    def __init__(self, target: MetaTarget, speakers: Sequence[_SampleSpeaker], sentences: Sequence[str]) -> None:
        self.target, self.speakers, self.sentences = target, speakers, sentences
        mel = target.base.config.audio.mel
        self.mel_spec = MelSpec(mel)
        device = target.base.device
        self.vocoder = target.vocoder if isinstance(target, VocoderTarget) else load_vocoder(device=device, mel=mel)

    @classmethod
    def of(
        cls,
        target: MetaTarget,
        learner: MetaLearner,
        held_out: Sequence[Utterance],
        training: Sequence[Utterance],
        support: int,
        sentences: Sequence[str],
    ) -> MetaSamples | None:
        """Choose two held-out speakers with enough sentences, or training speakers if no held-out one has enough.

        Returns None if no sentence of these speakers can be used.
        """
        for utterances in (held_out, training):
            counts = Counter(utterance.speaker for utterance in utterances)
            if max(counts.values(), default=0) > support:
                eligible = sum(count > support for count in counts.values())
                sampler = EpisodeSampler(utterances, support, 1, 0)
                speakers = [_load(target, learner, sampler, number) for number in range(min(_SPEAKERS, eligible))]
                usable = [speaker for speaker in speakers if speaker is not None]
                return cls(target, usable, sentences) if usable else None
        return None

    @staticmethod
    def due(step: int, steps: int) -> bool:
        """Whether audio is logged after meta-step `step` of `steps`."""
        return step == steps or step % max(1, -(-steps // _MAX_SAMPLES)) == 0

    def log(self, log: Log, learner: MetaLearner, step: int) -> None:
        """Clone each speaker, and log the query loss and the audio before and after adaptation, with the recording.

        Adaptation has the inner steps of meta-training. A failure, for example if the learner diverges, is logged.
        """
        texts = [(speaker.name, speaker.utterance.text) for speaker in self.speakers]
        texts += [(f"sentence_{number}", text) for number, text in enumerate(self.sentences, start=1)]
        log.text(f"{TEXT}/sentences", markdown_table(("Audio", "Text"), texts), step)
        with torch.random.fork_rng(devices=[]):
            for speaker in self.speakers:
                self._log_audio(log, f"{speaker.name}/recording/1_real", speaker.real, step, speaker.utterance.text)
                try:
                    self._log_speaker(log, learner, speaker, step)
                except TtsMetaError as error:
                    log.text(f"{TEXT}/failed/{speaker.name}", str(error), step)

    def _log_speaker(self, log: Log, learner: MetaLearner, speaker: _SampleSpeaker, step: int) -> None:
        start, before = learner.start(), learner.model_parameters()
        self._log_loss(log, learner, speaker, "before", start, step)
        self._log_voice(log, learner, speaker, "2_before_adaptation", before, step)
        budget = Budget(max(1, getattr(learner.settings, "inner_steps", 1)))
        adapted = learner.adapt([speaker.task], budget)
        self._log_loss(log, learner, speaker, "after", adapted.params, step)
        self._log_voice(log, learner, speaker, "3_after_adaptation", before | adapted.task(0), step)

    def _log_loss(
        self, log: Log, learner: MetaLearner, speaker: _SampleSpeaker, when: str, params: Params, step: int
    ) -> None:
        loss = float(learner.score(params, [speaker.task.query])[0])
        log.scalar(f"{speaker.name}/query_{when}", loss, step)

    def _log_voice(
        self, log: Log, learner: MetaLearner, speaker: _SampleSpeaker, part: str, params: Params, step: int
    ) -> None:
        """Log the text of the recording and the fixed sentences in the voice of these parameters."""
        if isinstance(self.target, VocoderTarget):
            vocoder = SourceFilterVocoder(_with(self.target.vocoder.generator, params), self.target.vocoder.name)
            samples = vocoder(speaker.real_mel[None])[0].cpu().numpy()
            self._log_audio(log, f"{speaker.name}/recording/{part}", samples, step, speaker.utterance.text)
            return
        if isinstance(learner.domain.model, LowRankModel):
            deltas = learner.domain.model.expand(params)
            weights = dict(self.target.base.acoustic.named_parameters())
            params = {name: weights[name].detach() + delta for name, delta in deltas.items()}
        model = _with(self.target.base.acoustic, params)
        texts = {"recording": speaker.utterance.text}
        texts |= {f"sentence_{number}": text for number, text in enumerate(self.sentences, start=1)}
        for name, text in texts.items():
            speech = speak_text(self.target.base, model, self.vocoder, text)
            self._log_audio(log, f"{speaker.name}/{name}/{part}", speech.samples, step, text)

    def _log_audio(self, log: Log, name: str, samples: npt.NDArray[np.float32], step: int, text: str) -> None:
        """Log audio and its mel under the same name."""
        log.audio(f"{AUDIO}/{name}", samples, self.target.base.config.audio.mel.sample_rate, step, text)
        with torch.inference_mode():
            log.mel(f"{MEL}/{name}", self.mel_spec(torch.as_tensor(samples)[None])[0], step, text)


def _load(
    target: MetaTarget, learner: MetaLearner, sampler: EpisodeSampler[Utterance], number: int
) -> _SampleSpeaker | None:
    """Return the speaker of an episode; None if its recordings cannot be used."""
    episode = sampler.episode(number)
    task = target.task(episode, learner.changing_modules, 0)
    if task is None:
        return None
    config, utterance = target.base.config.audio, episode.query[0]
    return _SampleSpeaker(utterance, task, *load_waveform_and_mel(utterance.source, config, MelSpec(config.mel)))


@torch.no_grad()
def _with(model: AnyModel, params: Mapping[str, Tensor]) -> AnyModel:
    """Return a copy of the model with these parameters."""
    changed = copy.deepcopy(model)
    for name, parameter in changed.named_parameters():
        if name in params:
            parameter.copy_(params[name])
    return changed.eval()
