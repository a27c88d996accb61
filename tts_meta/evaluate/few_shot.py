"""The few-shot benchmark: several learners, each from few and more sentences, after few and many inner steps.

A cell is one learner's voice of one speaker, from so many sentences, after so many steps; all cells say the same unseen
sentences. Voices and scores are kept by what they were made of: a run that is called again, or has more cells, makes
only what is not there yet.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import Field

from tts_meta.adapt import (
    CloneSettings,
    Recording,
    SpeakerSentences,
    Voice,
    acoustic_nll,
    adaptable,
    align_recordings,
    clone_examples,
)
from tts_meta.config import Section
from tts_meta.corpus import Example, Manifest, Utterance
from tts_meta.errors import UsageError
from tts_meta.evaluate.cloning import ClonedSpeakers, choose_sentences
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.scores import NATS
from tts_meta.evaluate.voice import COPY, REAL, Spoken, score_voices
from tts_meta.files import atomic_file, sha256_file
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.base import Base, load_base
from tts_meta.models.vocoder import Vocoder


class Learner(Section):
    """How a voice is made: what is left out is as `clone` has it."""

    base: Path | None = None
    """Base folder, such as one with another prior; the benchmark's where not given."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules that adapt."""
    learning_rate: float | None = None
    """Step size of Adam."""
    variance: float | None = None
    """Prior variance of every module."""


class FewShotBenchmark(ClonedSpeakers):
    """`tts-meta benchmark` of a recipe with `learners`."""

    learners: dict[str, Learner] = Field(min_length=1)
    """What is compared, by name."""
    sentences: tuple[int, ...] = Field(default=(1, 5, 10, 20), min_length=1)
    """Sentences to clone from: the first so many of the same ones."""
    steps: tuple[int, ...] = Field(default=(0, 10, 100, 1000), min_length=1)
    """Inner steps, each in a loop of its own."""


@dataclass(frozen=True)
class Cell:
    """One voice of the benchmark, in the file `path`.

    parameters: how many it changes. seconds: what adapting took when it was made. nats: of each unseen sentence, a
    frame, with its frames.
    """

    learner: str
    speaker: str
    sentences: int
    steps: int
    path: Path
    parameters: int
    seconds: float
    nats: dict[str, Measure]

    @property
    def system(self) -> str:
        """The name that its sentences stand under."""
        return f"{self.learner}, {self.sentences} sentences, {self.steps} steps"

    @property
    def bytes(self) -> int:
        """Size of the voice's file."""
        return self.path.stat().st_size


def run_few_shot(
    config: FewShotBenchmark, base: Base, vocoder: Vocoder, report: Callable[[str], None]
) -> tuple[list[Cell], list[Spoken]]:
    """Every cell, and what real recordings, copies and all voices say, with scores.

    Raises UsageError for a count of sentences or steps that makes no cell, TtsMetaError as cloning does.
    """
    if min(config.sentences) < 1 or min(config.steps) < 0:
        raise UsageError("sentences must be 1 or more, steps 0 or more")
    scorer = config.scorer()
    bases = {learner.base: load_base(learner.base) for learner in config.learners.values() if learner.base}
    cells: list[Cell] = []
    spoken: list[Spoken] = []
    chosen = choose_sentences(Manifest.load(config.manifest), config, max(config.sentences))
    for speaker, (adapt_on, score_on) in chosen.items():
        for name, learner in config.learners.items():
            own = bases[learner.base] if learner.base else base
            its = list(_cells(config, name, learner, own, vocoder, speaker, adapt_on, score_on, report))
            voices = {}
            for cell in its:
                voice = Voice.load(cell.path)
                voices[cell.system] = voice.apply(own), voice.apply_vocoder(vocoder)
            said = score_voices(
                own, voices, vocoder, score_on, len(score_on), scorer, adapt_on, config.cache_folder / "scores"
            )
            if name == next(iter(config.learners)):
                spoken += [one for one in said if one.system in (REAL, COPY)]
            spoken += [_with_nats(one, cell) for cell in its for one in said if one.system == cell.system]
            cells += its
            report(f"{speaker}: {name}, {len(its)} voices scored")
    return cells, spoken


def _with_nats(spoken: Spoken, cell: Cell) -> Spoken:
    measures = {**spoken.scores.measures, NATS.name: cell.nats[spoken.utterance.id]}
    return replace(spoken, scores=replace(spoken.scores, measures=measures))


def _cells(
    config: FewShotBenchmark,
    name: str,
    learner: Learner,
    base: Base,
    vocoder: Vocoder,
    speaker: str,
    adapt_on: Sequence[Utterance],
    score_on: Sequence[Utterance],
    report: Callable[[str], None],
) -> Iterator[Cell]:
    """One learner's cells of one speaker, read where they are there."""

    @functools.cache
    def aligned(utterances: tuple[Utterance, ...]) -> list[Example]:
        return align_recordings([Recording(u.audio, u.text) for u in utterances], base, speaker, report)

    for count in config.sentences:
        for steps in config.steps:
            folder = config.cache_folder / "voices" / _key(config, learner, base, adapt_on[:count], score_on, steps)
            path, facts = folder / "voice.safetensors", folder / "cell.json"
            if not facts.exists():
                own = aligned(tuple(adapt_on[:count]))
                began = time.perf_counter()
                voice = clone_examples(base, own, _settings(config, learner, steps), vocoder=vocoder)
                seconds = time.perf_counter() - began
                voice.save(path)
                nats = _nats(base, voice.apply(base), aligned(tuple(score_on)))
                size = sum(delta.numel() for delta in voice.deltas.values())
                with atomic_file(facts) as temporary:
                    what = {"parameters": size, "seconds": seconds, "nats": nats}
                    temporary.write_text(json.dumps(what), encoding="utf-8")
            told = json.loads(facts.read_text(encoding="utf-8"))
            nats = {u.id: Measure(*pair) for u, pair in zip(score_on, told["nats"], strict=True)}
            cell = Cell(name, speaker, count, steps, path, told["parameters"], told["seconds"], nats)
            report(f"{speaker}: {cell.system}")
            yield cell


def _settings(config: FewShotBenchmark, learner: Learner, steps: int) -> CloneSettings:
    return CloneSettings(learner.modules, steps, learner.learning_rate, variance=learner.variance, seed=config.seed)


def _key(
    config: FewShotBenchmark,
    learner: Learner,
    base: Base,
    adapt_on: Sequence[Utterance],
    score_on: Sequence[Utterance],
    steps: int,
) -> str:
    """What a cell is made of: base and prior, recordings and texts, settings."""
    prior = {} if base.prior is None else base.prior.variances
    what = [
        base.hash,
        prior,
        str(config.vocoder),
        learner.model_dump(mode="json", exclude={"base"}),
        steps,
        config.seed,
    ]
    what += [[(sha256_file(u.audio), u.text) for u in some] for some in (adapt_on, score_on)]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


@torch.no_grad()
def _nats(base: Base, model: AcousticModel, unseen: Sequence[Example]) -> list[tuple[float, int]]:
    """Nats a frame of each unseen sentence, and its frames."""
    nll, found = acoustic_nll(model), []
    for example in unseen:
        sentence = SpeakerSentences(base, [example], adaptable(base).names)
        found.append((float(nll(model, sentence.whole())) / sentence.frames, sentence.frames))
    return found
