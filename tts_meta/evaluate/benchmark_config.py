"""Settings that both benchmarks share, and the choice of sentences: to adapt on, to score, and as references."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tts_meta.config import DeviceName, Section
from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.languages import in_language
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.metric import Settings
from tts_meta.evaluate.published_list import prompts_and_targets
from tts_meta.evaluate.scores import Scorer
from tts_meta.evaluate.voice import REFERENCES

MIN_SECONDS = 2.0
"""Minimum duration in seconds. Shorter recordings are neither adapted on nor scored."""


_NO_FILE = Path()
_ONE_SENTENCE = {"adapt_on": 1, "sentences": (1,)}
"""Settings of the two benchmarks for the number of sentences to adapt on."""


class BenchmarkConfig(Section):
    """Speakers, sentences, metrics and folders of a benchmark."""

    manifest: Path = _NO_FILE
    """Manifest of the corpus (JSONL). Required without `test_list`."""
    test_list: Path | None = None
    """Published list of prompts and targets, in place of sentences of the manifest. docs/benchmark_protocol.md has the
    formats."""
    test_audio: Path | None = None
    """Folder of the recordings in `test_list`; the folder of the list by default."""
    split: str | tuple[str, ...] = "eval"
    """Split, or splits, whose speakers are cloned; the base must not be trained on any of them."""
    speakers: tuple[str, ...] = ()
    """Speakers of the split that are used; all speakers of the split if empty."""
    output: Path
    """Folder of the results: `scores.jsonl`, `table.md`, `index.html` and a log for TensorBoard."""
    cache: Path | None = None
    """Folder of cached scores, which several runs may share; `output/cache` by default."""
    base: Path | None = None
    """Base folder; the shipped base by default."""
    vocoder: str | None = None
    """Same as `speak --vocoder`."""
    score_on: int = Field(default=10, gt=0)
    """Number of sentences that each voice speaks and that are scored."""
    longest: float = 12.0
    """Maximum duration in seconds. Longer recordings are neither adapted on nor scored."""
    metrics: tuple[str, ...] = ("similarity", "wer", "distillmos")
    """Names in `tts_meta.evaluate.METRICS`."""
    whisper: str = ""
    """Whisper model: a name or a folder; if empty, `find_whisper` searches for Whisper base."""
    seed: int = 0
    """Seed for the choice of sentences and for the inner loop."""
    device: DeviceName = "auto"
    """Where to compute: `auto` (a GPU if there is one), `cpu`, `cuda` or `mps`."""

    @property
    def cache_folder(self) -> Path:
        """Folder of cached scores."""
        return self.cache or self.output / "cache"

    @model_validator(mode="before")
    @classmethod
    def _adapt_on_the_prompt(cls, data: Any) -> Any:
        """With a test list, the default is to adapt on one sentence, the prompt."""
        if not isinstance(data, dict) or not data.get("test_list"):
            return data
        return {name: value for name, value in _ONE_SENTENCE.items() if name in cls.model_fields} | data

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.test_list is None:
            if self.manifest == _NO_FILE:
                raise ValueError("manifest is missing; give a manifest, or a published list as test_list")
            if self.test_audio is not None:
                raise ValueError("test_audio is the folder of the recordings in test_list; give test_list too")
            return self
        for name in ("split", "speakers", "score_on", "longest"):
            if name in self.model_fields_set:
                raise ValueError(f"{name} selects sentences of a manifest, but test_list names them; leave out {name}")
        return self

    def load_manifest(self, language: str) -> Manifest | None:
        """Return the manifest, or None if the recipe has only a test list.

        language: of the base. Raises the errors of `Manifest.load` and `in_language`.
        """
        if self.manifest == _NO_FILE:
            return None
        return in_language(Manifest.load(self.manifest), language, self.manifest)

    def sentence_sets(self, manifest: Manifest | None, adapt_on: int) -> dict[str, SentenceSplit]:
        """Return the sentences of each voice by name: of each prompt of the test list, or of each speaker.

        adapt_on: number of sentences to clone from. Raises UsageError for a number above 1 with a test list. Raises
        TtsMetaError for the same reasons as `prompts_and_targets` or `choose_sentences`.
        """
        if self.test_list is None:
            assert manifest is not None
            return choose_sentences(manifest, self, adapt_on)
        if adapt_on != 1:
            raise UsageError("a voice of test_list is adapted on its prompt alone; set sentences, or adapt_on, to 1")
        voices = prompts_and_targets(self.test_list, self.test_audio)
        return {name: SentenceSplit([prompt], targets, [prompt]) for name, (prompt, targets) in voices.items()}

    def scorer(self, language: str) -> Scorer:
        """Return the scorer with all models loaded; language: of the base. Raises the errors of `Scorer`."""
        scorer = Scorer(self.metrics, Settings(self.device, self.whisper or None, language))
        scorer.load()
        return scorer

    def utterances(self, manifest: Manifest) -> Manifest:
        """Return the part of the manifest that the split and the speakers of the recipe select."""
        selected = manifest.of_split(*([self.split] if isinstance(self.split, str) else self.split))
        return selected.of_speakers(self.speakers) if self.speakers else selected

    def usable(self, manifest: Manifest) -> list[Utterance]:
        """Return the utterances that are neither too short nor too long."""
        return [utterance for utterance in manifest if MIN_SECONDS <= utterance.seconds <= self.longest]

    @property
    def usable_lengths(self) -> str:
        """The lengths of usable utterances, for messages."""
        return f"{MIN_SECONDS:.0f} to {self.longest:.0f} s"


@dataclass(frozen=True)
class SentenceSplit:
    """Disjoint sets of sentences of one speaker.

    adapt_on: sentences to clone from. score_on: sentences to speak and score. references: sentences to measure
    similarity to. The references of a speaker are the same in every benchmark.
    """

    adapt_on: list[Utterance]
    score_on: list[Utterance]
    references: list[Utterance]


def choose_sentences(manifest: Manifest, config: BenchmarkConfig, adapt_on: int) -> dict[str, SentenceSplit]:
    """Return the sentences of each speaker, drawn with the seed of the recipe.

    adapt_on: number of sentences to clone from. Raises TtsMetaError if a speaker has too few sentences.
    """
    selected = config.utterances(manifest)
    needed = adapt_on + config.score_on
    result = {}
    for speaker in selected.speakers:
        references = choose_references(manifest, speaker)
        reserved = {reference.source for reference in references}
        usable = [u for u in config.usable(selected) if u.speaker == speaker and u.source not in reserved]
        if len(usable) < needed:
            raise TtsMetaError(
                f"{speaker} has {len(usable)} sentences of {config.usable_lengths} apart from the {len(references)} "
                f"references for similarity, but {needed} are needed; lower adapt_on, sentences or score_on"
            )
        drawn = random.Random(f"{config.seed}/{speaker}").sample(usable, needed)
        result[speaker] = SentenceSplit(drawn[:adapt_on], drawn[adapt_on:], references)
    return result


def failed(faults: Sequence[str], count: int, config: BenchmarkConfig) -> TtsMetaError:
    """Return the error of a benchmark in which some of `count` pieces of work failed. faults: one line for each."""
    more = f" ({len(faults)} of {count} pieces of work failed)" if len(faults) > 1 else ""
    done = f"what is done is kept in {config.cache_folder}, and the same command computes only what is missing"
    return TtsMetaError(f"{faults[0]}{more}; {done}")


def choose_references(manifest: Manifest, speaker: str) -> list[Utterance]:
    """Return `REFERENCES` sentences of a speaker, drawn from the longest third, or fewer if there are not enough.

    The choice depends only on the manifest and the speaker, so that all recipes measure similarity to the same
    sentences. Long sentences give more exact embeddings. The short sentences remain for adaptation and scoring.
    """
    usable = [utterance for utterance in manifest if utterance.speaker == speaker and utterance.seconds >= MIN_SECONDS]
    usable.sort(key=lambda utterance: (-utterance.seconds, utterance.id))
    longest = usable[: max(REFERENCES, len(usable) // 3)]
    return random.Random(f"references/{speaker}").sample(longest, min(REFERENCES, len(longest)))
