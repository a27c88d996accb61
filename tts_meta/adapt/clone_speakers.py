"""`clone_speakers`: a voice file for each speaker of a manifest, by several workers, continued after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tts_meta.adapt.arguments import check_consent, check_settings
from tts_meta.adapt.clone import clone_examples
from tts_meta.adapt.learner_choice import base_of_learner, check_learner
from tts_meta.adapt.recordings import Recording, prepare_recordings
from tts_meta.adapt.settings import CloneSettings
from tts_meta.adapt.vocoder_task import require_adaptable_vocoder
from tts_meta.adapt.voice import SUFFIX
from tts_meta.adapt.voice_key import voice_key
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.executors import ONE_JOB, ContextWork, Workers, worker_pool
from tts_meta.files import atomic_file, check_writable
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder

RECORD_FILE = "voices.jsonl"
"""File in the output folder with one line for each voice: speaker, file, key, costs and warnings."""

Fields = dict[str, Any]


@dataclass(frozen=True)
class CloneModels:
    """Names of the models that adapt, from which each worker loads them; None is the default."""

    base: Path | None = None
    vocoder: str | None = None
    device: str = "auto"

    def load(self, settings: CloneSettings) -> tuple[Base, Vocoder | None]:
        """Return the base, and the vocoder if it adapts. Raises the errors of `check_learner`."""
        base = load_base(self.base or base_of_learner(settings.learner), self.device)
        check_learner(base, settings)
        if not settings.adapts_vocoder:
            return base, None
        return base, require_adaptable_vocoder(load_vocoder(self.vocoder, base.device), base)


@dataclass(frozen=True)
class _Speaker:
    """The recordings of a speaker, and the voice file to write. key: hash of all that the voice depends on."""

    name: str
    recordings: tuple[Recording, ...]
    path: Path
    key: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class _Context:
    base: Base
    vocoder: Vocoder | None
    settings: CloneSettings
    consent: str


def clone_speakers(
    manifest: Manifest,
    out: Path,
    settings: CloneSettings | None = None,
    *,
    sentences: int | None = None,
    models: CloneModels | None = None,
    consent: str = "",
    workers: Workers = ONE_JOB,
    force: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda line: None,
) -> list[Fields]:
    """Clone each speaker of a manifest into `out/SPEAKER.voice.safetensors`, and return the lines of `RECORD_FILE`.

    sentences: number of sentences to adapt on, the first ones of each speaker; None means all. workers: where voices
    are cloned; the files do not depend on it. force: replace voices of other settings. report: called with the number
    of voices that are done, and of all voices. warn: called with each warning about a recording. A voice that is in
    the folder already is not cloned again. If a speaker fails, the others are still cloned. Raises UsageError if the
    folder has voices of other settings or of another program. Raises TtsMetaError that names the first failed speaker.
    """
    settings, models = settings or CloneSettings(), models or CloneModels()
    check_settings(settings)
    check_consent(consent)
    base, vocoder = models.load(settings)
    context = _Context(base, vocoder, settings, consent)
    speakers = list(_speakers(manifest, out, context, sentences))
    done = _Record.open(out / RECORD_FILE, out)
    missing = done.missing(speakers, force)
    report(len(speakers) - len(missing), len(speakers))
    if missing:
        work = ContextWork(partial(_load, models, settings, consent), _clone, context)
        before = len(speakers) - len(missing)
        faults = _clone_all(missing, done, work, workers, lambda count: report(before + count, len(speakers)), warn)
        if faults:
            count = f" ({len(faults)} of {len(missing)} speakers failed)" if len(faults) > 1 else ""
            raise TtsMetaError(f"{faults[0]}{count}; the same command clones only the speakers that have no voice yet")
    return done.write(speakers)


def _speakers(manifest: Manifest, out: Path, context: _Context, sentences: int | None) -> Iterator[_Speaker]:
    by_speaker: dict[str, list[Recording]] = {name: [] for name in manifest.speakers}
    for utterance in manifest:
        if sentences is None or len(by_speaker[utterance.speaker]) < sentences:
            by_speaker[utterance.speaker].append(Recording(utterance.source, utterance.text))
    for name, recordings in by_speaker.items():
        try:
            key = voice_key(context.base, context.settings, context.vocoder, recordings)
        except OSError as error:
            raise TtsMetaError(f"{name}: cannot read {error.filename}: {error.strerror}; check the manifest") from error
        yield _Speaker(name, tuple(recordings), out / f"{name}{SUFFIX}", f"{key} {context.consent}".strip())


def _load(models: CloneModels, settings: CloneSettings, consent: str) -> _Context:
    return _Context(*models.load(settings), settings, consent)


def _clone_all(
    speakers: Sequence[_Speaker],
    record: _Record,
    work: ContextWork[_Context, _Speaker, Fields],
    workers: Workers,
    report: Callable[[int], None],
    warn: Callable[[str], None],
) -> list[str]:
    """Clone the speakers, note each voice in the record, and return the faults."""
    faults: list[str] = []
    jobs = min(workers.jobs, len(speakers))
    with worker_pool(jobs, workers.dask, in_process=workers.in_process, task_items=1) as pool:
        for count, (speaker, fields) in enumerate(pool.run(work, speakers), 1):
            for line in fields.get("warnings", ()):
                warn(line)
            if "fault" in fields:
                faults.append(f"{speaker.name}: {fields['fault']}")
                warn(faults[-1])
            else:
                record.add({"speaker": speaker.name, "voice": f"{speaker.name}{SUFFIX}", "key": speaker.key, **fields})
            report(count)
    return faults


def _clone(context: _Context, speaker: _Speaker) -> Fields:
    """Write the voice of a speaker, and return its fields for the record, or its fault."""
    warnings: list[str] = []
    try:
        examples = prepare_recordings(speaker.recordings, context.base, "new speaker", warnings.append)
        voice = clone_examples(
            context.base, examples, context.settings, consent=context.consent, vocoder=context.vocoder
        )
        voice.save(speaker.path)
    except UsageError:
        raise
    except TtsMetaError as error:
        return {"fault": str(error), "warnings": warnings}
    scores = {name: voice.scores[name] for name in ("sentences", "seconds")}
    return {"bytes": speaker.path.stat().st_size, **scores, "steps": voice.steps, "warnings": warnings}


class _Record:
    """The lines of `RECORD_FILE` by speaker. A line is added to the file as soon as its voice is written."""

    def __init__(self, path: Path, lines: Mapping[str, Fields]) -> None:
        self.path, self.lines = path, dict(lines)

    @classmethod
    def open(cls, path: Path, out: Path) -> _Record:
        """Read the file, or create it.

        Raises UsageError if there is no such file, but voices that it would list.
        """
        if not path.exists():
            found = next(out.rglob(f"*{SUFFIX}"), None) if out.is_dir() else None
            if found is not None:
                raise UsageError(f"{found} was made by another command; choose an empty folder")
            check_writable(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        lines: dict[str, Fields] = {}
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    fields = json.loads(line)
                    lines[fields["speaker"]] = fields
                except (ValueError, KeyError, TypeError):
                    continue  # a line that was cut off when the command was killed
        return cls(path, lines)

    def missing(self, speakers: Iterable[_Speaker], force: bool) -> list[_Speaker]:
        """Return the speakers without a voice. Raises UsageError for a voice of other settings, unless `force`."""
        missing = []
        for speaker in speakers:
            fields = self.lines.get(speaker.name)
            if fields is not None and speaker.path.is_file():
                if fields.get("key") == speaker.key:
                    continue
                if not force:
                    raise UsageError(
                        f"{speaker.path} was cloned with other settings, recordings or models; choose another folder, "
                        "or replace it with --force"
                    )
            missing.append(speaker)
        return missing

    def add(self, fields: Fields) -> None:
        """Add a line to the file."""
        self.lines[fields["speaker"]] = fields
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(fields, ensure_ascii=False) + "\n")

    def write(self, speakers: Sequence[_Speaker]) -> list[Fields]:
        """Write the file with the lines in the order of the speakers, and return their lines.

        Lines of other speakers, which an earlier command has cloned, follow.
        """
        names = [speaker.name for speaker in speakers]
        order = [*names, *sorted(set(self.lines) - set(names))]
        with atomic_file(self.path) as temporary:
            text = "".join(json.dumps(self.lines[name], ensure_ascii=False) + "\n" for name in order)
            temporary.write_text(text, encoding="utf-8")
        return [self.lines[name] for name in names]
