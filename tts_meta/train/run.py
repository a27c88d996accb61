"""What every training run does: it claims its folder, and shows how far it is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tts_meta.config import Section, dump_config
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file

_HOW = ("hours", "threads", "workers", "device")
"""How long and on what a run computes may change between its parts; what it computes may not."""


def claim_folder(output: Path, config: Section) -> None:
    """Write the resolved configuration as `config.json`, or check that the folder was begun with the same one."""
    fields = type(config).model_fields
    fixed = config.model_copy(update={name: fields[name].default for name in _HOW if name in fields})
    path, text = output / "config.json", dump_config(fixed)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise TtsMetaError(f"{output} holds a run with another configuration; choose another output folder")
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def progress_bar(rank: int) -> Progress:
    """A bar on stderr with a note, `task.fields["note"]`; only the first process shows and prints anything."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True, quiet=rank > 0),
        disable=rank > 0,
    )
