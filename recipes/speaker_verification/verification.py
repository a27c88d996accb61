"""Measure the equal error rates of both speaker encoders on real recordings of speakers that neither was trained on.

Command: python -m recipes.speaker_verification.verification RECIPE.yaml [--encoder FOLDER] [--set KEY=VALUE]

The command prints a table. A claim is a sentence against another sentence, or a sentence against the mean of five
other sentences of a speaker. The intervals are over speakers.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from recipes.recipe_io import markdown_table
from tts_meta.audio import read_audio
from tts_meta.audio.waveform import SPEECH_RATE
from tts_meta.cli import run_command
from tts_meta.config import Section, load_config
from tts_meta.corpus import Manifest, Utterance
from tts_meta.evaluate import mean_embedding, verification_scores
from tts_meta.evaluate.benchmark_config import MIN_SECONDS, choose_references
from tts_meta.evaluate.confidence import mean_interval
from tts_meta.evaluate.similarity import Encoder, error_rate_interval
from tts_meta.evaluate.verification import pair_error_rate_interval
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.models.speaker_encoder import Embedding, SpeakerEncoder

COLUMNS = ("Speakers", "Encoder", "Sentence against sentence", "Sentence against five", "Own voice", "Other voices")


class SpeakerGroup(Section):
    """Speakers of a row of the table."""

    splits: list[str] = Field(min_length=1)
    """Splits of the manifest."""
    speakers: list[str] = Field(default=[])
    """Speakers of these splits; all if empty."""


class VerificationConfig(Section):
    """Recipe of the program."""

    manifest: Path
    """Manifest of the corpus (JSONL)."""
    groups: dict[str, SpeakerGroup]
    """Groups of speakers by name."""
    sentences: int = Field(default=20, gt=1)
    """Largest number of sentences of a speaker that are claims. Five others are the voice of the speaker."""
    seed: int = 0
    """Seed of the choice of sentences."""


def choose(
    manifest: Manifest, config: VerificationConfig, group: SpeakerGroup
) -> dict[str, tuple[list[Utterance], ...]]:
    """Return the claims and the sentences of the voice of each speaker of a group; they are disjoint."""
    selected = manifest.of_split(*group.splits)
    selected = selected.of_speakers(group.speakers) if group.speakers else selected
    chosen = {}
    for speaker in selected.speakers:
        references = choose_references(selected, speaker)
        reserved = {reference.source for reference in references}
        usable = [u for u in selected.of_speakers([speaker]) if u.seconds >= MIN_SECONDS and u.source not in reserved]
        count = min(config.sentences, len(usable))
        chosen[speaker] = random.Random(f"{config.seed}/{speaker}").sample(usable, count), references
    return chosen


def row(
    name: str, encoder_name: str, encoder: Encoder, chosen: Mapping[str, Sequence[Sequence[Utterance]]]
) -> list[str]:
    """Return a row of the table: both equal error rates, and the mean cosine to the own voice and to other voices."""

    def embed(utterances: Sequence[Utterance]) -> list[Embedding]:
        return [encoder.embed(read_audio(utterance.source, SPEECH_RATE), SPEECH_RATE) for utterance in utterances]

    claims = {speaker: embed(sentences) for speaker, (sentences, _) in chosen.items()}
    voices = {speaker: mean_embedding(embed(references)) for speaker, (_, references) in chosen.items()}
    speakers = [speaker for speaker, embeddings in claims.items() for _ in embeddings]
    embeddings = [embedding for rows in claims.values() for embedding in rows]
    pairs = pair_error_rate_interval({speaker: np.stack(rows) for speaker, rows in claims.items()})
    own, other = verification_scores(embeddings, speakers, voices)
    rates = [pairs, error_rate_interval(embeddings, speakers, voices)]
    others = np.reshape(other, (len(speakers), -1)).mean(1)
    cosines = [mean_interval(values, speakers) for values in (own, others)]
    count = f"{name} ({len(chosen)})"
    return [count, encoder_name, *(value.shown(3) for value in (*rates, *cosines))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipe", type=Path, help="recipe of the measurement")
    parser.add_argument("--encoder", type=Path, help="folder of an ECAPA encoder; the shipped one by default")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], help="change a setting of the recipe, KEY=VALUE"
    )
    arguments = parser.parse_args()
    config = load_config(arguments.recipe, VerificationConfig, arguments.changes)
    manifest = Manifest.load(config.manifest)
    encoders = {"Resemblyzer": SpeakerEncoder.load(), "ECAPA, centred": EcapaEncoder.load(folder=arguments.encoder)}
    lines = [
        row(name, encoder_name, encoder, chosen)
        for name, group in config.groups.items()
        for chosen in [choose(manifest, config, group)]
        for encoder_name, encoder in encoders.items()
    ]
    print(markdown_table(COLUMNS, lines))


if __name__ == "__main__":
    sys.exit(run_command(main))
