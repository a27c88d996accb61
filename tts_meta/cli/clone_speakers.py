"""`tts-meta clone-speakers`: a voice file for each speaker of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_json, print_text, print_warning
from tts_meta.cli.error_reporting import Interrupted
from tts_meta.cli.options import (
    AsJson,
    BaseFolder,
    CloneSeed,
    Device,
    InnerSteps,
    LearnerName,
)
from tts_meta.cli.streams import check_stdout
from tts_meta.cli.work_progress import work_progress
from tts_meta.cli.workers import Dask, ModelJobs, workers_of


def clone_speakers(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="Manifest of `tts-meta prepare`.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder for SPEAKER.voice.safetensors and the list voices.jsonl.", show_default=False
        ),
    ],
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split", metavar="NAME", help="Clone the speakers of this split. Repeatable.", show_default="all"
        ),
    ] = None,
    speakers: Annotated[
        list[str] | None,
        typer.Option("--speaker", metavar="NAME", help="Clone only this speaker. Repeatable.", show_default="all"),
    ] = None,
    sentences: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Adapt on the first N sentences of each speaker.", show_default="all"),
    ] = None,
    learner: LearnerName = None,
    steps: InnerSteps = None,
    seed: CloneSeed = None,
    base: BaseFolder = None,
    consent: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Note in every voice file on who agreed to the cloning, and when.", show_default=False
        ),
    ] = "",
    device: Device = None,
    jobs: ModelJobs = None,
    dask: Dask = None,
    force: Annotated[bool, typer.Option("--force", help="Replace voices of other settings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Clone every speaker of a manifest.

    Each voice is the same as that of `tts-meta clone` with the same recordings. If the command is stopped, or a speaker
    fails, the same command clones only the speakers that have no voice yet. Clone a voice only if its owner agrees.

    \b
    Examples:
      tts-meta clone-speakers runs/mine/manifest.jsonl voices/mine --sentences 10
      tts-meta clone-speakers runs/mine/split.jsonl voices/mine --split test --jobs 4
    """
    if as_json:
        check_stdout("the JSON")
    from tts_meta.adapt.clone_speakers import RECORD_FILE, CloneModels
    from tts_meta.adapt.clone_speakers import clone_speakers as clone_all
    from tts_meta.adapt.settings import CloneSettings
    from tts_meta.corpus import Manifest

    workers = workers_of(jobs, dask)
    options = {"learner": learner, "steps": steps, "seed": seed}
    settings = CloneSettings(**{name: value for name, value in options.items() if value is not None})
    selected = Manifest.load(manifest).of_split(*(splits or ()))
    if speakers:
        selected = selected.of_speakers(speakers)
    try:
        with work_progress("voices") as report:
            rows = clone_all(
                selected,
                out,
                settings,
                sentences=sentences,
                models=CloneModels(base, None, device or "auto"),
                consent=consent,
                workers=workers,
                force=force,
                report=report,
                warn=print_warning,
            )
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; the same command clones only the speakers that have no voice yet") from error
    if as_json:
        print_json({"folder": str(out), "voices": rows})
    else:
        print_text(f"{len(rows)} voice{'s' * (len(rows) != 1)} in {out}; {out / RECORD_FILE} lists them")
