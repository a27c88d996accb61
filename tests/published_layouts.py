"""Miniature corpora in the published layouts of VCTK and LibriTTS, with recordings of the length of real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import soundfile
from corpus_speech import RATE, SENTENCES, spoken

Write = Callable[[Path, Mapping[str, tuple[str, ...]], int], Path]


def _recordings(speaker: int, count: int) -> list[tuple[str, float, int]]:
    """Return text, F0 and seed of each recording of a speaker."""
    texts = [" ".join((SENTENCES[n % 12], SENTENCES[(5 * n + speaker + 1) % 12])) for n in range(count)]
    return [(text, 100.0 + 25 * speaker, 100 * speaker + n) for n, text in enumerate(texts)]


def write_vctk(folder: Path, splits: Mapping[str, tuple[str, ...]], count: int) -> Path:
    """Write VCTK 0.92 with `count` recordings of each speaker. The corpus has no splits: their names are not used."""
    speakers = [speaker for names in splits.values() for speaker in names]
    table = ["ID  AGE  GENDER  ACCENTS  REGION COMMENTS"]
    for number, speaker in enumerate(speakers):
        table.append(f"{speaker}  23  {'FM'[number % 2]}    English    Southern  England")
        for n, (text, hertz, seed) in enumerate(_recordings(number, count), 1):
            audio = folder / "wav48_silence_trimmed" / speaker / f"{speaker}_{n:03d}_mic1.flac"
            words = folder / "txt" / speaker / f"{speaker}_{n:03d}.txt"
            audio.parent.mkdir(parents=True, exist_ok=True)
            words.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(audio, spoken(text, hertz, seed), RATE)
            words.write_text(f"{text}\n", encoding="utf-8")
    (folder / "speaker-info.txt").write_text("\n".join(table) + "\n", encoding="utf-8")
    return folder


def write_libritts(folder: Path, splits: Mapping[str, tuple[str, ...]], count: int) -> Path:
    """Write LibriTTS with `count` recordings of each speaker of each subset."""
    table, number = ["READER\tGENDER\tSUBSET\tNAME"], 0
    for subset, speakers in splits.items():
        for speaker in speakers:
            table.append(f"{speaker}\t{'FM'[number % 2]}\t{subset}\tReader {speaker}")
            for n, (text, hertz, seed) in enumerate(_recordings(number, count)):
                stem = folder / subset / speaker / "7" / f"{speaker}_7_{n:06d}_000000"
                stem.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(stem.with_suffix(".wav"), spoken(text, hertz, seed), RATE)
                for kind in ("normalized", "original"):
                    stem.with_suffix(f".{kind}.txt").write_text(text, encoding="utf-8")
            number += 1
    (folder / "speakers.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return folder
