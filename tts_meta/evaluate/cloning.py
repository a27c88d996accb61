"""The cloning benchmark: clones of speakers that the base was not trained on, or the voices of its training speakers.

With clones, each scored sentence has four versions: the real recording, its copy-synthesis, the mean voice of the base,
and the clone. With `training_speakers`, each training speaker speaks sentences of other speakers. The recordings of
these sentences and their copy-synthesis are scored too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tts_meta.adapt import CloneSettings, Recording, clone_examples, prepare_recordings
from tts_meta.adapt.arguments import check_settings
from tts_meta.context import default_torch_state
from tts_meta.corpus import Example, Manifest, Utterance
from tts_meta.corpus.languages import in_language
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig, choose_sentences
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.voice import REFERENCES, Spoken, score_training_speaker, score_voices
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.vocoder import Vocoder, check_mels

MEAN, CLONE = "mean voice", "clone"


class CloningBenchmark(BenchmarkConfig):
    """Recipe of `tts-meta benchmark` without `learners`."""

    training_speakers: Annotated[int, Field(ge=0)] | tuple[str, ...] = 0
    """Number or names of training speakers that speak the sentences instead of clones, `score_on` sentences each."""
    texts: dict[str, str] = Field(default_factory=dict)
    """Texts by name that each of the `training_speakers` speaks instead of sentences of the manifest."""
    postfilter: float = 1.0
    """Same as `speak --postfilter`."""
    prenet_dropout: float = 0.0
    """Same as `speak --prenet-dropout`."""
    adapt_on: int = Field(default=10, gt=0)
    """Number of sentences to clone from."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules to adapt; the default of `clone` if empty."""
    steps: int | None = None
    """Inner steps; the default of `clone` if not given."""
    learning_rate: float | None = None
    """Learning rate; the default of `clone` if not given."""
    vocoder_steps: int | None = None
    """Inner steps of the modules of the vocoder if `modules` selects any; the default of `clone` if not given."""
    vocoder_learning_rate: float | None = None
    """Learning rate of the modules of the vocoder; the default of `clone` if not given."""
    variance: float | None = None
    """Prior variance; the default of `clone` if not given."""

    @property
    def options(self) -> SynthesisOptions:
        """Options of the synthesis of all voices."""
        return SynthesisOptions(postfilter=self.postfilter, prenet_dropout=self.prenet_dropout)

    def training_speaker_names(self, base: Base) -> list[str]:
        """Return the names of the training speakers that speak.

        Raises TtsMetaError if the base does not have these speakers.
        """
        chosen, available = self.training_speakers, base.speakers
        if not isinstance(chosen, int):
            missing = [name for name in chosen if name not in available]
            if missing:
                raise TtsMetaError(
                    f"training_speakers: the base has no speaker '{missing[0]}'; it has {', '.join(available)}"
                )
            return list(chosen)
        if chosen > len(available):
            raise TtsMetaError(f"training_speakers: the base has {len(available)} speakers, not {chosen}; give fewer")
        return [available[index * len(available) // chosen] for index in range(chosen)]

    def clone_settings(self) -> CloneSettings:
        """Return the settings of the inner loop."""
        names = ("modules", "steps", "learning_rate", "vocoder_steps", "vocoder_learning_rate", "variance", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name) not in ((), None)}
        return CloneSettings(**given)


def align_utterances(
    utterances: Sequence[Utterance], base: Base, speaker: str, report: Callable[[str], None]
) -> list[Example]:
    """Return the examples of utterances, with the transcripts of the manifest.

    speaker: name of the speaker in the examples. report: called with each warning. Raises TtsMetaError with the
    path of a recording that cannot be used.
    """
    recordings = [Recording(utterance.source, utterance.text) for utterance in utterances]
    return prepare_recordings(recordings, base, speaker, report)


@default_torch_state(preserve_rng=True)
def run_cloning(config: CloningBenchmark, base: Base, vocoder: Vocoder, report: Callable[[str], None]) -> list[Spoken]:
    """Clone every speaker of the recipe, and score every sentence by every system.

    The base is moved to the device of the recipe; the vocoder stays where it is. Raises UsageError for `texts` without
    `training_speakers`, and for settings of cloning that are out of range. Raises TtsMetaError for the same reasons as
    cloning and scoring.
    """
    check_settings(config.clone_settings())
    base = base.on(choose_device(config.device))
    check_mels(vocoder, base.config.audio.mel)
    scorer = config.scorer(base.language)
    if config.texts and not config.training_speakers:
        raise UsageError("texts are spoken by training speakers of the base; set training_speakers to their number")
    if config.training_speakers:
        return _run_training_speakers(config, base, vocoder, scorer, report)
    spoken: list[Spoken] = []
    manifest = in_language(Manifest.load(config.manifest), base.language, config.manifest)
    chosen = choose_sentences(manifest, config, config.adapt_on)
    for speaker, sentences in chosen.items():
        report(f"{speaker}: cloning from {len(sentences.adapt_on)} sentences")
        examples = align_utterances(sentences.adapt_on, base, speaker, report)
        voice = clone_examples(base, examples, config.clone_settings(), vocoder=vocoder)
        clone = voice.apply(base, speaker), voice.apply_vocoder(vocoder, speaker)
        spoken += score_voices(
            base,
            {MEAN: (base.acoustic, vocoder), CLONE: clone},
            vocoder,
            sentences.score_on,
            scorer,
            sentences.references,
            config.cache_folder,
            config.options,
        )
        report(f"{speaker}: {len(sentences.score_on)} sentences scored")
    return spoken


def _run_training_speakers(
    config: CloningBenchmark, base: Base, vocoder: Vocoder, scorer: Scorer, report: Callable[[str], None]
) -> list[Spoken]:
    """Score sentences by training speakers, and the recordings of these sentences with their copy-synthesis.

    If the recipe has `texts`, each training speaker speaks all of them, and there are no recordings.
    """
    speakers, manifest = config.training_speaker_names(base), Manifest.load(config.manifest)
    spoken: list[Spoken] = []
    if config.texts:
        texts = [Utterance(name, "", Path(), 0.0, text) for name, text in config.texts.items()]
        sentences = [texts] * len(speakers)
    else:
        sentences, spoken = _sentences_of_others(config, len(speakers), manifest, base, vocoder, scorer)
        report(f"{len(spoken) // 2} recordings scored")
    for name, to_speak in zip(speakers, sentences, strict=True):
        references = [utterance for utterance in config.usable(manifest) if utterance.speaker == name]
        # The references are from all sessions, because two sessions of a speaker may differ more than two speakers.
        references = references[:: max(1, len(references) // REFERENCES)][:REFERENCES]
        index = base.speakers.index(name)
        spoken += score_training_speaker(
            base, index, vocoder, to_speak, references, scorer, config.cache_folder, config.options
        )
        report(f"{name}: {len(to_speak)} sentences scored")
    return spoken


def _sentences_of_others(
    config: CloningBenchmark, count: int, manifest: Manifest, base: Base, vocoder: Vocoder, scorer: Scorer
) -> tuple[list[list[Utterance]], list[Spoken]]:
    """Return `count` lists of sentences that no training speaker read, and their scored recordings and copy-synthesis.

    Raises TtsMetaError if there are too few sentences.
    """
    usable = [u for u in config.usable(config.utterances(manifest)) if u.speaker not in base.speakers]
    needed = count * config.score_on
    if len(usable) < needed:
        raise TtsMetaError(
            f"there are {len(usable)} sentences of {config.usable_lengths} to speak, but {needed} are needed; lower "
            "training_speakers or score_on"
        )
    drawn = random.Random(config.seed).sample(usable, needed)
    spoken: list[Spoken] = []
    for reader in dict.fromkeys(utterance.speaker for utterance in drawn):
        scored = [utterance for utterance in drawn if utterance.speaker == reader]
        references = [u for u in usable if u.speaker == reader and u not in scored][:REFERENCES]
        spoken += score_voices(base, {}, vocoder, scored, scorer, references, config.cache_folder)
    return [drawn[first : first + config.score_on] for first in range(0, needed, config.score_on)], spoken
