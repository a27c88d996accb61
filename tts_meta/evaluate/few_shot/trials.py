"""One cell of the few-shot benchmark: a learner's voice of a speaker, kept with all that is said of it.

Folders are named by what is in them, so that a second run, or a recipe with more cells, makes only what is not there
yet. VOICE, by what the voice is made of: `voice.safetensors`, and `made.json` with what it cost. VOICE/JUDGED, by what
it says and who judges: `scores.jsonl` of the unseen sentences, a sound file of each, and `trial.json`. A voice is made
once, whatever it is to say and whoever judges it.

Both names depend on the versions of the code that makes and judges a voice. Results of older code are therefore not
read as results of the present code.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from tts_meta.adapt import (
    AcousticTask,
    CloneSettings,
    Voice,
    acoustic_nll,
    adaptable_modules,
    chosen_modules,
    clone_examples,
)
from tts_meta.adapt.baselines.lora import clone_lora
from tts_meta.adapt.recordings import RECORDINGS_VERSION
from tts_meta.corpus import Example, Utterance
from tts_meta.errors import UsageError
from tts_meta.evaluate.baselines import TrainingSpeakerVoices
from tts_meta.evaluate.cloning import align_utterances
from tts_meta.evaluate.methods import LORA_RANK, MethodConfig
from tts_meta.evaluate.metric import Measure
from tts_meta.evaluate.scores import NLL, Scorer, Scores
from tts_meta.evaluate.speaker_encoder import Embedding, SpeakerEncoder
from tts_meta.evaluate.table import read_scores, write_scores
from tts_meta.evaluate.voice import Spoken, score_voices
from tts_meta.files import atomic_file, sha256_file
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.vocoder import Vocoder
from tts_meta.synth.speak import SPEECH_VERSION

_MADE = "made.json"
"""Of a voice's folder, written last."""
_FACTS = "trial.json"
"""Of a cell's folder, written last."""
_VOICE = "voice.safetensors"
JUDGE_VERSION = 3
"""Version of how a voice's sentences are scored. Increase it when the same voice would get other scores or other keys.

2: similarity is measured to sentences that no voice was adapted on. 3: the likelihood has the key `nll`.
"""
Source = Literal["this run", "cache", "cached_results"]
"""Whether a cell was computed in this run, read from the cache folder, or read from the file `cached_results`."""
_ELSEWHERE = {"base", "prior", "isotropic", "prior_scale", "sentences", "steps", "auto_stop"}
"""What of a learner a voice's key holds in another form, or not at all."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One voice of the benchmark as it was judged, in `folder`, if the cell was made or kept on this machine.

    steps: requested steps, None where the loop stopped automatically. steps_done: steps that the loop took. parameters:
    how many parameters the voice changes. bytes: size of the voice file. cpu_seconds: processor time of all threads
    during adaptation. scores: of each unseen sentence, with NLL per frame. embeddings: of each spoken sentence,
    `(U, 256)`.
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

    @property
    def system(self) -> str:
        """The name that its sentences stand under."""
        return f"{self.learner}, {counted(self.sentences, 'sentence')}, {self.ended}"

    @property
    def ended(self) -> str:
        """Where its loop ended."""
        return "stopped automatically" if self.steps is None else counted(self.steps, "step")

    @property
    def place(self) -> tuple[bool, int]:
        """What cells of one learner are ordered by: their steps, and last what ended by itself."""
        return self.steps is None, self.steps or 0

    @property
    def key(self) -> str:
        """What its voice is made of, and what it says to which judges; both hashed."""
        return key_of(self.folder)

    @property
    def here(self) -> bool:
        """Whether voice and sound are in the folder; a cell measured elsewhere is scores alone."""
        return (self.folder / _FACTS).exists()

    @property
    def voice(self) -> Path:
        """The voice file."""
        return self.folder.parent / _VOICE

    def sound(self, number: int) -> Path:
        """The sound file of unseen sentence `number`."""
        return self.folder / f"{number}.flac"


@dataclass(frozen=True)
class SpeakerData:
    """What all cells of one speaker share: recordings to adapt on, others to score, and what they are scored with.

    references: recordings that similarity is measured to, neither adapted on nor scored. known: the base's own voices,
    where a learner asks for them. measured: cells by their keys that need not be made. made: folders of the voices and
    cells that this run has computed.
    """

    speaker: str
    adapt_on: Sequence[Utterance]
    score_on: Sequence[Utterance]
    references: Sequence[Utterance]
    vocoder: Vocoder
    scorer: Scorer
    encoder: SpeakerEncoder
    seed: int
    frames_per_step: int
    folder: Path
    known: Callable[[], TrainingSpeakerVoices] | None = None
    cached_results: Mapping[str, Trial] = field(default_factory=dict)
    report: Callable[[str], None] = lambda line: None
    made: set[Path] = field(default_factory=set)

    def spoken(self, base: Base, voices: dict[str, tuple[AcousticModel, Vocoder]]) -> list[Spoken]:
        """The unseen sentences as recorded, copied and said by the voices, scored."""
        return score_voices(
            base,
            voices,
            self.vocoder,
            self.score_on,
            self.scorer,
            self.references,
            self.folder / "scores",
        )

    def embed(self, spoken: Sequence[Spoken]) -> list[Embedding]:
        """What each sentence sounds like."""
        return [self.encoder.embed(one.samples, one.rate) for one in spoken]

    def aligned(self, base: Base, utterances: Sequence[Utterance]) -> list[Example]:
        """Their examples. Raises TtsMetaError naming a recording that cannot be used."""
        return align_utterances(utterances, base, self.speaker, self.report)


def trial(name: str, learner: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None) -> Trial:
    """The cell, read where it is there or measured already, or else made. Raises TtsMetaError as cloning does."""
    voice = data.folder / "voices" / _voice_key(learner, base, data, sentences, steps)
    folder = voice / _judged_key(data)
    if not (folder / _FACTS).exists():
        if key_of(folder) in data.cached_results:
            return _named(replace(data.cached_results[key_of(folder)], folder=folder), name, sentences, steps)
        if not (voice / _MADE).exists():
            _make(learner, base, data, sentences, steps, voice)
            data.made.add(voice)
        _judge(base, data, voice / _VOICE, folder)
        data.made.add(folder)
    made = json.loads((voice / _MADE).read_text(encoding="utf-8"))
    told = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    found = Trial(
        name,
        data.speaker,
        sentences,
        steps,
        made["done"],
        folder,
        made["parameters"],
        made["bytes"],
        made["cpu_seconds"],
        tuple(read_scores(folder / "scores.jsonl")),
        np.array(told["embeddings"], np.float32),
        "this run" if {voice, folder} <= data.made else "cache",
    )
    return _named(found, name, sentences, steps)


def counted(number: int, noun: str) -> str:
    """`1 step`, `10 steps`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def key_of(folder: Path) -> str:
    """A cell's key, from where it lies."""
    return f"{folder.parent.name}/{folder.name}"


