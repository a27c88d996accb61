"""Fuzzing of arguments of the Python interface and the command line, and of the names of output files."""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from commands import write_recordings
from fuzzing import Target
from helpers import LETTERS, tiny_base
from hypothesis import strategies as st

from tts_meta import SynthesisOptions, Synthesizer, TtsMetaError, Voice, clone, speak
from tts_meta.adapt import CloneSettings
from tts_meta.adapt.arguments import check_settings, find_recordings
from tts_meta.audio.writing import audio_formats, write_audio
from tts_meta.cli import main
from tts_meta.files import atomic_file, check_writable
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim


@cache
def work_folder() -> Path:
    """A folder with a tiny base and two recordings; it is removed when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz_cli_")
    _folders.append(folder)
    path = Path(folder.name)
    write_recordings(path, 2)
    save_base(tiny_base(), path / "base")
    return path


_folders: list[tempfile.TemporaryDirectory[str]] = []


@cache
def synthesizer() -> Synthesizer:
    return Synthesizer(base=work_folder() / "base", vocoder=GriffinLim(iterations=1))


@cache
def saved_base() -> Base:
    return synthesizer().base


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.just("say0.wav"),
    st.builds(Path, st.just("say0.wav")),
    st.just(np.zeros(3, np.float32)),
    st.just(np.nan),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=2),
        st.sets(st.one_of(st.integers(), st.text(max_size=3)), max_size=2),
    ),
    max_leaves=6,
)
NUMBERS = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.none(), st.text(max_size=4), st.booleans())
TEXTS = st.text(st.sampled_from([*LETTERS, " ", ".", "\n", "z", "\x1b", "\ud800", "\0", "…", "<", "-"]), max_size=40)
NAMES = st.one_of(
    st.text(min_size=1, max_size=30),
    st.builds(
        lambda stem, suffix: stem + suffix, st.text(max_size=8), st.sampled_from([*audio_formats(), ".WAV", ".aac"])
    ),
    st.sampled_from(
        ["a" * 251 + ".wav", "é" * 140 + ".wav", ".wav", ".", "..", "a/" * 40 + "b.wav", "say0.wav/a.wav", "base"]
    ),
)


def _find_recordings(value: tuple[object, object]) -> None:
    audio, transcripts = value
    with contextlib.chdir(work_folder()):
        recordings = find_recordings(audio, transcripts)  # type: ignore[arg-type]
        assert recordings and all(one.audio.is_file() and one.text.strip() for one in recordings)


def _check_settings(values: dict[str, Any]) -> None:
    check_settings(replace(CloneSettings(), **values))
    for name, value in values.items():
        assert name == "modules" or value is None or math.isfinite(value)


def _synthesis_options(values: dict[str, Any]) -> None:
    options = SynthesisOptions(**values)
    assert all(math.isfinite(getattr(options, name)) for name in values)


def _speak(value: tuple[object, object, object]) -> None:
    voice, text, vocoder = value
    with contextlib.chdir(work_folder()):
        speech = speak(voice, text, base=saved_base(), vocoder=vocoder)  # type: ignore[arg-type]
    assert np.isfinite(speech.samples).all() and len(speech.samples) > 0


def _speak_text(text: str) -> None:
    speech = synthesizer().speak(text)
    assert np.isfinite(speech.samples).all() and np.abs(speech.samples).max() <= 1
    assert len(speech.samples) >= 256 * sum(map(len, speech.mels))


def _clone(given: dict[str, Any]) -> None:
    arguments = {"audio": ["say0.wav"], "base": saved_base(), "settings": CloneSettings(("speaker.mean",), steps=1)}
    with contextlib.chdir(work_folder()):
        voice = clone(**(arguments | given), warn=lambda line: None)
    assert all(bool(delta.isfinite().all()) for delta in voice.deltas.values())


def _write_text(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        check_writable(path)
        with atomic_file(path) as temporary:
            temporary.write_text("complete")
        assert Path(path).read_text() == "complete"
        assert sum(len(files) for _, _, files in os.walk(folder)) == 1


def _write_audio(value: tuple[str, list[float], int]) -> None:
    name, samples, rate = value
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        write_audio(path, np.array(samples, np.float32), rate)
        assert np.isfinite(samples).all() and soundfile.info(path).samplerate > 0


WORDS = st.one_of(
    st.sampled_from(
        ["speak", "inspect", "prepare", "evaluate", "base", "-", "--", "-o", "--json", "--base", "--seed", "--speed"]
    ),
    st.sampled_from(
        ["a.wav", "say0.wav", "absent", "1e400", "nan", "-1", "--force", "--file", "folder", "\x1b[31m", "--help"]
    ),
    NAMES,
)


def _run_command(arguments: list[str]) -> None:
    """Run the command line in this process: the status is valid, and stderr is printable and has no traceback."""
    if any(word in ("demo", "clone", "pretrain", "benchmark", "train-vocoder", "meta-train") for word in arguments):
        return
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = main([word.replace("\0", "") for word in arguments])
    message = err.getvalue()
    assert status in (0, 1, 2), status
    assert "Traceback" not in message and "internal error" not in message, message
    assert all(line.isprintable() for line in message.split("\n")), message
    assert status == 0 or (message.startswith("tts-meta: ") and message.count("\n") == 1), message


def _load_voice(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            Voice.load(name)
        except TtsMetaError:
            raise
        raise AssertionError("a voice was loaded from an empty folder")


CLONE_SETTINGS = {
    "steps": NUMBERS,
    "vocoder_steps": NUMBERS,
    "learning_rate": NUMBERS,
    "variance": NUMBERS,
    "prior_scale": NUMBERS,
    "rank": NUMBERS,
    "history_mixing": NUMBERS.filter(lambda value: value is not None),
    "spectral_correction": NUMBERS.filter(lambda value: value is not None),
    "seed": NUMBERS.filter(lambda value: value is not None),
    "frames_per_step": NUMBERS,
    "hold_out": NUMBERS,
    "modules": st.one_of(st.none(), st.text(max_size=4), st.tuples(st.text(max_size=4)), st.just(5)),
}
SYNTHESIS_OPTIONS = {
    name: NUMBERS.filter(lambda value: value is not None)
    for name in ("speed", "pitch", "pitch_range", "prenet_dropout", "postfilter", "seed")
}
CLONE_ARGUMENTS = {
    "transcripts": VALUES,
    "consent": VALUES,
    "vocoder": VALUES,
    "settings": VALUES,
    "audio": VALUES,
    "lexicon": SCALARS,
}

SAMPLES = st.lists(st.floats(width=32), max_size=50)

TARGETS = [
    Target("clone: recordings and transcripts", st.tuples(VALUES, VALUES), _find_recordings),
    Target("clone: all arguments", st.fixed_dictionaries({}, optional=CLONE_ARGUMENTS), _clone, seconds=10),
    Target("clone: settings", st.fixed_dictionaries({}, optional=CLONE_SETTINGS), _check_settings),
    Target("speak: options", st.fixed_dictionaries({}, optional=SYNTHESIS_OPTIONS), _synthesis_options),
    Target("speak: arguments", st.tuples(VALUES, VALUES, VALUES), _speak),
    Target("speak: text", TEXTS, _speak_text, seconds=10),
    Target("output: names", NAMES, _write_text),
    Target("output: audio", st.tuples(NAMES, SAMPLES, st.integers(8000, 48000)), _write_audio),
    Target("voice: paths", NAMES, _load_voice),
    Target("command line", st.lists(WORDS, max_size=6), _run_command, seconds=20),
]
