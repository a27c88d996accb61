"""Arguments of the Python interface and of the command line, and names of outputs."""

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
def place() -> Path:
    """A folder with a tiny base and two recordings; it is removed when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz_cli_")
    _folders.append(folder)
    path = Path(folder.name)
    write_recordings(path, 2)
    save_base(tiny_base(), path / "base")
    return path


_folders: list[tempfile.TemporaryDirectory[str]] = []


@cache
def speaking() -> Synthesizer:
    return Synthesizer(base=place() / "base", vocoder=GriffinLim(iterations=1))


@cache
def saved_base() -> Base:
    return speaking().base


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
THINGS = st.recursive(
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


def _clone_arguments(given: tuple[object, object]) -> None:
    audio, transcripts = given
    with contextlib.chdir(place()):
        found = find_recordings(audio, transcripts)  # type: ignore[arg-type]
        assert found and all(one.audio.is_file() and one.text.strip() for one in found)


def _settings(values: dict[str, Any]) -> None:
    check_settings(replace(CloneSettings(), **values))
    for name, value in values.items():
        assert name == "modules" or value is None or math.isfinite(value)


def _manner(values: dict[str, Any]) -> None:
    options = SynthesisOptions(**values)
    assert all(math.isfinite(getattr(options, name)) for name in values)


def _spoken(given: tuple[object, object, object]) -> None:
    voice, text, vocoder = given
    with contextlib.chdir(place()):
        speech = speak(voice, text, base=saved_base(), vocoder=vocoder)  # type: ignore[arg-type]
    assert np.isfinite(speech.samples).all() and len(speech.samples) > 0


def _text(text: str) -> None:
    speech = speaking().speak(text)
    assert np.isfinite(speech.samples).all() and np.abs(speech.samples).max() <= 1
    assert len(speech.samples) >= 256 * sum(map(len, speech.mels))


def _cloned(given: dict[str, Any]) -> None:
    arguments = {"audio": ["say0.wav"], "base": saved_base(), "settings": CloneSettings(("speaker.mean",), steps=1)}
    with contextlib.chdir(place()):
        voice = clone(**(arguments | given), warn=lambda line: None)
    assert all(bool(delta.isfinite().all()) for delta in voice.deltas.values())


def _output(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        check_writable(path)
        with atomic_file(path) as temporary:
            temporary.write_text("whole")
        assert Path(path).read_text() == "whole"
        assert sum(len(files) for _, _, files in os.walk(folder)) == 1


def _sound(given: tuple[str, list[float], int]) -> None:
    name, samples, rate = given
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


def _command(arguments: list[str]) -> None:
    """A run in this process: a status of its own, and what it says is printable, without a trace."""
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
    said = err.getvalue()
    assert status in (0, 1, 2), status
    assert "Traceback" not in said and "internal error" not in said, said
    assert all(line.isprintable() for line in said.split("\n")), said
    assert status == 0 or (said.startswith("tts-meta: ") and said.count("\n") == 1), said


def _voice_path(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            Voice.load(name)
        except TtsMetaError:
            raise
        raise AssertionError("there is no voice")


SETTING = {
    "steps": NUMBERS,
    "vocoder_steps": NUMBERS,
    "learning_rate": NUMBERS,
    "variance": NUMBERS,
    "prior_scale": NUMBERS,
    "rank": NUMBERS,
    "seed": NUMBERS.filter(lambda value: value is not None),
    "frames_per_step": NUMBERS,
    "hold_out": NUMBERS,
    "modules": st.one_of(st.none(), st.text(max_size=4), st.tuples(st.text(max_size=4)), st.just(5)),
}
MANNER = {
    name: NUMBERS.filter(lambda value: value is not None)
    for name in ("speed", "pitch", "pitch_range", "prenet_dropout", "postfilter", "seed")
}
CLONE = {
    "transcripts": THINGS,
    "consent": THINGS,
    "vocoder": THINGS,
    "settings": THINGS,
    "audio": THINGS,
    "lexicon": SCALARS,
}

SAMPLES = st.lists(st.floats(width=32), max_size=50)

TARGETS = [
    Target("clone: recordings and transcripts", st.tuples(THINGS, THINGS), _clone_arguments),
    Target("clone: all arguments", st.fixed_dictionaries({}, optional=CLONE), _cloned, seconds=10),
    Target("clone: settings", st.fixed_dictionaries({}, optional=SETTING), _settings),
    Target("speak: manner", st.fixed_dictionaries({}, optional=MANNER), _manner),
    Target("speak: arguments", st.tuples(THINGS, THINGS, THINGS), _spoken),
    Target("speak: text", TEXTS, _text, seconds=10),
    Target("output: names", NAMES, _output),
    Target(
        "output: sound", st.tuples(NAMES, st.lists(st.floats(width=32), max_size=50), st.integers(8000, 48000)), _sound
    ),
    Target("voice: paths", NAMES, _voice_path),
    Target("command line", st.lists(WORDS, max_size=6), _command, seconds=20),
]
