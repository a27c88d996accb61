"""`tts-meta prepare`: a corpus as it was published to a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_json, print_text, progress_bar
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError
from tts_meta.files import check_writable


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS",
            help="Kind of corpus: folder, librispeech, librispeech-mini, libritts or vctk.",
            show_default=False,
        ),
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds it.", show_default=False)],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Folder to write manifest.jsonl, and the recordings of made speakers, into; the others stay.",
            show_default=False,
        ),
    ],
    transcripts: Annotated[
        Path | None,
        typer.Option(help="A folder's list of transcripts. Default: its metadata.csv, or its only list."),
    ] = None,
    speeds: Annotated[
        list[float] | None,
        typer.Option("--perturb-speed", help="Also make speakers by speed perturbation, such as 0.9; repeatable."),
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", metavar="SPLIT", help="Make speakers of this split only; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing manifest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the manifest of a corpus.

    \b
    tts-meta prepare folder my_recordings runs/mine
    """
    from data_prep import DROPPED_FILE, MANIFEST_FILE
    from data_prep import prepare as prepare_corpus

    path = out / MANIFEST_FILE
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another folder, or overwrite it with --force")
    if as_json:
        check_stdout("the JSON")
    check_writable(path)
    if splits and not speeds:
        raise UsageError("--split selects what to perturb: give --perturb-speed too")
    with progress_bar("recordings") as bar:
        manifest = prepare_corpus(corpus, directory, out, speeds or (), splits or (), transcripts, bar.update)
    dropped = sum(1 for _ in (out / DROPPED_FILE).open(encoding="utf-8"))
    if as_json:
        print_json(
            {
                "manifest": str(path),
                "utterances": len(manifest),
                "speakers": list(manifest.speakers),
                "seconds": manifest.seconds,
                "dropped": dropped,
            }
        )
        return
    print_text(
        f"{path}: {len(manifest)} utterances of {len(manifest.speakers)} speakers, {manifest.seconds / 3600:.2f} h"
    )
    if dropped:
        print_text(f"{dropped} recordings were left out; {out / DROPPED_FILE} says why")
