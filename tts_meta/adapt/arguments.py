"""Checks the arguments of `clone` and pairs recordings with their texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_meta.adapt.recordings import Recording, find_transcripts
from tts_meta.audio.io import check_is_file
from tts_meta.errors import SEEDS, TtsMetaError, UsageError, check_number
from tts_meta.files import check_path
from tts_meta.meta import Budget

if TYPE_CHECKING:
    from tts_meta.adapt.settings import CloneSettings

Audio = Iterable[str | Path] | Mapping[str | Path, str]
"""Paths of recordings, or a mapping from each path to its text."""
Transcripts = str | Path | Iterable[str] | Mapping[str | Path, str] | None
"""A file of transcripts, the texts in the order of the recordings, or a mapping from recording to text."""

_MAX_NUMBER = 10**9
_ADVICE = "give {path: text}, or one text for each recording in the same order"


def find_recordings(
    audio: Audio, transcripts: Transcripts = None, transcribe: Callable[[Path], str] | None = None
) -> list[Recording]:
    """Pair recordings with their texts, for every form of the arguments that `clone` accepts.

    Raises UsageError if an argument has the wrong type, the numbers of recordings and texts differ, or there is no
    recording. Raises TtsMetaError for the same reasons as `find_transcripts`.
    """
    if isinstance(audio, Mapping):
        if transcripts is not None:
            raise UsageError("audio already maps recordings to texts; leave transcripts out")
        transcripts = audio
    paths = _paths(audio)
    if transcribe is not None and not callable(transcribe):
        raise UsageError(f"transcribe must be a function of a path, not {type(transcribe).__name__}")
    if transcripts is None:
        return find_transcripts(paths, None, transcribe)
    if isinstance(transcripts, str | os.PathLike):
        return find_transcripts(paths, _transcript_file(transcripts), transcribe)
    texts = _by_path(paths, transcripts) if isinstance(transcripts, Mapping) else _in_order(paths, transcripts)
    return [_recording(path, text) for path, text in zip(paths, texts, strict=True)]


def _recording(path: Path, text: object) -> Recording:
    check_is_file(path)
    if not isinstance(text, str):
        raise UsageError(f"the transcript of {path} must be text, not {type(text).__name__}; {_ADVICE}")
    if not text.strip():
        raise TtsMetaError(f"{path}: its transcript is empty; write the spoken words into it")
    return Recording(path, " ".join(text.split()))


def check_settings(settings: CloneSettings) -> None:
    """Raise UsageError for a setting of the wrong type or out of range."""
    patterns = settings.modules
    if not isinstance(patterns, tuple | list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError(f"modules must be a tuple of patterns, such as ('decoder.*',), not {patterns!r}")
    if settings.learner is not None:
        check_path("learner", settings.learner)
    if not isinstance(settings.learner_settings, Mapping):
        raise UsageError(f"learner_settings must be a mapping of settings, not {settings.learner_settings!r}")
    for name in ("steps", "vocoder_steps", "rank", "hold_out", "frames_per_step", "crops_per_step"):
        lowest = 1 if name.endswith("per_step") else 0
        if getattr(settings, name) is not None:
            check_number(name, getattr(settings, name), lowest, _MAX_NUMBER, integer=True)
    if settings.steps is not None:
        Budget(settings.steps)
    if settings.adapts_vocoder and settings.vocoder_steps == 0:
        raise UsageError("vocoder_steps must be 1 or more; leave out the modules of the vocoder, or give more steps")
    for name in ("history_mixing", "spectral_correction"):
        check_number(name, getattr(settings, name), 0, 1)
    if settings.spectral_correction and settings.adapts_vocoder_only:
        raise UsageError(
            "spectral_correction is for the acoustic model; leave it out, or name a module of the acoustic model"
        )
    for name in ("learning_rate", "vocoder_learning_rate", "variance", "prior_scale"):
        value = getattr(settings, name)
        if value is not None:
            check_number(name, value, 0, _MAX_NUMBER)
            if value == 0:
                raise UsageError(f"{name} must be above 0")
    check_number("seed", settings.seed, -SEEDS, SEEDS, integer=True)


def check_consent(consent: object) -> None:
    """Raise UsageError if the consent note is not one line of printable text."""
    if not isinstance(consent, str) or not consent.isprintable():
        raise UsageError("consent must be one line of printable text")


def _paths(audio: object) -> list[Path]:
    if isinstance(audio, str | os.PathLike):
        raise UsageError(f"audio must be a list of recordings; for one recording, give [{str(audio)!r}]")
    if audio is None or isinstance(audio, bytes) or not isinstance(audio, Iterable):
        raise UsageError(f"audio must be a list of paths of recordings, not {type(audio).__name__}")
    paths = list(audio)
    if not paths:
        raise UsageError("no recordings given; give at least one audio file")
    return [check_path(f"recording {number}", path) for number, path in enumerate(paths, start=1)]


def _transcript_file(transcripts: str | os.PathLike[str]) -> Path:
    """Return the path of the transcript file. Raises UsageError if there is no such file."""
    try:
        is_file = os.path.isfile(transcripts)
    except ValueError:
        is_file = False
    if not is_file:
        raise UsageError(f"transcripts: there is no file {str(transcripts)[:60]!r}; for texts, {_ADVICE}")
    return Path(transcripts)


def _in_order(paths: Sequence[Path], transcripts: object) -> list[object]:
    if isinstance(transcripts, bytes | set | frozenset) or not isinstance(transcripts, Iterable):
        raise UsageError(f"transcripts must be a list of texts, not {type(transcripts).__name__}; {_ADVICE}")
    texts = list(transcripts)
    if len(texts) != len(paths):
        raise UsageError(f"{len(paths)} recordings but {len(texts)} transcripts; give one text for each recording")
    return texts


def _by_path(paths: Sequence[Path], transcripts: Mapping[Any, object]) -> list[object]:
    """Return the text of each recording, in the order of `paths`.

    A key of `transcripts` is the path of a recording. The file name or the stem is enough if no other recording has
    this name.
    """
    texts_by_path = {Path(key): text for key, text in transcripts.items() if isinstance(key, str | os.PathLike)}
    if len(texts_by_path) < len(transcripts):
        raise UsageError(f"transcripts: each key must be the path of one recording; {_ADVICE}")
    names = [path.name for path in paths]
    texts = []
    for path in paths:
        keys = [path, path.absolute(), *([Path(path.name), Path(path.stem)] if names.count(path.name) == 1 else [])]
        key = next((key for key in keys if key in texts_by_path), None)
        if key is None:
            raise UsageError(f"{path}: not among the keys of transcripts; {_ADVICE}")
        texts.append(texts_by_path[key])
    return texts
