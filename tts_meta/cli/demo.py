"""`tts-meta demo`: clone a voice that is installed with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.options import BaseFolder, Device, InnerSteps


def demo(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the results; an earlier demo is replaced."),
    ] = Path("tts-meta-demo"),
    steps: InnerSteps = None,
    base: BaseFolder = None,
    device: Device = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a web browser when done.")] = False,
) -> None:
    """Clone a voice that is installed with the program.

    The demo needs no recordings and no network. It synthesises recordings of one speaker, clones the voice of this
    speaker, and writes `index.html`. This page plays the recordings, and new sentences in the average voice of the base
    model, in the cloned voice, and by the original speaker.

    \b
    Examples:
      tts-meta demo
      tts-meta demo --open
    """
    from rich.console import Console

    from tts_meta.cli.console import command_line
    from tts_meta.demo import run

    options = {"steps": steps, "base": base, "device": device, "open_page": open_page}
    run(output, **options, console=Console(), command=command_line())
