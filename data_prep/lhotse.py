"""Reader of any cut set of the library lhotse (Żelasko et al. 2021), so that its recipes can be used.

The source is a file such as `cuts.jsonl.gz`, or a folder in the form Shar. Each supervision of a cut is an utterance.
It is a part of its recording if it does not last as long as the recording. `custom["accent"]` is the accent, and
`custom["split"]` the split. Needs the extra `corpora`.
"""

from __future__ import annotations

import importlib
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from data_prep.recording import Recording
from data_prep.tables import Line, read_lines
from tts_meta.corpus.text_file import printable_path
from tts_meta.errors import TtsMetaError

_LINES = (".jsonl", ".jsonl.gz")
_TOLERANCE = 1e-3
"""Seconds by which a supervision may be shorter than the recording and is still the whole recording."""


def read(source: Path) -> Iterator[Recording]:
    """Yield every supervision of every cut, and every cut or line that cannot be used.

    Raises TtsMetaError if lhotse is not installed or cannot read the cut set.
    """
    lhotse = _load_lhotse()
    if source.name.endswith(_LINES):
        for line in read_lines(source):
            cut = _cut(line, lhotse)
            if cut is None:
                yield line.dropped(line.fault or "broken line: not a cut of lhotse")
            else:
                yield from _recordings(cut, line)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cuts = lhotse.CutSet.from_shar(in_dir=source) if source.is_dir() else lhotse.CutSet.from_file(source)
            for number, cut in enumerate(cuts, 1):
                yield from _recordings(cut, Line(source, number, cut.id))
    except TtsMetaError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise TtsMetaError(f"{printable_path(source)}: lhotse cannot read it ({reason}); give a cut set") from error


def _load_lhotse() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("lhotse.serialization")
            return importlib.import_module("lhotse")
    except ImportError as error:
        raise TtsMetaError("the corpus `lhotse` needs lhotse; install it with: pip install '.[corpora]'") from error


def _cut(line: Line, lhotse: ModuleType) -> Any:
    """Return the cut of a line, or None if the line has none."""
    try:
        cut = lhotse.serialization.deserialize_item(json.loads(line.text))
    except Exception:  # lhotse raises errors of many types for damaged lines
        return None
    return cut if hasattr(cut, "supervisions") and line.fault is None else None


@dataclass(frozen=True)
class _Audio:
    """The file of a cut and the duration of its recording in seconds, or the fault."""

    path: Path | None = None
    seconds: float = 0.0
    fault: str | None = None


def _recordings(cut: Any, line: Line) -> Iterator[Recording]:
    audio = _audio(cut, line.table.parent)
    if not cut.supervisions:
        yield line.dropped("no transcript: the cut has no supervision", cut.id)
    for supervision in cut.supervisions:
        custom = supervision.custom or {}
        start = getattr(cut, "start", 0.0) + max(0.0, supervision.start)
        end = getattr(cut, "start", 0.0) + min(cut.duration, supervision.end)
        is_whole = start <= _TOLERANCE and end >= audio.seconds - _TOLERANCE
        yield Recording(
            id=supervision.id,
            speaker=supervision.speaker or "",
            audio=audio.path,
            text=supervision.text or "",
            gender=supervision.gender or None,
            language=supervision.language or None,
            split=_string(custom.get("split")),
            fault=audio.fault,
            accent=_string(custom.get("accent")),
            start=None if is_whole else round(start, 6),
            end=None if is_whole else round(end, 6),
            listed_in=line.table,
            line=line.number,
        )


def _audio(cut: Any, folder: Path) -> _Audio:
    recording = getattr(cut, "recording", None)
    if recording is None or not recording.sources:
        return _Audio(fault=f"no recording in a {type(cut).__name__}; write its audio with CutSet.save_audios")
    source = recording.sources[0]
    if recording.transforms or len(recording.sources) > 1 or source.type != "file":
        fault = "not a plain file, but audio that lhotse makes; write it with CutSet.save_audios"
        return _Audio(fault=fault)
    channels = [cut.channel] if isinstance(cut.channel, int) else list(cut.channel)
    if channels != list(source.channels):
        fault = f"channel {channels[0]} of {len(source.channels)}; write each channel with CutSet.save_audios"
        return _Audio(fault=fault)
    path = folder / str(source.source)
    return _Audio(path if os.path.exists(path) else Path(os.path.abspath(str(source.source))), recording.duration)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
