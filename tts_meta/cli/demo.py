"""`tts-meta demo`: the whole way once, on what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write into.")] = Path("tts-meta-demo"),
    steps: Annotated[int | None, typer.Option(min=0, help="Inner steps; the default of clone if not given.")] = None,
    base: Annotated[Path | None, typer.Option(help="Folder of the base voice; the shipped one if not given.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser when done.")] = False,
) -> None:
    """Clone a voice that is installed with the program.

    Recordings, base voice, clone and truth lie side by side in one folder, with a page to listen to.

    \b
    tts-meta demo --open
    """
    from rich.console import Console

    from tts_meta.cli.console import command_line
    from tts_meta.demo import run

    run(out, steps=steps, base=base, open_page=open_page, console=Console(), command=command_line())
