"""Reader of VCTK (Yamagishi et al. 2019), versions 0.80 and 0.92, with recordings and texts in separate folders.

A recording is `wav48_silence_trimmed/SPEAKER/SPEAKER_001_mic1.flac` in version 0.92 and `wav48/SPEAKER/SPEAKER_001.wav`
in version 0.80. The text of this recording is `txt/SPEAKER/SPEAKER_001.txt`. The recording of the second microphone is
read only if that of the first is missing. Speakers p280 and p315 have only the first microphone, p315 has no texts, and
p362 has texts without recordings. `speaker-info.txt` has gender and accent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.files import by_preference, files_below, read_transcript, subfolder_with
from data_prep.recording import Recording
from data_prep.speaker_tables import vctk_speakers
from tts_meta.corpus import AUDIO_SUFFIXES, name_stem

AUDIO_FOLDERS, TEXTS = ("wav48_silence_trimmed", "wav48"), "txt"
_MICROPHONE = re.compile(r"_mic\d$")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every recording and every transcript, including those without a counterpart, with gender and accent."""
    corpus_dir = subfolder_with(corpus_dir, TEXTS)
    speakers = vctk_speakers(corpus_dir)
    audio_of: dict[str, Path] = {}
    for folder in (corpus_dir / name for name in AUDIO_FOLDERS if (corpus_dir / name).is_dir()):
        for path in by_preference(file for file in files_below(folder) if file.suffix.lower() in AUDIO_SUFFIXES):
            audio_of.setdefault(_identity(path), path)
    texts = corpus_dir / TEXTS
    text_files = files_below(texts) if texts.is_dir() else []
    text_of = {path.stem: path for path in text_files if path.suffix.lower() == ".txt"}
    for name in sorted(audio_of.keys() | text_of.keys()):
        path = audio_of.get(name)
        speaker = (path or text_of[name]).parent.name
        text, fault = "", f"no transcript: no {TEXTS}/{speaker}/{name}.txt"
        if name in text_of:
            text, fault = read_transcript(text_of[name])
        gender, accent = speakers.get(speaker, (None, None))
        yield Recording(
            *(name, speaker, path, text),
            gender=gender,
            language="en",
            fault=fault,
            accent=accent,
            listed_in=text_of.get(name),
            line=1 if name in text_of else None,
        )


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of VCTK."""
    return (corpus_dir / TEXTS).is_dir() and any((corpus_dir / name).is_dir() for name in AUDIO_FOLDERS)


def _identity(path: Path) -> str:
    return _MICROPHONE.sub("", name_stem(path.name))
