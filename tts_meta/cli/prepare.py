"""`tts-meta prepare`: write the manifest of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.console import print_json, print_text
from tts_meta.cli.options import AsJson
from tts_meta.cli.progress import progress_bar
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError
from tts_meta.files import check_writable


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS",
            help="Layout of the corpus: folder (your own recordings), librispeech, librispeech-mini, libritts or vctk.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the corpus. It is only read.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for manifest.jsonl and dropped.jsonl.", show_default=False)
    ],
    transcripts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For CORPUS `folder`: list of transcripts, such as lines FILE|TEXT, or a CSV table with headings. All "
            "forms: docs/corpora.md.",
            show_default="metadata.csv of the folder, or its only list, or .txt files",
        ),
    ] = None,
    speeds: Annotated[
        list[float] | None,
        typer.Option(
            "--perturb-speed",
            metavar="FACTOR",
            help="Also add artificial speakers: all recordings played at this speed (0.5 to 2), written into OUT. "
            "0.9 is slower and lower. Repeatable.",
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="With --perturb-speed: only recordings of this split of the corpus, such as train. Repeatable.",
            show_default="all",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing manifest.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the recordings, transcripts and speakers of a corpus.

    The list, manifest.jsonl, is what the training verbs and `tts-meta evaluate` read. Recordings that cannot be used
    are listed in dropped.jsonl, each with the reason. Recordings are not copied.

    \b
    Examples:
      tts-meta prepare folder my_recordings runs/mine
      tts-meta prepare vctk VCTK-Corpus-0.92 runs/vctk --perturb-speed 0.9 --perturb-speed 1.1
    """
    from data_prep import DROPPED_FILE, MANIFEST_FILE
    from data_prep import prepare as prepare_corpus

    path = out / MANIFEST_FILE
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; choose another folder, or overwrite it with --force")
    if as_json:
        check_stdout("the JSON")
    check_writable(path)
    if splits and not speeds:
        raise UsageError("--split selects recordings for --perturb-speed; give --perturb-speed too")
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
    hours = manifest.seconds / 3600
    print_text(f"{path}: {len(manifest)} utterances, {len(manifest.speakers)} speakers, {hours:.2f} hours")
    if dropped:
        print_text(f"{dropped} recordings are not used; the reasons are in {out / DROPPED_FILE}")