def _named(made: Trial, name: str, sentences: int, steps: int | None) -> Trial:
    """The same as another learner calls it, or another recipe."""
    one = replace(made, learner=name, sentences=sentences, steps=steps)
    return replace(one, scores=tuple(replace(row, system=one.system) for row in one.scores))


def _make(
    learner: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None, folder: Path
) -> None:
    """The voice, into its folder, and what it cost."""
    path, chosen = folder / _VOICE, data.adapt_on[:sentences]
    own = data.aligned(base, chosen) if learner.steps_matter else []
    settings = _settings(learner, data, steps)
    known = None if learner.steps_matter or data.known is None else data.known()  # once for all speakers
    began = time.process_time()
    if learner.method == "lora":
        voice = clone_lora(base, own, learner.rank or LORA_RANK, settings)
    elif learner.method == "clone":
        voice = clone_examples(base, own, settings, vocoder=data.vocoder)
    else:
        assert known is not None
        voice = known.nearest(chosen) if learner.method == "nearest" else known.zero_shot(chosen)
    seconds = time.process_time() - began
    if steps is None and "stopped" not in voice.scores:
        raise UsageError(f"method {learner.method} with these settings does not stop by itself; leave out auto_stop")
    voice.save(path)
    parameters = sum(delta.numel() for delta in voice.deltas.values())
    what = {"done": voice.steps, "parameters": parameters, "bytes": path.stat().st_size, "cpu_seconds": seconds}
    if learner.steps_matter and not voice.steps:  # the base's mean voice, which needs no file
        what |= {"parameters": 0, "bytes": 0}
    with atomic_file(folder / _MADE) as temporary:
        temporary.write_text(json.dumps(what), encoding="utf-8")


