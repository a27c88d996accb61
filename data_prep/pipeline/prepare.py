"""`prepare_corpus`: list the recordings, read them in parallel, and write the manifest or the part of a shard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.corpora import CORPORA, choose_reader
from data_prep.pipeline.audio_job import AudioJob
from data_prep.pipeline.entries import (
    DROPPED_FILE,
    MANIFEST_FILE,
    Entry,
    Fields,
    NothingUsableError,
    PreparedCorpus,
    write_manifest,
)
from data_prep.pipeline.journal import Journal
from data_prep.pipeline.listing import Expansion, Listing, list_recordings
from data_prep.pipeline.parts import PARTS_FOLDER, PartHeader, write_part
from data_prep.pipeline.shard import Shard
from data_prep.pipeline.spool import Spool
from data_prep.pipeline.transcribed import AsrOptions, transcribed
from data_prep.pipeline.work import Report, Workers, finish_jobs
from data_prep.recording import Recording, dropped_line, to_utterance
from data_prep.speed_perturbation import check_speeds, perturbed_utterance
from tts_meta.corpus import Utterance
from tts_meta.corpus.manifest import ManifestLines
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import check_writable

PERTURBED_FOLDER = "speed_perturbed"
JOURNAL_FILE = ".manifest.journal"


@dataclass(frozen=True)
class PreparedPart:
    """What was written for a shard: path of the part, and numbers of utterances and of dropped recordings."""

    path: Path
    utterances: int
    dropped: int


@dataclass(frozen=True)
class PrepareOptions:
    """Settings of `prepare_corpus`.

    speeds, splits: write copies of the recordings of these splits at these speeds; no splits means all. transcripts:
    the list of a corpus `folder`. features: folder of a feature cache to fill with log-mels of the default audio
    settings. shard: the part to write, or None for the whole corpus. asr: transcribe recordings without a text, and cut
    long recordings into sentences.
    """

    speeds: Sequence[float] = ()
    splits: Sequence[str] = ()
    transcripts: str | Path | None = None
    features: str | Path | None = None
    shard: Shard | None = None
    workers: Workers = field(default_factory=Workers)
    asr: AsrOptions | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """A recording with its utterance or its fault, and the jobs of its copies."""

    recording: Recording
    result: Utterance | str
    copies: tuple[AudioJob, ...] = ()


def prepare_corpus(
    corpus_name: str,
    corpus_dir: str | Path,
    out_dir: str | Path,
    options: PrepareOptions,
    report: Report = lambda done, total: None,
) -> PreparedCorpus | PreparedPart:
    """Write `manifest.jsonl` and `dropped.jsonl` of a corpus, or the part of a shard for `merge`; see `prepare`.

    Finished recordings are noted in a journal in `out_dir`. It is removed at the end. After a stop the same call
    continues: a recording whose path, size and time of change are in the journal is not read again. The files do not
    depend on stops, nor on the number and kind of workers. Raises as `prepare`.
    """
    corpus_dir, out_dir = Path(corpus_dir).resolve(), Path(out_dir)
    read = choose_reader(corpus_name, corpus_dir, options.transcripts)
    speeds = check_speeds(options.speeds)
    shard, copies_dir = options.shard or Shard(), (out_dir / PERTURBED_FOLDER).resolve()
    features = None if options.features is None else Path(options.features).resolve()
    part = None if options.shard is None else shard.path(out_dir / PARTS_FOLDER)
    outputs = [out_dir / MANIFEST_FILE, out_dir / DROPPED_FILE] if part is None else [part]
    for path in [*outputs, *([copies_dir / "recording.flac"] if speeds else [])]:
        check_writable(path)
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(out_dir / JOURNAL_FILE if part is None else part.with_suffix(".journal")))

        expand = _expansion(options, journal, report, outputs[0])
        listing = stack.enter_context(
            list_recordings(read(corpus_dir), shard, outputs[0], copies_dir, features, expand)
        )
        if not listing.total:
            source = f"{CORPORA[corpus_name].__module__.replace('.', '/')}.py"
            raise TtsMetaError(
                f"{corpus_dir} has no recordings in the layout of {corpus_name!r}; {source} describes it"
            )
        if speeds:
            _check_splits(options.splits, listing.splits)
        copying = _Copying(tuple(speeds), frozenset(options.splits if listing.splits else ()), copies_dir, features)
        finish_jobs(lambda: (item.job for item in listing.recordings), journal, options.workers, report)
        judged = stack.enter_context(contextlib.closing(_judge(listing, journal, copying, outputs[0])))
        if speeds:
            finish_jobs(lambda: (job for item in judged for job in item.copies), journal, options.workers, report)

        def entries() -> Iterator[Entry]:
            return _entries(judged, copying, journal, out_dir)

        try:
            if part is None:
                written = write_manifest(entries, len(speeds), out_dir, str(corpus_dir))
            else:
                header = _header(corpus_name, corpus_dir, shard, listing, options, copying)
                written = PreparedPart(part, *write_part(part, header, entries()))
        except NothingUsableError:
            journal.remove()
            raise
        journal.remove()
        return written


def _expansion(options: PrepareOptions, journal: Journal, report: Report, near: Path) -> Expansion | None:
    """Return the function that transcribes recordings, or None without speech recognition."""
    asr = options.asr
    if asr is None:
        return None
    return lambda recordings: transcribed(recordings, asr, journal, options.workers, report, near)


@dataclass(frozen=True)
class _Copying:
    """At which speeds recordings are copied, of which splits (all if empty), into which folder."""

    speeds: tuple[float, ...]
    splits: frozenset[str]
    folder: Path
    features: Path | None

    def jobs(self, utterance: Utterance) -> tuple[AudioJob, ...]:
        """Return a job for each speed, or none if the utterance is not copied."""
        if self.splits and utterance.split not in self.splits:
            return ()
        create = AudioJob.create
        jobs = [create(utterance.audio, utterance.source, self.features, speed, self.folder) for speed in self.speeds]
        if None in jobs:
            raise TtsMetaError(f"{utterance.audio}: removed while the corpus is prepared; prepare it again")
        return tuple(job for job in jobs if job is not None)


def _check_splits(wanted: Sequence[str], present: frozenset[str]) -> None:
    for name in wanted:
        if present and name not in present:
            raise UsageError(f"no split named {name!r}; the corpus has: {', '.join(sorted(present))}")


def _judge(listing: Listing, journal: Journal, copying: _Copying, near: Path) -> Spool[_Judged]:
    """Decide which recordings are used, and what is copied: the first recording of each id."""
    judged, ids = Spool[_Judged](near), set[str]()
    for item in listing.recordings:
        result = item.fault
        if item.job is not None:
            read = journal.results[item.job.key]
            result = read.fault or to_utterance(item.recording, read.seconds or 0.0)
        copies: tuple[AudioJob, ...] = ()
        if isinstance(result, Utterance) and result.id not in ids:
            ids.add(result.id)
            copies = copying.jobs(result)
        judged.append(_Judged(item.recording, result or "missing audio", copies))
    return judged


def _entries(judged: Spool[_Judged], copying: _Copying, journal: Journal, out_dir: Path) -> Iterator[Entry]:
    lines = ManifestLines(out_dir)
    for item in judged:
        utterance = item.result
        if isinstance(utterance, str):
            yield Entry(None, dropped_line(item.recording, utterance, out_dir))
            continue
        copies: list[Fields | None] = [None] * len(copying.speeds)
        for number, (job, speed) in enumerate(zip(item.copies, copying.speeds, strict=False)):
            made = journal.results[job.key]
            copy = perturbed_utterance(utterance, speed, copying.folder / (made.file or ""), made.seconds or 0.0)
            if fault := copy.fault():
                raise TtsMetaError(f"{copy.id[:60]!a}: {fault}; correct it in the corpus")
            copies[number] = lines.record(copy)
        reason = f"duplicate id {utterance.id}"
        yield Entry(lines.record(utterance), dropped_line(item.recording, reason, out_dir), tuple(copies))


def _header(
    corpus_name: str, corpus_dir: Path, shard: Shard, listing: Listing, options: PrepareOptions, copying: _Copying
) -> PartHeader:
    return PartHeader(
        number=shard.number,
        count=shard.count,
        corpus=corpus_name,
        folder=str(corpus_dir),
        total=listing.total,
        digest=listing.digest,
        speeds=list(copying.speeds),
        splits=list(options.splits),
        features=None if copying.features is None else str(copying.features),
    )
