"""`Trial`: one voice of the few-shot benchmark with its costs and scores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tts_meta.evaluate.scores import Scores

VOICE_FILE = "voice.safetensors"
TRIAL_FILE = "trial.json"
"""File in the folder of a trial. This file is written last."""
Source = Literal["this run", "cache", "cached_results"]
"""Whether a trial was computed in this run, read from the cache folder, or read from the file `cached_results`."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One voice of the benchmark with its costs and scores.

    steps: requested steps; None if the loop stopped automatically. steps_done: steps that the loop took. folder:
    folder of the audio; it exists only on a machine that has the audio. parameters: number of parameters that the
    voice changes. bytes: size of the voice file. cpu_seconds: processor time of all threads during adaptation.
    scores: scores of each scored sentence, with NLL per frame. embeddings: embedding of each spoken sentence by
    `SpeakerEncoder`, `(U, 256)`. ecapa_embeddings: the same by `EcapaEncoder`, `(U, E)`; empty without its metric.
    """

    learner: str
    speaker: str
    sentences: int
    steps: int | None
    steps_done: int
    folder: Path
    parameters: int
    bytes: int
    cpu_seconds: float
    scores: tuple[Scores, ...]
    embeddings: npt.NDArray[np.float32]
    source: Source = "cached_results"
    ecapa_embeddings: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def system(self) -> str:
        """The system name of its scores, such as `clone, 10 sentences, 100 steps`."""
        return system_name(self.learner, self.sentences, self.steps)

    @property
    def steps_label(self) -> str:
        """The number of steps as text, or `stopped automatically`."""
        return steps_label(self.steps)

    @property
    def steps_order(self) -> tuple[bool, int]:
        """The sort key of the trials of one method: by steps, with automatic stops last."""
        return self.steps is None, self.steps or 0

    @property
    def key(self) -> str:
        """The hash of the voice and the hash of its scoring, separated by a slash."""
        return key_of_folder(self.folder)

    @property
    def has_audio(self) -> bool:
        """Whether this machine has the voice file and the audio, and not only the scores."""
        return (self.folder / TRIAL_FILE).exists()

    @property
    def voice_file(self) -> Path:
        """The path of the voice file."""
        return self.folder.parent / VOICE_FILE

    def audio_file(self, index: int) -> Path:
        """Return the path of the audio file of the scored sentence `index`."""
        return self.folder / f"{index}.flac"

    def renamed(self, learner: str, sentences: int, steps: int | None) -> Trial:
        """Return the same trial under the name and settings of another recipe.

        The system names of the scores change too.
        """
        trial = replace(self, learner=learner, sentences=sentences, steps=steps)
        return replace(trial, scores=tuple(replace(row, system=trial.system) for row in trial.scores))


def system_name(learner: str, sentences: int, steps: int | None) -> str:
    """Return the system name of a trial, such as `clone, 10 sentences, 100 steps`."""
    return f"{learner}, {counted(sentences, 'sentence')}, {steps_label(steps)}"


def steps_label(steps: int | None) -> str:
    """Return a number of steps as text; None is `stopped automatically`."""
    return "stopped automatically" if steps is None else counted(steps, "step")


def counted(number: int, noun: str) -> str:
    """Return the number with its noun, such as `1 step` or `10 steps`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def key_of_folder(folder: Path) -> str:
    """Return the key of the trial in this folder."""
    return f"{folder.parent.name}/{folder.name}"
