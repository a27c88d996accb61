"""Options that several verbs share; each is defined once, with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BaseFolder = Annotated[
    Path | None,
    typer.Option(
        "--base", metavar="FOLDER", help="Folder of the base model.", show_default="the one that is installed"
    ),
]
LearnerName = Annotated[
    str | None,
    typer.Option(
        "--learner",
        metavar="NAME|PATH",
        help="Learner that adapts the base model: a name of `tts-meta inspect --learners`, or the folder of a "
        "meta-trained learner. If the folder is a base, it is the default of --base.",
        show_default="the one of the base",
    ),
]
VocoderName = Annotated[
    str | None,
    typer.Option(
        "--vocoder",
        metavar="NAME",
        help="Vocoder, the network that turns spectrograms into sound: light, hifigan (about ten times slower), "
        "griffin-lim (no network, sounds metallic), or the path of a trained one.",
        show_default="light",
    ),
]
VoiceOrBase = Annotated[
    str,
    typer.Argument(
        metavar="VOICE",
        help="Voice file written by `tts-meta clone`, or the word `base` for the average voice of the base model.",
        show_default=False,
    ),
]
WhisperModel = Annotated[
    str | None,
    typer.Option(
        "--whisper",
        metavar="MODEL",
        help="Whisper model for speech recognition: a name such as base, or a folder.",
        show_default="the environment variable TTS_META_WHISPER",
    ),
]
LexiconFile = Annotated[
    Path | None,
    typer.Option(
        "--lexicon",
        metavar="FILE",
        help="Pronunciations of names and unusual words. Each line holds a word, spaces, and its phonemes or a "
        "respelling in plain letters, such as: Siobhan shivawn. More in docs/text.md.",
    ),
]
InnerSteps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        min=0,
        help="Gradient steps that adapt the base model to the speaker.",
        show_default="stop automatically, after 1500 at the latest",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where to compute: auto, cpu, cuda (an NVIDIA GPU), cuda:1 (the second one) or mps (a GPU of Apple). auto "
        "is a GPU if this machine has one, else the CPU.",
        show_default="auto; with a recipe, the device of the recipe",
    ),
]
Html = Annotated[
    bool,
    typer.Option(
        "--html",
        help="Also write a report of the corpus next to the manifest: report.html, with players of suspicious "
        "recordings, and report.json. If the manifest exists already, only the report is written.",
    ),
]
HtmlSample = Annotated[
    int,
    typer.Option(
        "--html-sample",
        metavar="N",
        min=1,
        help="With --html: measure the sound of at most N recordings, spread evenly over the speakers.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for other programs.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
Recipe = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE.yaml",
        help="YAML file with all settings; recipes/ has examples with comments.",
        show_default=False,
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace one value of the recipe, such as seed=1 or output=runs/other. Repeatable.",
    ),
]
HistoryMixing = Annotated[
    float | None,
    typer.Option(
        metavar="PROBABILITY",
        min=0,
        max=1,
        help="Probability, 0 to 1, that inner steps read predicted frames in place of recorded ones. "
        "Synthesis reads predicted frames only.",
        show_default="0.5",
    ),
]
SpectralCorrection = Annotated[
    float | None,
    typer.Option(
        metavar="FRACTION",
        min=0,
        max=1,
        help="Fraction, 0 to 1, of the difference in mean spectrum to the recordings that is removed at the end.",
        show_default="0",
    ),
]
CloneSeed = Annotated[
    int | None,
    typer.Option(metavar="N", help="Random seed for the order of the sentences and for dropout.", show_default="0"),
]
