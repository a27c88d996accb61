"""The cloning benchmark: speakers never trained on, some of their sentences to clone from, others to score.

For each scored sentence four systems speak, or stand for, the same words: the real recording, its copy-synthesis
through the vocoder, the base's mean voice, and the clone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field

from tts_meta.adapt import CloneSettings, align_recordings, clone_examples
from tts_meta.adapt.recordings import Recording
from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.config import Section
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.metric import Settings
from tts_meta.evaluate.scores import Scorer, Scores
from tts_meta.evaluate.similarity import voice_embedding
from tts_meta.evaluate.speaker_encoder import SpeakerEncoder
from tts_meta.models.base import Base
from tts_meta.models.vocoder import Vocoder
from tts_meta.synth import speak_text

REAL, COPY, MEAN, CLONE = "real recording", "copy-synthesis", "mean voice", "clone"


class CloningBenchmark(Section):
    """`tts-meta benchmark`: what is cloned, from how much, and how it is judged."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    split: str = "eval"
    """Split whose speakers are cloned; none of them may have been trained on."""
    speakers: tuple[str, ...] = ()
    """Only these speakers; all of the split where empty."""
    output: Path
    """Folder of the results: `scores.jsonl`, `table.md` and the audio."""
    base: Path | None = None
    """Base folder; the shipped one where not given."""
    vocoder: str | None = None
    """As `speak --vocoder`."""
    adapt_on: int = Field(default=10, gt=0)
    """Sentences to clone from."""
    score_on: int = Field(default=10, gt=0)
    """Other sentences, spoken and scored."""
    longest: float = 12.0
    """Longer recordings are neither cloned from nor scored, seconds."""
    metrics: tuple[str, ...] = ("similarity", "words", "distillmos", "distance")
    """Names in `tts_meta.evaluate.METRICS`."""
    whisper: str = ""
    """Whisper model: a name or a folder; empty looks for Whisper base as `find_whisper` does."""
    modules: tuple[str, ...] = ()
    """Patterns of the modules to adapt; the default of `clone` where empty."""
    steps: int | None = None
    """Inner steps; the default of `clone` where not given."""
    learning_rate: float | None = None
    """Step size; the default of `clone` where not given."""
    variance: float | None = None
    """Prior variance; the default of `clone` where not given."""
    seed: int = 0
    """Seeds the choice of sentences and the cloning."""

    def clone_settings(self) -> CloneSettings:
        """The inner loop that this benchmark runs."""
        names = ("modules", "steps", "learning_rate", "variance", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name) not in ((), None)}
        return CloneSettings(**given)


@dataclass(frozen=True)
class Clip:
    """One scored sentence as one system says it: samples `(S,)` at `rate` and its scores."""

    utterance: Utterance
    system: str
    samples: torch.Tensor
    rate: int
    scores: Scores


def choose_sentences(
    manifest: Manifest, config: CloningBenchmark
) -> dict[str, tuple[list[Utterance], list[Utterance]]]:
    """Sentences to clone from and to score, by speaker; disjoint and seeded. Raises TtsMetaError where too few."""
    chosen = manifest.of_split(config.split)
    if config.speakers:
        chosen = chosen.of_speakers(config.speakers)
    needed = config.adapt_on + config.score_on
    result = {}
    for speaker in chosen.speakers:
        usable = [u for u in chosen if u.speaker == speaker and 2.0 <= u.seconds <= config.longest]
        if len(usable) < needed:
            raise TtsMetaError(
                f"{speaker} has {len(usable)} sentences of 2 to {config.longest:.0f} s, {needed} are needed"
            )
        drawn = random.Random(f"{config.seed}/{speaker}").sample(usable, needed)
        result[speaker] = (drawn[: config.adapt_on], drawn[config.adapt_on :])
    return result


def run_cloning(
    config: CloningBenchmark, base: Base, vocoder: Vocoder, report: Callable[[str], None], keep: Callable[[Clip], None]
) -> list[Scores]:
    """Clone every speaker and score every system; `keep` is handed each clip as it is made."""
    scorer = Scorer(config.metrics, Settings(whisper=config.whisper or None))
    scorer.load()
    encoder = SpeakerEncoder.load()
    mel_spec = MelSpec(base.config.audio.mel)
    rate = base.config.audio.mel.sample_rate
    rows: list[Scores] = []
    for speaker, (adapt_on, score_on) in choose_sentences(Manifest.load(config.manifest), config).items():
        report(f"{speaker}: cloning from {len(adapt_on)} sentences")
        recordings = [Recording(u.audio, u.text) for u in adapt_on]
        voice = clone_examples(base, align_recordings(recordings, base, speaker, report), config.clone_settings())
        model = voice.apply(base, speaker)
        # Like the real recordings' own score, a clone's is taken against sentences that are not the one spoken.
        embedding = voice_embedding(encoder, ((read_audio(u.audio, rate), rate) for u in adapt_on[:5]))
        for utterance in score_on:
            real = prepare_waveform(read_audio(utterance.audio, rate), base.config.audio, str(utterance.audio))
            with torch.inference_mode():
                copy = vocoder(mel_spec(torch.from_numpy(real)[None]))[0]
            said = {
                REAL: torch.from_numpy(real),
                COPY: copy,
                MEAN: torch.from_numpy(speak_text(base, base.acoustic, vocoder, utterance.text).samples),
                CLONE: torch.from_numpy(speak_text(base, model, vocoder, utterance.text).samples),
            }
            for system, samples in said.items():
                scores = scorer.score(
                    samples.numpy(),
                    rate,
                    id=utterance.id,
                    speaker=speaker,
                    system=system,
                    text=utterance.text,
                    voice=embedding,
                    reference=None if system == REAL else real,
                )
                rows.append(scores)
                keep(Clip(utterance, system, samples, rate, scores))
        report(f"{speaker}: {len(score_on)} sentences scored")
    return rows
