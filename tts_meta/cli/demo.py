"""`tts-meta demo`: clone a voice that is installed with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.options import BaseFolder, InnerSteps


def demo(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the results; an earlier demo is replaced."),
    ] = Path("tts-meta-demo"),
    steps: InnerSteps = None,
    base: BaseFolder = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a web browser when done.")] = False,
) -> None:
    """Clone a voice that is installed with the program.

    The demo needs no recordings and no network. The folder then holds the recordings that were cloned, sentences in the
    average voice of the base model, the same sentences in the cloned voice and in the real one, and `index.html`, a
    page that plays them.

    \b
    Examples:
      tts-meta demo
      tts-meta demo --open
    """
    from rich.console import Console

    from tts_meta.cli.console import command_line
    from tts_meta.demo import run

    run(output, steps=steps, base=base, open_page=open_page, console=Console(), command=command_line())
