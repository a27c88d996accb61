"""The benchmark: clones of speakers never trained on, or the base's own voices, on sentences it was not trained on.

Clones: for each scored sentence four systems speak, or stand for, the same words: the real recording, its
copy-synthesis through the vocoder, the base's mean voice, and the clone. Own voices (`training_speakers`): speakers
of the base say sentences of other speakers, beside these speakers' own recordings and their copy-synthesis.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tts_meta.adapt import CloneSettings, Recording, clone_examples, prepare_recordings
from tts_meta.config import Section
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example, Manifest, Utterance
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.metric import Settings
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.voice import REFERENCES, Spoken, score_own_voice, score_voices
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels

MEAN, CLONE = "mean voice", "clone"
_SHORTEST = 2.0
"""Shorter recordings are neither cloned from nor scored, seconds."""


class ClonedSpeakers(Section):
    """Whose recordings are cloned from and scored on, and how that is judged."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    split: str | tuple[str, ...] = "eval"
    """Split, or splits, whose speakers are cloned; none of them may have been trained on."""
    speakers: tuple[str, ...] = ()
    """Only these speakers; all of the split where empty."""
    output: Path
    """Folder of the results: `scores.jsonl`, `table.md` and the audio."""
    cache: Path | None = None
    """Folder of scores by what was judged, which runs may share; `output/cache` where not given."""
    base: Path | None = None
    """Base folder; the shipped one where not given."""
    vocoder: str | None = None
    """As `speak --vocoder`."""
    score_on: int = Field(default=10, gt=0)
    """Other sentences, spoken and scored."""
    longest: float = 12.0
    """Longer recordings are neither cloned from nor scored, seconds."""
    metrics: tuple[str, ...] = ("similarity", "wer", "distillmos")
    """Names in `tts_meta.evaluate.METRICS`."""
    whisper: str = ""
    """Whisper model: a name or a folder; empty looks for Whisper base as `find_whisper` does."""
    seed: int = 0
    """Seeds the choice of sentences and the cloning."""

    @property
    def cache_folder(self) -> Path:
        """Where scores are kept."""
        return self.cache or self.output / "cache"

    def scorer(self) -> Scorer:
        """The judges, loaded. Raises as `Scorer`."""
        scorer = Scorer(self.metrics, Settings(whisper=self.whisper or None))
        scorer.load()
        return scorer