def _judge(base: Base, data: SpeakerData, path: Path, folder: Path) -> None:
    """What the voice says of the unseen sentences, and how likely it finds them, into the cell's folder."""
    voice = Voice.load(path)
    model = voice.apply(base)
    said = [one for one in data.spoken(base, {"": (model, voice.apply_vocoder(data.vocoder))}) if not one.system]
    nats = nll_per_frame(base, model, data.aligned(base, data.score_on))
    rows = [
        replace(one.scores, measures={**one.scores.measures, NLL.name: measure})
        for one, measure in zip(said, nats, strict=True)
    ]
    write_scores(folder / "scores.jsonl", rows)
    for number, one in enumerate(said):
        with atomic_file(folder / f"{number}.flac") as temporary:
            soundfile.write(temporary, one.samples, one.rate, format="FLAC")
    embeddings = [np.round(embedding, 5).tolist() for embedding in data.embed(said)]
    with atomic_file(folder / _FACTS) as temporary:
        temporary.write_text(json.dumps({"embeddings": embeddings}), encoding="utf-8")


def _settings(learner: MethodConfig, data: SpeakerData, steps: int | None) -> CloneSettings:
    return CloneSettings(
        learner.modules,
        steps,
        learner.learning_rate,
        variance=learner.variance,
        prior_scale=learner.prior_scale,
        rank=learner.rank,
        frames_per_step=data.frames_per_step,
        seed=data.seed,
    )


def _voice_key(learner: MethodConfig, base: Base, data: SpeakerData, sentences: int, steps: int | None) -> str:
    """What a voice is made of: base and prior, recordings and texts, settings."""
    settings = learner.model_dump(mode="json", exclude=_ELSEWHERE)
    if learner.method == "clone" and steps == 0:  # the base's mean voice, whatever would have adapted, and to what
        settings = {"modules": settings["modules"]}
    prior, asked = {}, base.prior if learner.asks_prior else None
    if asked is not None:
        kept = () if learner.modules else chosen_modules(base, CloneSettings()).names
        prior_scale = _settings(learner, data, steps).prior_scale_for(base)
        prior = [asked.variances, kept, prior_scale, asked.rank]
    what = [learner.version(steps), base.hash, prior, *_vocoder(data), settings, steps, data.seed]
    what.append(data.frames_per_step)
    return _hashed([*what, _contents(data.adapt_on[:sentences])])


def _judged_key(data: SpeakerData) -> str:
    """What a voice says, and who judges it by which recordings; enough of the digest to tell some thousands apart."""
    scorer = data.scorer
    metrics = sorted((name, metric.identity(scorer.settings)) for name, metric in scorer.metrics.items())
    what = [JUDGE_VERSION, SPEECH_VERSION, RECORDINGS_VERSION, metrics, *_vocoder(data)]
    return _hashed([*what, _contents(data.references), _contents(data.score_on)])[:16]


def _vocoder(data: SpeakerData) -> tuple[str, str]:
    """By name and, where it is one of ours, by its weights."""
    return data.vocoder.name, getattr(data.vocoder.generator, "hash", "")


def _contents(utterances: Sequence[Utterance]) -> list[tuple[str, str]]:
    return [(sha256_file(one.audio), one.text) for one in utterances]


def _hashed(what: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


@torch.no_grad()
def nll_per_frame(base: Base, model: AcousticModel, examples: Sequence[Example]) -> list[Measure]:
    """The negative log-likelihood of each sentence under a voice, nats per frame, weighted by its number of frames."""
    nll, found = acoustic_nll(model), []
    for example in examples:
        sentence = AcousticTask(base, [example], adaptable_modules(base).names)
        found.append(Measure(float(nll(model, sentence.all_sentences())) / sentence.frames, sentence.frames))
    return found
