"""`tts-meta evaluate`: score a voice on the sentences of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import check_output, print_json, print_message, print_text, progress_bar
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError

METRICS = ["similarity", "wer", "distillmos"]


def evaluate(
    voice: Annotated[
        str, typer.Argument(metavar="VOICE", help="A voice file, or `base` for its mean voice.", show_default=False)
    ],
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST", help="Manifest (JSONL) of real sentences of the same speaker.", show_default=False
        ),
    ],
    speaker: Annotated[str | None, typer.Option(help="The speaker, where the manifest has several.")] = None,
    sentences: Annotated[int, typer.Option(min=1, help="Score at most so many, the first of the manifest.")] = 10,
    metric: Annotated[list[str], typer.Option(help="What to score by, repeatable; also dnsmos, mcd.")] = METRICS,
    base: Annotated[Path | None, typer.Option(help="Folder of the base voice; the shipped one if not given.")] = None,
    vocoder: Annotated[str | None, typer.Option(help="light, hifigan, griffin-lim, or a path.")] = None,
    whisper: Annotated[str | None, typer.Option(help="Whisper model that listens, a name or a folder.")] = None,
    scores: Annotated[
        Path | None, typer.Option(metavar="SCORES.jsonl", help="Also write the scores of each sentence there.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file of scores.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score a voice on real sentences of its speaker.

    The real recordings and their copy-synthesis through the vocoder stand beside it, each mean with its 95 % interval.
    Sentences that the voice was adapted on are left out. Similarity is measured to up to five sentences that are not
    scored. Needs the extra `eval`.

    \b
    tts-meta evaluate alice.voice.safetensors runs/alice/manifest.jsonl
    """
    if as_json:
        check_stdout("the JSON")
    if scores is not None:
        check_output(scores, ".jsonl", force)
    from dataclasses import asdict

    from tts_meta.adapt import Voice
    from tts_meta.corpus import Manifest
    from tts_meta.evaluate import Scorer, Settings, markdown_table, summarise, write_scores
    from tts_meta.evaluate.voice import score_voices, split_references
    from tts_meta.models.pretrained import load_base
    from tts_meta.models.vocoders.vocoder import load_vocoder

    listed = Manifest.load(manifest)
    if speaker is not None:
        listed = listed.of_speakers([speaker])
    elif len(listed.speakers) > 1:
        raise UsageError(f"{manifest} has {len(listed.speakers)} speakers; choose one with --speaker NAME")
    listed.validate()
    scorer = Scorer(metric, Settings(whisper=whisper))
    loaded = load_base(base)
    sounds = load_vocoder(vocoder, mel=loaded.config.audio.mel)
    speaking, unseen = (loaded.acoustic, sounds), listed.utterances
    if voice != "base":
        given = Voice.load(voice)
        speaking = given.apply(loaded, voice), given.apply_vocoder(sounds, voice)
        unseen = [one for one in listed if not given.adapted_on(one.audio)]
        left = f"{len(listed) - len(unseen)} of {len(listed)} sentences of {manifest}"
        if not unseen:
            raise UsageError(f"{voice} was adapted on all {left}; give other recordings of the speaker")
        if len(unseen) < len(listed):
            print_message(f"{voice} was adapted on {left}: they are neither scored nor compared to")
    scorer.load()
    scored, references = unseen[:sentences], ()
    if "similarity" in scorer.metrics:
        scored, references = split_references(unseen, sentences)
        print_message(f"{len(scored)} sentences are scored; similarity is measured to {len(references)} others")
    with progress_bar("scoring") as bar:
        spoken = score_voices(loaded, {"voice": speaking}, sounds, scored, scorer, references, report=bar.update)
    rows = [one.scores for one in spoken]
    if scores is not None:
        write_scores(scores, rows)
    summaries = summarise(rows)
    if as_json:
        systems = {row.group[0]: {name: asdict(value) for name, value in row.intervals.items()} for row in summaries}
        print_json(
            {
                "voice": voice,
                "manifest": str(manifest),
                "sentences": len(scored),
                "references": [one.id for one in references],
                "systems": systems,
            }
        )
    else:
        print_text(markdown_table(summaries), end="")
