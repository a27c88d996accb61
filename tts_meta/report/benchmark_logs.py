"""What a benchmark leaves for TensorBoard: scores, the tables, and sentences side by side to listen to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from tts_meta.audio import MelSpec, read_audio
from tts_meta.audio.io import Waveform, to_mono
from tts_meta.audio.mel import MelConfig
from tts_meta.evaluate.cloning import CLONE, MEAN
from tts_meta.evaluate.few_shot.benchmark import FewShotResults
from tts_meta.evaluate.few_shot.trials import Trial
from tts_meta.evaluate.voice import COPY, OWN, REAL, Spoken
from tts_meta.report.log import AUDIO, MEL, TEXT, Log
from tts_meta.report.run_info import markdown_table

MeanVoice = Callable[[str], tuple[Waveform, int]]
"""Speaks a text in the base's mean voice: samples `(S,)` and their rate."""

_NAMES = {REAL: "1_real", COPY: "2_copy_synthesis", MEAN: "3_base", OWN: "3_own_voice", CLONE: "4_clone"}
"""What systems are called in the log, in the order of their sounds."""
_SPEAKERS, _SENTENCES = 8, 2
"""Speakers, and sentences of each, that are logged; the listening page has all speakers."""


@dataclass(frozen=True, eq=False)
class LoggedSound:
    """A sentence, numbered from 1, of a speaker as one system says it; `step`: inner steps of the voice."""

    speaker: str
    number: int
    text: str
    system: str
    samples: Waveform
    rate: int
    step: int = 0


def cloning_sounds(spoken: Sequence[Spoken]) -> Iterator[LoggedSound]:
    """The first sentences of the first speakers, as every system says them."""
    for speaker in _spoken_by(spoken):
        mine = [one for one in spoken if one.utterance.speaker == speaker]
        for number, identifier in enumerate(list(dict.fromkeys(one.utterance.id for one in mine))[:_SENTENCES], 1):
            for one in (one for one in mine if one.utterance.id == identifier):
                name = _name(one.system)
                yield LoggedSound(speaker, number, one.utterance.text, name, one.samples, one.rate)


def few_shot_sounds(results: FewShotResults, mean_voice: MeanVoice | None, rate: int) -> Iterator[LoggedSound]:
    """The first sentence of the first speakers: recording, copy, base, and each learner from the most sentences.

    A learner's sounds, at `rate` Hz, are ordered by inner steps under one name; a voice whose loop stopped by itself
    has its own.
    """
    for speaker in list(results.voices)[:_SPEAKERS]:
        of_copies = [one for one in results.spoken if one.utterance.speaker == speaker]
        first = of_copies[0].utterance
        for one in (one for one in of_copies if one.utterance.id == first.id):
            yield LoggedSound(speaker, 1, first.text, _name(one.system), one.samples, one.rate)
        if mean_voice is not None:
            yield LoggedSound(speaker, 1, first.text, _NAMES[MEAN], *mean_voice(first.text))
        for trial in _cells(results.trials, speaker):
            name = f"4_{trial.learner}" + ("_auto_stop" if trial.steps is None else "")
            yield LoggedSound(speaker, 1, first.text, name, read_audio(trial.sound(0), rate), rate, trial.steps_done)


def log_sounds(log: Log, sounds: Iterator[LoggedSound], config: MelConfig) -> None:
    """Log sounds, their mels, and a table of the texts."""
    mel_spec, texts = MelSpec(config), dict[str, str]()
    for one in sounds:
        sentence = f"{one.speaker}/sentence_{one.number}"
        texts[sentence] = one.text
        log.audio(f"{AUDIO}/{sentence}/{one.system}", one.samples, one.rate, one.step, one.text)
        samples = to_mono(one.samples[:, None], one.rate, config.sample_rate)
        with torch.inference_mode():
            mel = mel_spec(torch.from_numpy(samples)[None])[0]
        log.mel(f"{MEL}/{sentence}/{one.system}", mel, one.step, one.text)
    log.text(f"{TEXT}/sentences", markdown_table(("Sound", "Text"), list(texts.items())), 0)


def _cells(trials: Sequence[Trial], speaker: str) -> list[Trial]:
    """The cells of a speaker from the most sentences of each learner that can be listened to, by steps."""
    here = [trial for trial in trials if trial.speaker == speaker and trial.here]
    most: dict[str, int] = {}
    for trial in here:
        most[trial.learner] = max(trial.sentences, most.get(trial.learner, 0))
    return sorted((trial for trial in here if trial.sentences == most[trial.learner]), key=lambda trial: trial.place)


def _name(system: str) -> str:
    return _NAMES.get(system, f"5_{system.replace(' ', '_')}")


def _spoken_by(spoken: Sequence[Spoken]) -> list[str]:
    """The first speakers of each system: a base's own voices are others than the readers of their sentences."""
    found: dict[str, list[str]] = {}
    for one in spoken:
        found.setdefault(one.system, []).append(one.utterance.speaker)
    first = (name for speakers in found.values() for name in list(dict.fromkeys(speakers))[:_SPEAKERS])
    return list(dict.fromkeys(first))
