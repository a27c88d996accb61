"""Arguments of cloning as callers give them, checked before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_meta.adapt.recordings import Recording, find_transcripts
from tts_meta.audio.io import check_is_file
from tts_meta.errors import SEEDS, TtsMetaError, UsageError, check_number
from tts_meta.files import check_path

if TYPE_CHECKING:
    from tts_meta.adapt.settings import CloneSettings

Audio = Iterable[str | Path] | Mapping[str | Path, str]
"""Recordings; as a mapping, with the text of each."""
Transcripts = str | Path | Iterable[str] | Mapping[str | Path, str] | None
"""A file of transcripts; or the texts, in the order of the recordings or by recording."""

_LARGEST = 10**9
_PAIRS = "give {path: text}, or one text for each recording in their order"


def find_recordings(
    audio: Audio, transcripts: Transcripts = None, transcribe: Callable[[Path], str] | None = None
) -> list[Recording]:
    """Pair recordings with their texts, whichever way they are given.

    Raises UsageError for arguments of another kind, of different lengths, or without a recording; TtsMetaError as
    `find_transcripts`.
    """
    if isinstance(audio, Mapping):
        if transcripts is not None:
            raise UsageError("audio holds the texts already; leave transcripts out")
        transcripts = audio
    paths = _paths(audio)
    if transcribe is not None and not callable(transcribe):
        raise UsageError(f"transcribe must be a function of a path, not {type(transcribe).__name__}")
    if transcripts is None:
        return find_transcripts(paths, None, transcribe)
    if isinstance(transcripts, str | os.PathLike):
        return find_transcripts(paths, _listing(transcripts), transcribe)
    texts = _by_path(paths, transcripts) if isinstance(transcripts, Mapping) else _in_order(paths, transcripts)
    return [_recording(path, text) for path, text in zip(paths, texts, strict=True)]


def _recording(path: Path, text: object) -> Recording:
    check_is_file(path)
    if not isinstance(text, str):
        raise UsageError(f"the transcript of {path} must be text, not {type(text).__name__}; {_PAIRS}")
    if not text.strip():
        raise TtsMetaError(f"{path}: its transcript is empty; write down what is said")
    return Recording(path, " ".join(text.split()))


def check_settings(settings: CloneSettings) -> None:
    """Raise UsageError for settings of another type, or a value out of range."""
    patterns = settings.modules
    if not isinstance(patterns, tuple | list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError(f"modules must be a tuple of patterns, such as ('decoder.*',), not {patterns!r}")
    for name in ("steps", "vocoder_steps", "rank", "hold_out", "frames_per_step", "crops_per_step"):
        lowest = 1 if name.endswith("per_step") else 0
        if getattr(settings, name) is not None:
            check_number(name, getattr(settings, name), lowest, _LARGEST, whole=True)
    for name in ("learning_rate", "vocoder_learning_rate", "variance", "prior_scale"):
        value = getattr(settings, name)
        if value is not None:
            check_number(name, value, 0, _LARGEST)
            if value == 0:
                raise UsageError(f"{name} must be above 0")
    check_number("seed", settings.seed, -SEEDS, SEEDS, whole=True)


def check_consent(consent: object) -> None:
    """Raise UsageError where a note of consent is not one line of printable text."""
    if not isinstance(consent, str) or not consent.isprintable():
        raise UsageError("consent must be one line of printable text")


def _paths(audio: object) -> list[Path]:
    if isinstance(audio, str | os.PathLike):
        raise UsageError(f"audio must be a list of recordings; for one, give [{str(audio)!r}]")
    if audio is None or isinstance(audio, bytes) or not isinstance(audio, Iterable):
        raise UsageError(f"audio must be a list of paths of recordings, not {type(audio).__name__}")
    paths = list(audio)
    if not paths:
        raise UsageError("no recordings given; give at least one audio file")
    return [check_path(f"recording {number}", path) for number, path in enumerate(paths, start=1)]


def _listing(transcripts: str | os.PathLike[str]) -> Path:
    """The file of transcripts. Raises UsageError where it is not one, as where a text was given for it."""
    try:
        is_file = os.path.isfile(transcripts)
    except ValueError:
        is_file = False
    if not is_file:
        raise UsageError(f"transcripts: there is no file {str(transcripts)[:60]!r}; for texts, {_PAIRS}")
    return Path(transcripts)


def _in_order(paths: Sequence[Path], transcripts: object) -> list[object]:
    if isinstance(transcripts, bytes | set | frozenset) or not isinstance(transcripts, Iterable):
        raise UsageError(f"transcripts must be a list of texts, not {type(transcripts).__name__}; {_PAIRS}")
    texts = list(transcripts)
    if len(texts) != len(paths):
        raise UsageError(f"{len(paths)} recordings and {len(texts)} transcripts; give one for each")
    return texts


def _by_path(paths: Sequence[Path], transcripts: Mapping[Any, object]) -> list[object]:
    """Texts by the path of each recording, or by its name where only one recording has it."""
    named = {Path(key): text for key, text in transcripts.items() if isinstance(key, str | os.PathLike)}
    if len(named) < len(transcripts):
        raise UsageError(f"transcripts: each key must be the path of one recording; {_PAIRS}")
    names = [path.name for path in paths]
    texts = []
    for path in paths:
        keys = [path, path.absolute(), *([Path(path.name), Path(path.stem)] if names.count(path.name) == 1 else [])]
        key = next((key for key in keys if key in named), None)
        if key is None:
            raise UsageError(f"{path}: not among the keys of transcripts; {_PAIRS}")
        texts.append(named[key])
    return texts
