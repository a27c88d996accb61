"""`tts-meta merge`: join the parts that the jobs of a job array have prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tts_meta.cli.corpus_report import report_corpus, report_existing
from tts_meta.cli.options import AsJson, Html, HtmlSample
from tts_meta.cli.prepare import print_prepared
from tts_meta.cli.streams import check_stdout
from tts_meta.errors import UsageError


def merge(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder OUT of `tts-meta prepare --shard`.", show_default=False)
    ],
    html: Html = False,
    html_sample: HtmlSample = 2000,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing manifest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Join the parts of `prepare --shard` to one manifest.

    The files manifest.jsonl and dropped.jsonl are the same as those of one run of `tts-meta prepare` without --shard.
    The parts are removed.

    \b
    Examples:
      tts-meta merge runs/vctk

    \b
    The parts that it joins:
      tts-meta prepare vctk VCTK-Corpus-0.92 runs/vctk --shard 1/2
      tts-meta prepare vctk VCTK-Corpus-0.92 runs/vctk --shard 2/2
    """
    from data_prep import DROPPED_FILE, MANIFEST_FILE, PARTS_FOLDER
    from data_prep import merge as merge_parts

    path = out / MANIFEST_FILE
    if html and path.exists() and not force and not (out / PARTS_FOLDER).exists():
        report_existing(path, html_sample, None, None, as_json)
        return
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; overwrite it with --force")
    if as_json:
        check_stdout("the JSON")
    print_prepared(merge_parts(out), out / DROPPED_FILE, as_json)
    if html:
        report_corpus(path, html_sample, None, None)
