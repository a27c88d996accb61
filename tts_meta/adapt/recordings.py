"""Recordings of a new speaker, checked before any work: each fault is one line that names the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tts_meta.audio import MelSpec, prepare_waveform, read_audio
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError
from tts_meta.models.base import Base

MOST_SECONDS = 60.0
"""Longest single recording; sentences are what is wanted."""
FEWEST_SECONDS = 1.0
"""Least speech in all."""
_CLIPPED_PART = 0.002
_CLIPPED_LEVEL = 0.999


@dataclass(frozen=True)
class Recording:
    """One recorded sentence and what is said in it."""

    audio: Path
    text: str


def find_transcripts(
    audio: Sequence[Path], transcripts: Path | None = None, transcribe: Callable[[Path], str] | None = None
) -> list[Recording]:
    """Pair each recording with its text.

    The text comes from `transcripts` (lines `FILE|TEXT`, FILE a name with or without folder and suffix), else from a
    `.txt` beside the recording, else from `transcribe`. Raises TtsMetaError naming the file that has none.
    """
    listed = {} if transcripts is None else _read_list(transcripts)
    recordings = []
    for path in audio:
        beside = path.with_suffix(".txt")
        if transcripts is not None:
            text = next((listed[key] for key in (str(path), path.name, path.stem) if key in listed), None)
            if text is None:
                raise TtsMetaError(f"{path}: not in {transcripts}; add a line `{path.name}|TEXT`")
        elif beside.is_file():
            text = _read_text(beside)
        elif transcribe is not None:
            text = transcribe(path)
        else:
            raise TtsMetaError(f"{path}: no transcript; write {beside.name} beside it, or use --transcripts or --asr")
        if not text.strip():
            raise TtsMetaError(f"{path}: its transcript is empty; write down what is said")
        recordings.append(Recording(path, " ".join(text.split())))
    return recordings


def align_recordings(
    recordings: Sequence[Recording], base: Base, speaker: str, warn: Callable[[str], None]
) -> list[Example]:
    """Features, symbols and durations of each recording.

    `warn` is told of what may harm the voice: a narrow band, or a transcript that is plainly not what is said. Raises
    TtsMetaError naming the file for all that makes cloning senseless, and where all recordings together are too short.
    """
    if not recordings:
        raise TtsMetaError("no recordings given; give at least one audio file")
    mel_spec = MelSpec(base.config.audio.mel)
    rate = base.config.audio.mel.sample_rate
    examples, seconds = [], 0.0
    for recording in recordings:
        samples = read_audio(recording.audio, rate, MOST_SECONDS)
        clipped = float(np.mean(np.abs(samples) >= _CLIPPED_LEVEL))
        if clipped > _CLIPPED_PART:
            raise TtsMetaError(
                f"{recording.audio}: clipped, {100 * clipped:.1f}% of it is at full scale; record it again more quietly"
            )
        waveform = prepare_waveform(samples, base.config.audio, str(recording.audio))
        seconds += len(waveform) / rate
        if len(waveform) < base.config.audio.mel.n_fft:
            raise TtsMetaError(f"{recording.audio}: too short to hold a word; leave it out")
        with torch.inference_mode():
            mel = mel_spec(torch.from_numpy(waveform)[None])[0].clone()
        tokens = base.encode(recording.text)
        alignment = base.aligner.align(mel, tokens, base.silent, str(recording.audio))
        if not base.aligner.matches(alignment.score):
            warn(f"{recording.audio}: what is said does not seem to be \"{recording.text}\"; check its transcript")
        examples.append(Example(str(recording.audio), speaker, tokens, alignment.durations, mel))
    if seconds < FEWEST_SECONDS:
        raise TtsMetaError(f"{seconds:.1f} s of speech in all, at least {FEWEST_SECONDS:.0f} s are needed; record more")
    return examples


def _read_list(path: Path) -> dict[str, str]:
    lines = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        name, bar, text = line.partition("|")
        if not bar:
            raise TtsMetaError(f"{path}, line {number}: no '|' between file and text; write `FILE|TEXT`")
        lines[name.strip()] = text.split("|")[-1].strip()
    return lines


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TtsMetaError(f"{path}: not readable as text ({error}); save it as UTF-8") from error
