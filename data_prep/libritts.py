"""Reader of LibriTTS (Zen et al. 2019) and LibriTTS-R: `[SUBSET/]SPEAKER/CHAPTER/SPEAKER_CHAPTER_....wav`.

The text of a recording is in the file with the same name and the suffix `.normalized.txt` or, if this file is missing
or empty, `.original.txt`. The subset, such as `train-clean-100`, is the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.files import by_preference, files_below, first_of_stem, read_transcript
from data_prep.librispeech import recording
from data_prep.recording import Recording
from data_prep.speaker_tables import librivox_genders
from tts_meta.corpus import AUDIO_SUFFIXES

NORMALISED, ORIGINAL = ".normalized.txt", ".original.txt"


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart, with the speaker's gender."""
    files = files_below(corpus_dir)
    genders = librivox_genders(corpus_dir)
    audio_of = first_of_stem(by_preference(path for path in files if path.suffix.lower() in AUDIO_SUFFIXES))
    texts: dict[Path, list[Path]] = {}
    for suffix in (NORMALISED, ORIGINAL):
        for path in files:
            if path.name.endswith(suffix):
                texts.setdefault(path.with_name(path.name.removesuffix(suffix)), []).append(path)
    for stem in sorted(audio_of.keys() | texts.keys()):
        text, fault = "", f"no transcript: no file {NORMALISED} with its name"
        for path in texts.get(stem, ()):
            text, fault = read_transcript(path)
            if text.strip():
                break
        yield recording(stem, audio_of.get(stem), text, fault, genders, corpus_dir)


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of LibriTTS."""
    return next(corpus_dir.rglob(f"*{NORMALISED}"), None) is not None
