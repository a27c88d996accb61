"""Files of the shards of a job array, and `merge`, which joins them to the manifest that one run writes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.pipeline.entries import Entry, PreparedCorpus, write_manifest
from data_prep.pipeline.shard import Shard
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.files import atomic_file

PARTS_FOLDER = "manifest.parts"

_ADVICE = f"delete the folder {PARTS_FOLDER} and prepare all shards again"


@dataclass(frozen=True)
class PartHeader:
    """First line of a part: the shard, and what all parts of one corpus have in common."""

    number: int
    count: int
    corpus: str
    folder: str
    total: int
    digest: str
    speeds: list[float]
    splits: list[str]
    features: str | None

    def common(self) -> dict[str, object]:
        """Return the fields that must be equal in all parts."""
        return dataclasses.asdict(dataclasses.replace(self, number=0))


def write_part(path: Path, header: PartHeader, entries: Iterable[Entry]) -> tuple[int, int]:
    """Write the entries of a shard; return the numbers of used and of dropped recordings."""
    used = dropped = 0
    with atomic_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as out:
        out.write(json.dumps(dataclasses.asdict(header), ensure_ascii=False) + "\n")
        for entry in entries:
            out.write(json.dumps([entry.kept, entry.dropped, list(entry.copies)]) + "\n")
            used, dropped = used + (entry.kept is not None), dropped + (entry.kept is None)
    return used, dropped


def merge(out_dir: str | Path) -> PreparedCorpus:
    """Join the parts of all shards in `out_dir` to `manifest.jsonl` and `dropped.jsonl`, and remove the parts.

    The files are the same, bit for bit, as those of one run of `prepare`. Raises UsageError if there is no part. Raises
    TtsMetaError if a part is missing or damaged, or if parts are of different corpora, settings or states of a corpus.
    """
    out_dir = Path(out_dir)
    folder = out_dir / PARTS_FOLDER
    paths = sorted(folder.glob("*.part"))
    if not paths:
        raise UsageError(f"{folder} has no parts; write them with `tts-meta prepare CORPUS DIR OUT --shard 1/N`")
    first = _header(paths[0])
    expected = [Shard(number, first.count).path(folder) for number in range(1, first.count + 1)]
    missing = [path.name for path in expected if path not in paths]
    if missing:
        raise TtsMetaError(
            f"{folder}: {len(missing)} of {first.count} parts are missing, the first is {missing[0]}; "
            "run `tts-meta prepare` for these shards"
        )
    if len(paths) != first.count:
        raise TtsMetaError(f"{folder}: parts of different numbers of shards; {_ADVICE}")
    for path in paths[1:]:
        if _header(path).common() != first.common():
            raise TtsMetaError(
                f"{path}: another corpus, setting or state of the corpus than in {paths[0].name}; {_ADVICE}"
            )

    def entries() -> Iterator[Entry]:
        for path in paths:
            yield from _entries(path)

    merged = write_manifest(entries, len(first.speeds), out_dir, first.folder)
    shutil.rmtree(folder, ignore_errors=True)
    return merged


def _header(path: Path) -> PartHeader:
    try:
        with open(path, encoding="utf-8") as file:
            return PartHeader(**json.loads(file.readline()))
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except (ValueError, TypeError) as error:
        raise TtsMetaError(f"{path}: damaged; delete it and prepare its shard again") from error


def _entries(path: Path) -> Iterator[Entry]:
    try:
        with open(path, encoding="utf-8") as file:
            file.readline()
            for line in file:
                kept, dropped, copies = json.loads(line)
                yield Entry(kept, dropped, tuple(copies))
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except (ValueError, TypeError) as error:
        raise TtsMetaError(f"{path}: damaged; delete it and prepare its shard again") from error
