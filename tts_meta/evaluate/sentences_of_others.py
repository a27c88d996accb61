"""Sentences that training speakers of the base speak in the cloning benchmark: of other readers, or given texts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.languages import in_language
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.voice import REFERENCES, Spoken, score_voices
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.vocoder import Vocoder


@dataclass(frozen=True, eq=False)
class SentencesOfOthers:
    """The sentences of each training speaker.

    by_speaker: the sentences by name of the speaker. drawn: all of them that have a recording. usable: the sentences
    that they were drawn from. recordings: utterances of the manifest, among them those of the training speakers.
    """

    by_speaker: Mapping[str, Sequence[Utterance]] = field(default_factory=dict)
    drawn: Sequence[Utterance] = ()
    usable: Sequence[Utterance] = ()
    recordings: Sequence[Utterance] = ()

    @classmethod
    def draw(
        cls, config: BenchmarkConfig, speakers: Sequence[str], base: Base, texts: Mapping[str, str]
    ) -> SentencesOfOthers:
        """Draw `score_on` sentences for each speaker, which no training speaker read, or take the texts.

        texts: texts by title that every speaker speaks in place of sentences. Raises TtsMetaError if there are too few
        sentences.
        """
        manifest = in_language(Manifest.load(config.manifest), base.language, config.manifest)
        recordings = config.usable(manifest)
        if texts:
            to_speak = [Utterance(title, "", Path(), 0.0, text) for title, text in texts.items()]
            return cls(dict.fromkeys(speakers, to_speak), recordings=recordings)
        usable = [u for u in config.usable(config.utterances(manifest)) if u.speaker not in base.speakers]
        needed = len(speakers) * config.score_on
        if len(usable) < needed:
            raise TtsMetaError(
                f"there are {len(usable)} sentences of {config.usable_lengths} to speak, but {needed} are needed; "
                "lower training_speakers or score_on"
            )
        drawn = random.Random(config.seed).sample(usable, needed)
        firsts = range(0, needed, config.score_on)
        by_speaker = {
            name: drawn[first : first + config.score_on] for name, first in zip(speakers, firsts, strict=True)
        }
        return cls(by_speaker, drawn, usable, recordings)

    def of_speaker(self, name: str) -> Sequence[Utterance]:
        """Return the sentences that a training speaker speaks."""
        return self.by_speaker[name]

    def references(self, name: str) -> list[Utterance]:
        """Return recordings of a training speaker for similarity.

        They are from all sessions, because two sessions of a speaker may differ more than two speakers.
        """
        recordings = [utterance for utterance in self.recordings if utterance.speaker == name]
        return recordings[:: max(1, len(recordings) // REFERENCES)][:REFERENCES]


def score_readers(
    base: Base, vocoder: Vocoder, scorer: Scorer, sentences: SentencesOfOthers, cache: Path
) -> list[Spoken]:
    """Score the recordings of the drawn sentences and their copy-synthesis."""
    spoken: list[Spoken] = []
    for reader in dict.fromkeys(utterance.speaker for utterance in sentences.drawn):
        scored = [utterance for utterance in sentences.drawn if utterance.speaker == reader]
        references = [u for u in sentences.usable if u.speaker == reader and u not in scored][:REFERENCES]
        spoken += score_voices(base, {}, vocoder, scored, scorer, references, cache)
    return spoken
