"""Reader of Hi-Fi TTS (Bakhturina et al. 2021): JSON lines `READER_manifest_QUALITY_SPLIT.json` and a folder `audio`.

A line has the keys `audio_filepath`, relative to the corpus, `text` (without capitals and punctuation),
`text_no_preprocessing` and `text_normalized`. The normalised text is read. The quality is `clean` or `other`, and the
split of an utterance is `QUALITY_SPLIT`, such as `clean_train`. The speaker is the reader's number. The genders are
from the corpus's README.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.files import files_below, relative_id, subfolder_with
from data_prep.recording import Recording
from data_prep.tables import Line, read_lines
from tts_meta.corpus import AUDIO_SUFFIXES

AUDIO = "audio"
_TEXTS = ("text_normalized", "text_no_preprocessing", "text")
_MANIFEST = re.compile(r"(?P<reader>\d+)_manifest_(?P<split>(?:clean|other)_(?:train|dev|test))\.json")
_WOMEN = ("92", "8051", "9136", "11614", "11697", "12787")
_MEN = ("6097", "6670", "6671", "9017")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of the manifests, and every recording that is in none."""
    corpus_dir = subfolder_with(corpus_dir, AUDIO)
    used = set[Path]()
    for manifest in sorted(corpus_dir.glob("*_manifest_*.json")):
        match = _MANIFEST.fullmatch(manifest.name)
        if match is None:
            continue
        for line in read_lines(manifest):
            recording = _recording(line, match["reader"], match["split"], corpus_dir)
            if recording.audio is not None:
                used.add(recording.audio)
            yield recording
    folder = corpus_dir / AUDIO
    for path in files_below(folder) if folder.is_dir() else ():
        if path.suffix.lower() in AUDIO_SUFFIXES and path not in used:
            fault = "no transcript: not in a manifest of its reader"
            yield Recording(
                relative_id(path, folder), path.relative_to(folder).parts[0].split("_")[0], path, fault=fault
            )


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of Hi-Fi TTS."""
    return (corpus_dir / AUDIO).is_dir() and any(_MANIFEST.fullmatch(path.name) for path in corpus_dir.glob("*.json"))


def _recording(line: Line, reader: str, split: str, corpus_dir: Path) -> Recording:
    try:
        record = json.loads(line.text)
        name = record["audio_filepath"]
        text = next((record[key] for key in _TEXTS if record.get(key)), "")
        if not isinstance(name, str) or not isinstance(text, str) or ".." in Path(name).parts:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return line.dropped(
            line.fault or "broken line: not JSON with audio_filepath and text_normalized", speaker=reader
        )
    return Recording(
        id=relative_id(corpus_dir / AUDIO / name.removeprefix(f"{AUDIO}/"), corpus_dir / AUDIO),
        speaker=reader,
        audio=corpus_dir / name,
        text=text,
        gender="F" if reader in _WOMEN else "M" if reader in _MEN else None,
        language="en",
        split=split,
        fault=line.fault,
        listed_in=line.table,
        line=line.number,
    )