class CloningBenchmark(ClonedSpeakers):
    """`tts-meta benchmark`: what is cloned, from how much, and how it is judged."""

    training_speakers: Annotated[int, Field(ge=0)] | tuple[str, ...] = 0
    """So many of the base's training speakers, or these, say the sentences in place of clones, each `score_on`."""
    texts: dict[str, str] = Field(default_factory=dict)
    """Texts by name that each of the `training_speakers` says in place of sentences of the manifest."""
    postfilter: float = 1.0
    """As `speak --postfilter`."""
    prenet_dropout: float = 0.0
    """As `speak --prenet-dropout`."""
    adapt_on: int = Field(default=10, gt=0)
    """Sentences to clone from."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules to adapt; the default of `clone` where empty."""
    steps: int | None = None
    """Inner steps; the default of `clone` where not given."""
    learning_rate: float | None = None
    """Step size; the default of `clone` where not given."""
    vocoder_steps: int | None = None
    """Inner steps of the vocoder's modules, where `modules` names any; the default of `clone` where not given."""
    vocoder_learning_rate: float | None = None
    """Step size in these; the default of `clone` where not given."""
    variance: float | None = None
    """Prior variance; the default of `clone` where not given."""

    @property
    def options(self) -> SynthesisOptions:
        """How everything is spoken."""
        return SynthesisOptions(postfilter=self.postfilter, prenet_dropout=self.prenet_dropout)

    def voices_of(self, base: Base) -> list[str]:
        """The training speakers of the base that say the sentences. Raises TtsMetaError where it has not got them."""
        count, known = self.training_speakers, base.speakers
        if not isinstance(count, int):
            missing = [name for name in count if name not in known]
            if missing:
                raise TtsMetaError(f"own_voices: the base has no speaker '{missing[0]}'; it has {', '.join(known)}")
            return list(count)
        if count > len(known):
            raise TtsMetaError(f"own_voices: the base has {len(known)} speakers, not {count}")
        return [known[number * len(known) // count] for number in range(count)]

    def clone_settings(self) -> CloneSettings:
        """The inner loop that this benchmark runs."""
        names = ("modules", "steps", "learning_rate", "vocoder_steps", "vocoder_learning_rate", "variance", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name) not in ((), None)}
        return CloneSettings(**given)


def _of_speakers(manifest: Manifest, config: ClonedSpeakers) -> Manifest:
    """The part of the manifest that the recipe names."""
    chosen = manifest.of_split(*([config.split] if isinstance(config.split, str) else config.split))
    return chosen.of_speakers(config.speakers) if config.speakers else chosen


def _usable(manifest: Manifest, config: ClonedSpeakers) -> list[Utterance]:
    """Utterances neither too short nor too long."""
    return [one for one in manifest if _SHORTEST <= one.seconds <= config.longest]


def _span(config: ClonedSpeakers) -> str:
    """How long a usable utterance is, in words."""
    return f"{_SHORTEST:.0f} to {config.longest:.0f} s"


@dataclass(frozen=True)
class SentenceSplit:
    """Sentences of one speaker, no recording in two of the lists.

    adapt_on: to clone from. score_on: to speak and score. references: to measure similarity to, the same in every
    benchmark of this speaker.
    """

    adapt_on: list[Utterance]
    score_on: list[Utterance]
    references: list[Utterance]


def choose_sentences(manifest: Manifest, config: ClonedSpeakers, adapt_on: int) -> dict[str, SentenceSplit]:
    """Sentences by speaker, seeded. Raises TtsMetaError where a speaker has too few."""
    chosen = _of_speakers(manifest, config)
    needed = adapt_on + config.score_on
    result = {}
    for speaker in chosen.speakers:
        references = choose_references(manifest, speaker)
        taken = {one.audio for one in references}
        usable = [one for one in _usable(chosen, config) if one.speaker == speaker and one.audio not in taken]
        if len(usable) < needed:
            raise TtsMetaError(
                f"{speaker} has {len(usable)} sentences of {_span(config)} beside {len(references)} that similarity is "
                f"measured to, {needed} are needed; lower adapt_on, sentences, set_apart or score_on"
            )
        drawn = random.Random(f"{config.seed}/{speaker}").sample(usable, needed)
        result[speaker] = SentenceSplit(drawn[:adapt_on], drawn[adapt_on:], references)
    return result


def choose_references(manifest: Manifest, speaker: str) -> list[Utterance]:
    """`REFERENCES` sentences of a speaker, drawn from the longest third; fewer where there are no more.

    They depend on the manifest and the speaker alone, not on a recipe, so that similarities of several recipes are
    measured to the same sentences. Long sentences determine an embedding better, and short ones are left to clone from
    and to score.
    """
    own = [one for one in manifest if one.speaker == speaker and one.seconds >= _SHORTEST]
    own.sort(key=lambda one: (-one.seconds, one.id))
    longest = own[: max(REFERENCES, len(own) // 3)]
    return random.Random(f"references/{speaker}").sample(longest, min(REFERENCES, len(longest)))


def align_utterances(
    utterances: Sequence[Utterance], base: Base, speaker: str, report: Callable[[str], None]
) -> list[Example]:
    """Their examples, by the manifest's transcripts. Raises TtsMetaError naming a recording that cannot be used."""
    return prepare_recordings([Recording(one.audio, one.text) for one in utterances], base, speaker, report)


@default_torch_state(preserve_rng=True)
def run_cloning(config: CloningBenchmark, base: Base, vocoder: Vocoder, report: Callable[[str], None]) -> list[Spoken]:
    """Clone every speaker; every scored sentence as every system says it, with scores."""
    check_mels(vocoder, base.config.audio.mel)
    scorer = config.scorer()
    if config.texts and not config.training_speakers:
        raise UsageError("texts are said by voices of the base: say by how many, own_voices")
    if config.training_speakers:
        return _run_own_voices(config, base, vocoder, scorer, report)
    spoken: list[Spoken] = []
    chosen = choose_sentences(Manifest.load(config.manifest), config, config.adapt_on)
    for speaker, own in chosen.items():
        report(f"{speaker}: cloning from {len(own.adapt_on)} sentences")
        examples = align_utterances(own.adapt_on, base, speaker, report)
        voice = clone_examples(base, examples, config.clone_settings(), vocoder=vocoder)
        cloned = voice.apply(base, speaker), voice.apply_vocoder(vocoder, speaker)
        voices = {MEAN: (base.acoustic, vocoder), CLONE: cloned}
        spoken += score_voices(
            base, voices, vocoder, own.score_on, scorer, own.references, config.cache_folder, config.options
        )
        report(f"{speaker}: {len(own.score_on)} sentences scored")
    return spoken


def _run_own_voices(
    config: CloningBenchmark, base: Base, vocoder: Vocoder, scorer: Scorer, report: Callable[[str], None]
) -> list[Spoken]:
    """The readers' recordings and copies of the sentences, and the same sentences in voices of the base.

    Where the recipe gives texts, each voice says all of them, and there are no recordings.
    """
    voices, manifest = config.voices_of(base), Manifest.load(config.manifest)
    spoken: list[Spoken] = []
    if config.texts:
        said = [[Utterance(name, "", Path(), 0.0, text) for name, text in config.texts.items()]] * len(voices)
    else:
        said, spoken = _read_by_others(config, len(voices), manifest, base, vocoder, scorer)
        report(f"{len(spoken) // 2} recordings scored")
    for name, its in zip(voices, said, strict=True):
        own = [one for one in _usable(manifest, config) if one.speaker == name]
        # From all of a speaker's sessions, which may sound less alike than two speakers do.
        own = own[:: max(1, len(own) // REFERENCES)][:REFERENCES]
        place = base.speakers.index(name)
        spoken += score_own_voice(base, place, vocoder, its, own, scorer, config.cache_folder, config.options)
        report(f"{name}: {len(its)} sentences scored")
    return spoken


def _read_by_others(
    config: CloningBenchmark, voices: int, manifest: Manifest, base: Base, vocoder: Vocoder, scorer: Scorer
) -> tuple[list[list[Utterance]], list[Spoken]]:
    """Sentences for each voice that none of the base's speakers read, and their recordings with copies, scored.

    Raises TtsMetaError where there are too few.
    """
    usable = [one for one in _usable(_of_speakers(manifest, config), config) if one.speaker not in base.speakers]
    needed = voices * config.score_on
    if len(usable) < needed:
        raise TtsMetaError(f"{len(usable)} sentences of {_span(config)} to say, {needed} are needed")
    drawn = random.Random(config.seed).sample(usable, needed)
    spoken: list[Spoken] = []
    for reader in dict.fromkeys(one.speaker for one in drawn):
        its = [one for one in drawn if one.speaker == reader]
        others = [one for one in usable if one.speaker == reader and one not in its][:REFERENCES]
        spoken += score_voices(base, {}, vocoder, its, scorer, others, config.cache_folder)
    return [drawn[first : first + config.score_on] for first in range(0, needed, config.score_on)], spoken
