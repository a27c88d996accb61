"""`tts-meta evaluate`: score a voice on real recordings of its speaker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.cli.console import print_json, print_message, print_text
from tts_meta.cli.options import AsJson, BaseFolder, Device, VocoderName, VoiceOrBase, WhisperModel
from tts_meta.cli.outputs import check_output
from tts_meta.cli.progress import progress_bar
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from tts_meta.corpus import Manifest

METRICS = ["similarity", "wer", "distillmos"]


def evaluate(
    voice: VoiceOrBase,
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="Manifest with recordings of the same speaker, as `tts-meta prepare` writes it.",
            show_default=False,
        ),
    ],
    speaker: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Speaker of the manifest. Required if the manifest has several speakers."),
    ] = None,
    sentences: Annotated[
        int, typer.Option(metavar="N", min=1, help="Score at most this many sentences, the first ones.")
    ] = 10,
    metric: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Score to compute: similarity (speaker similarity, up to 1), similarity_ecapa (the same by a second "
            "encoder, minus the mean of a cohort), wer (word and character error rate of speech recognition), "
            "distillmos or dnsmos (predicted naturalness, 1 to 5), mcd (spectral distance, "
            "pitch error). Repeatable.",
        ),
    ] = METRICS,
    base: BaseFolder = None,
    vocoder: VocoderName = None,
    whisper: WhisperModel = None,
    scores: Annotated[
        Path | None, typer.Option(metavar="SCORES.jsonl", help="Also write the scores of every sentence to this file.")
    ] = None,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file of scores.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score a voice on real recordings of its speaker.

    The voice speaks the transcripts. The table compares these sentences with the real recordings and with their
    copy-synthesis (recording to spectrogram to vocoder). Each mean has a 95 % confidence interval. Recordings that the
    voice was cloned from are excluded. Similarity is the cosine to the mean speaker embedding of up to five other
    recordings. Needs the extra `eval`: pip install '.[eval]'.

    \b
    Examples:
      tts-meta evaluate alice.voice.safetensors runs/alice/manifest.jsonl
      tts-meta evaluate base runs/alice/manifest.jsonl --metric similarity --json
    """
    if as_json:
        check_stdout("the JSON")
    if scores is not None:
        check_output(scores, ".jsonl", force)
    from dataclasses import asdict

    from tts_meta.adapt import Voice
    from tts_meta.evaluate import Scorer, Settings, summarise, summary_table, write_scores
    from tts_meta.evaluate.voice import score_voices, split_references
    from tts_meta.models.pretrained import load_base
    from tts_meta.models.vocoders.vocoder import load_vocoder

    loaded_base = load_base(base, device or "auto")
    listed = _load_manifest(manifest, speaker, loaded_base.language)
    scorer = Scorer(metric, Settings(device or "auto", whisper, loaded_base.language))
    loaded_vocoder = load_vocoder(vocoder, loaded_base.device, mel=loaded_base.config.audio.mel)
    system, unseen = (loaded_base.acoustic, loaded_vocoder), listed.utterances
    if voice != "base":
        loaded_voice = Voice.load(voice)
        system = loaded_voice.apply(loaded_base, voice), loaded_voice.apply_vocoder(loaded_vocoder, voice)
        unseen = [utterance for utterance in listed if not loaded_voice.adapted_on(utterance.source)]
        adapted = f"{len(listed) - len(unseen)} of {len(listed)} sentences of {manifest}"
        if not unseen:
            raise UsageError(f"{voice} was adapted on all {adapted}; give other recordings of the speaker")
        if len(unseen) < len(listed):
            print_message(f"{voice} was adapted on {adapted}; these are not used")
    scorer.load()
    scored, references = unseen[:sentences], ()
    if {"similarity", "similarity_ecapa"} & scorer.metrics.keys():
        scored, references = split_references(unseen, sentences)
        print_message(f"{len(scored)} sentences are scored; similarity is measured to {len(references)} others")
    with progress_bar("scoring") as bar:
        spoken = score_voices(
            loaded_base, {"voice": system}, loaded_vocoder, scored, scorer, references, report=bar.update
        )
    rows = [sentence.scores for sentence in spoken]
    if scores is not None:
        write_scores(scores, rows)
    summaries = summarise(rows)
    if not as_json:
        print_text(summary_table(summaries), end="")
        return
    systems = {row.group[0]: {name: asdict(value) for name, value in row.intervals.items()} for row in summaries}
    print_json(
        {
            "voice": voice,
            "manifest": str(manifest),
            "sentences": len(scored),
            "references": [reference.id for reference in references],
            "systems": systems,
        }
    )


def _load_manifest(path: Path, speaker: str | None, language: str) -> Manifest:
    """The utterances of one speaker in a language. Raises UsageError if none of several speakers is named."""
    from tts_meta.corpus import Manifest
    from tts_meta.corpus.languages import in_language

    manifest = in_language(Manifest.load(path), language, path)
    if speaker is not None:
        manifest = manifest.of_speakers([speaker])
    elif len(manifest.speakers) > 1:
        raise UsageError(f"{path} has {len(manifest.speakers)} speakers; choose one with --speaker NAME")
    manifest.validate()
    return manifest
