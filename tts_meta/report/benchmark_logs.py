"""Writes audio, mels and texts of a benchmark to its TensorBoard log."""

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
from tts_meta.evaluate.voice import COPY, REAL, TRAINING, Spoken
from tts_meta.report.log import AUDIO, MEL, TEXT, Log
from tts_meta.report.run_info import markdown_table

MeanVoice = Callable[[str], tuple[Waveform, int]]
"""Function that speaks a text in the mean voice of the base and returns samples `(S,)` and their rate in Hz."""

_NAMES = {REAL: "1_real", COPY: "2_copy_synthesis", MEAN: "3_base", TRAINING: "3_training_speaker", CLONE: "4_clone"}
"""Names of systems in the log. Sorted by name, the systems have the order of listening."""
_SPEAKERS, _SENTENCES = 8, 2
"""Number of speakers in the log, and number of sentences of each speaker. The listening page has all speakers."""


@dataclass(frozen=True, eq=False)
class LoggedSound:
    """A sentence of a speaker by one system.

    number: number of the sentence, from 1. samples: `(S,)` at `rate` Hz. step: inner steps of the voice.
    """

    speaker: str
    number: int
    text: str
    system: str
    samples: Waveform
    rate: int
    step: int = 0


def cloning_sounds(spoken: Sequence[Spoken]) -> Iterator[LoggedSound]:
    """Yield the first sentences of the first speakers by every system."""
    for speaker in _first_speakers(spoken):
        clips = [clip for clip in spoken if clip.utterance.speaker == speaker]
        sentences = list(dict.fromkeys(clip.utterance.id for clip in clips))
        for number, identifier in enumerate(sentences[:_SENTENCES], 1):
            for clip in (clip for clip in clips if clip.utterance.id == identifier):
                name = _name(clip.system)
                yield LoggedSound(speaker, number, clip.utterance.text, name, clip.samples, clip.rate)


def few_shot_sounds(results: FewShotResults, mean_voice: MeanVoice | None, rate: int) -> Iterator[LoggedSound]:
    """Yield the first sentence of the first speakers by every system.

    The systems are the recording, its copy-synthesis, the base, and each method from the most sentences. The audio
    of a method, at `rate` Hz, has one name and is ordered by inner steps. A voice whose loop stopped automatically
    has its own name.
    """
    for speaker in list(results.voices)[:_SPEAKERS]:
        clips = [clip for clip in results.spoken if clip.voice == speaker]
        first = results.scored[speaker][0]
        for clip in (clip for clip in clips if clip.utterance.id == first.id):
            yield LoggedSound(speaker, 1, first.text, _name(clip.system), clip.samples, clip.rate)
        if mean_voice is not None:
            yield LoggedSound(speaker, 1, first.text, _NAMES[MEAN], *mean_voice(first.text))
        for trial in _trials_with_audio(results.trials, speaker):
            name = f"4_{trial.learner}" + ("_auto_stop" if trial.steps is None else "")
            samples = read_audio(trial.audio_file(0), rate)
            yield LoggedSound(speaker, 1, first.text, name, samples, rate, trial.steps_done)


def log_sounds(log: Log, sounds: Iterator[LoggedSound], config: MelConfig) -> None:
    """Log the audio, its mels, and a table of the texts."""
    mel_spec, texts = MelSpec(config), dict[str, str]()
    for sound in sounds:
        sentence = f"{sound.speaker}/sentence_{sound.number}"
        texts[sentence] = sound.text
        log.audio(f"{AUDIO}/{sentence}/{sound.system}", sound.samples, sound.rate, sound.step, sound.text)
        samples = to_mono(sound.samples[:, None], sound.rate, config.sample_rate)
        with torch.inference_mode():
            mel = mel_spec(torch.from_numpy(samples)[None])[0]
        log.mel(f"{MEL}/{sentence}/{sound.system}", mel, sound.step, sound.text)
    log.text(f"{TEXT}/sentences", markdown_table(("Sound", "Text"), list(texts.items())), 0)


def _trials_with_audio(trials: Sequence[Trial], speaker: str) -> list[Trial]:
    """Return the trials of a speaker that have audio, by steps; only those from the most sentences of each method."""
    speaker_trials = [trial for trial in trials if trial.speaker == speaker and trial.has_audio]
    most: dict[str, int] = {}
    for trial in speaker_trials:
        most[trial.learner] = max(trial.sentences, most.get(trial.learner, 0))
    return sorted(
        (trial for trial in speaker_trials if trial.sentences == most[trial.learner]),
        key=lambda trial: trial.steps_order,
    )


def _name(system: str) -> str:
    return _NAMES.get(system, f"5_{system.replace(' ', '_')}")


def _first_speakers(spoken: Sequence[Spoken]) -> list[str]:
    """Return the first speakers of each system.

    The systems may have different speakers: training speakers speak sentences that others read.
    """
    speakers: dict[str, list[str]] = {}
    for clip in spoken:
        speakers.setdefault(clip.system, []).append(clip.utterance.speaker)
    first = (name for names in speakers.values() for name in list(dict.fromkeys(names))[:_SPEAKERS])
    return list(dict.fromkeys(first))
