"""The project's own mix of LibriSpeech and LJSpeech: `manifest.tsv` beside one folder of Ogg files per speaker.

Columns: `split speaker gender source utterance file seconds sample_rate text text_punctuated`. Among the
splits are `train`, `train_noisy` (estimated SNR of 28 dB or less) and `eval` (speakers that training never hears).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.librispeech import sentence_case
from data_prep.recording import Recording
from tts_meta.errors import TtsMetaError

TABLE = "manifest.tsv"

_COLUMNS = (
    "split",
    "speaker",
    "gender",
    "source",
    "utterance",
    "file",
    "text",
    "text_punctuated",
)
_CAPITAL_WORD = re.compile(r"(?<![\w'])[A-Z]{3,}(?![\w'])")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of the table. Raises TtsMetaError where the table is missing or not of this form."""
    table = corpus_dir / TABLE
    try:
        lines = table.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"cannot read {table}; give the folder that holds the corpus's {TABLE}") from error
    header = lines[0].split("\t")
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise TtsMetaError(f"{table} has no column {', '.join(missing)}; give the corpus's own table")
    for number, line in enumerate(lines[1:], 2):
        fields = line.split("\t")
        if len(fields) != len(header):
            raise TtsMetaError(f"{table}, line {number}: {len(fields)} fields, not {len(header)}; copy the table again")
        row = dict(zip(header, fields, strict=True))
        yield Recording(
            id=row["utterance"],
            speaker=row["speaker"],
            audio=corpus_dir / row["file"],
            text=_text(row),
            gender=row["gender"] or None,
            language="en",
            split=row["split"],
        )


def _text(row: dict[str, str]) -> str:
    if not row["source"].startswith("LibriSpeech"):
        return row["text_punctuated"] or row["text"]
    if row["text_punctuated"]:
        # Emphasis of the printed book ("LUKE two", "SIR,"), which a phonemizer would spell letter by letter.
        return _CAPITAL_WORD.sub(lambda word: word[0].capitalize(), row["text_punctuated"])
    return sentence_case(row["text"])
