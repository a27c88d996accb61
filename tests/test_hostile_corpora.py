"""Tests of the readers of corpora with damaged tables: a reader yields entries or raises one error, and never hangs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from data_prep import CORPORA, Recording
from data_prep.recording import fault_before_reading
from tts_meta.errors import TtsMetaError

TREES: dict[str, dict[str, str]] = {
    "cmu-arctic": {"cmu_us_bdl_arctic/etc/txt.done.data": '( arctic_a0001 "Text." )\n( arctic_a0002 "More." )\n'},
    "common-voice": {
        "validated.tsv": "client_id\tpath\tsentence\tgender\nc1\ta.mp3\tText.\tmale\nc2\tb.mp3\tMore.\t\n",
        "train.tsv": "client_id\tpath\tsentence\nc1\ta.mp3\tText.\n",
        "invalidated.tsv": "client_id\tpath\tsentence\nc3\tc.mp3\tText.\n",
        "clips/a.mp3": "x",
    },
    "hifi-tts": {"92_manifest_clean_dev.json": '{"audio_filepath": "audio/92_clean/1/a.flac", "text": "a"}\n'},
    "l2-arctic": {"ABA/transcript/arctic_a0001.txt": "Text.", "ABA/wav/arctic_a0001.wav": "x"},
    "librispeech": {"84/121/84-121.trans.txt": "84-121-0000 TEXT\n84-121-0001 MORE\n", "SPEAKERS.TXT": "84 | F\n"},
    "libritts": {"84/121/84_121.trans.tsv": "84_121_0\tText.\tText.\n", "speakers.tsv": "84\tF\ttrain\tname\n"},
    "libritts-r": {"dev_bad_sample_list.txt": "./dev/84/121/84_121_0.wav\n", "84/84_0.normalized.txt": "Text."},
    "ljspeech": {"metadata.csv": "LJ001-0001|Text.|Text.\nLJ001-0002|More.|More.\n"},
    "manifest": {"list.json": '{"audio": "a.wav", "text": "Text.", "speaker": "a", "offset": 1, "duration": 2}\n'},
    "mls": {"metainfo.txt": "10 | F | train\n", "train/transcripts.txt": "10_20_1\ttext\n10_20_2\tmore\n"},
    "speechocean762": {
        "train/wav.scp": "a\tWAVE/S/a.WAV\nb\tWAVE/S/b.WAV\n",
        "train/text": "a\tTEXT\nb\tMORE\n",
        "train/utt2spk": "a\ts\nb\ts\n",
        "train/spk2gender": "s\tm\n",
        "train/segments": "a a 0 1\n",
    },
    "vctk": {
        "txt/p225/p225_001.txt": "Text.",
        "wav48/p225/p225_001.wav": "x",
        "speaker-info.txt": "p225 23 F English\n",
    },
}
PIECES = [
    b"\xff",
    b"\0",
    b"\t",
    b"|",
    b"\n",
    b"\r",
    b'"',
    b"{",
    b"(",
    b"..",
    b"/",
    b"nan",
    b"1e999",
    b"\xe2\x80\xa8",
    b" ",
]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Insert, remove or repeat pieces of a table."""
    for _ in range(draw.randint(1, 6)):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice([0, 0, 1, 10]))
        piece = draw.choice([draw.choice(PIECES), content[start : start + 20] * 2, b"x" * draw.choice([300, 5000])])
        content = content[:start] + piece + content[end:]
    return content


@pytest.mark.parametrize("corpus", sorted(TREES))
def test_a_damaged_table_gives_entries_or_one_error(tmp_path: Path, corpus: str) -> None:
    draw, files = random.Random(corpus), TREES[corpus]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    source = tmp_path / "list.json" if corpus == "manifest" else tmp_path
    assert len(read(corpus, source)) > 0
    for _ in range(60):
        name = draw.choice(sorted(files))
        (tmp_path / name).write_bytes(damaged(files[name].encode(), draw))
        read(corpus, source)
        (tmp_path / name).write_text(files[name])


def read(corpus: str, source: Path) -> list[Recording]:
    """Read a corpus and check the fields of its entries, or return nothing if the reader raises its error."""
    try:
        recordings = list(CORPORA[corpus](source))
    except TtsMetaError as error:
        assert "\n" not in str(error)
        return []
    for recording in recordings:
        fault = fault_before_reading(recording)
        assert fault is None or "\n" not in fault
        assert (recording.line is None) == (recording.listed_in is None)
    return recordings
