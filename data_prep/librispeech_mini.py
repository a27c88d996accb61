"""Reader of this project's subset of LibriSpeech and LJSpeech: `manifest.tsv` and a folder of Ogg files per speaker.

Columns: `split speaker gender source utterance file seconds sample_rate text text_punctuated`. The splits include
`train`, `train_noisy` (estimated SNR of 28 dB or less) and `eval` (speakers that are not in the training splits).
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
    """Yield every line of the table. Raises TtsMetaError if the table is missing or has another form."""
    table = corpus_dir / TABLE
    try:
        lines = table.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"cannot read {table}; give the folder that contains the corpus's {TABLE}") from error
    header = lines[0].split("\t")
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise TtsMetaError(f"{table} has no column {', '.join(missing)}; copy the table of the corpus again")
    for number, line in enumerate(lines[1:], 2):
        fields = line.split("\t")
        if len(fields) != len(header):
            raise TtsMetaError(f"{table}, line {number}: {len(fields)} fields instead of {len(header)}; copy it again")
        row = dict(zip(header, fields, strict=True))
        yield Recording(
            id=row["utterance"],
            speaker=row["speaker"],
            audio=corpus_dir / row["file"],
            text=_text(row),
            gender=row["gender"] or None,
            language="en",
            split=row["split"],
            listed_in=table,
            line=number,
        )


def _text(row: dict[str, str]) -> str:
    if not row["source"].startswith("LibriSpeech"):
        return row["text_punctuated"] or row["text"]
    if row["text_punctuated"]:
        # Capitals are emphasis in the printed book ("LUKE two", "SIR,"). A phonemizer would spell these words.
        return _CAPITAL_WORD.sub(lambda word: word[0].capitalize(), row["text_punctuated"])
    return sentence_case(row["text"])
