"""Reader of speechocean762 (Zhang et al. 2021): Kaldi tables in `train` and `test`, and recordings in `WAVE`.

The paths in `wav.scp` are relative to the corpus folder. The texts are in capitals and are put into lower case. The
native language of all speakers is Mandarin, which is the accent. The genders are `m` and `f`, as published. The ages
(`spk2age`) and the pronunciation scores are not read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from data_prep.files import files_below, subfolder_with
from data_prep.kaldi_tables import KaldiFolder, is_kaldi
from data_prep.librispeech import sentence_case
from data_prep.recording import Recording
from tts_meta.corpus import AUDIO_SUFFIXES

AUDIO, SPLITS = "WAVE", ("train", "test")


def read(corpus_dir: Path) -> Iterator[Recording]:
    """Yield every line of the tables, and every recording that is in neither split."""
    corpus_dir = subfolder_with(corpus_dir, AUDIO)
    used = set[Path]()
    for split in SPLITS:
        folder = KaldiFolder(corpus_dir / split, corpus_dir, split, language="en", accent="Mandarin")
        for recording in folder.read():
            if recording.audio is not None:
                used.add(recording.audio)
            yield dataclasses.replace(recording, text=sentence_case(recording.text))
    for path in files_below(corpus_dir / AUDIO) if (corpus_dir / AUDIO).is_dir() else ():
        if path.suffix.lower() in AUDIO_SUFFIXES and path not in used:
            speaker = path.parent.name.removeprefix("SPEAKER")
            yield Recording(path.stem, speaker, path, fault="no transcript: in no table of a split")


def is_layout(corpus_dir: Path) -> bool:
    """Return whether a folder has the layout of speechocean762."""
    return (corpus_dir / AUDIO).is_dir() and any(is_kaldi(corpus_dir / split) for split in SPLITS)
