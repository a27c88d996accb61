"""`speak` keeps models in memory between calls and loads changed files again."""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import case_folder
from commands import write_base
from faults import error_line
from helpers import tiny_base

from tts_meta import Voice, speak
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.synth import synthesizer

TEXT = "Abc de. Fgh head."


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the objects that are loaded from files, in order; the caches of other tests are not used."""
    loaded: list[str] = []

    def counted(name: str, load: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            loaded.append(name)
            return load(*arguments, **options)

        return run

    for name in ("_bases", "_vocoders", "_synthesizers"):
        monkeypatch.setattr(synthesizer, name, synthesizer._Cache(getattr(synthesizer, name).max_size))
    monkeypatch.setattr(synthesizer, "load_base", counted("base", synthesizer.load_base))
    monkeypatch.setattr(synthesizer, "load_vocoder", counted("vocoder", synthesizer.load_vocoder))
    monkeypatch.setattr(Voice, "load", staticmethod(counted("voice", Voice.load)))
    return loaded


def test_speak_loads_each_file_once(base: Base, voice_files: list[Path], loads: list[str]) -> None:
    options: dict[str, Any] = {"base": base.folder, "vocoder": "griffin-lim"}
    first = speak(voice_files[0], TEXT, **options)
    assert loads == ["base", "vocoder", "voice"]
    again = [speak(voice_files[0], TEXT, **options) for _ in range(2)]
    assert len(loads) == 3 and all(np.array_equal(speech.samples, first.samples) for speech in again)
    speak("base", TEXT, **options)
    assert len(loads) == 3
    speak(voice_files[1], TEXT, **options)
    assert loads[3:] == ["voice"]


def test_a_changed_file_is_loaded_again(base: Base, voice_files: list[Path], loads: list[str], tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base")
    options: dict[str, Any] = {"base": folder, "vocoder": "griffin-lim"}
    one = speak(voice_files[0], TEXT, **options).samples
    # The same size and modification time as before, as after restoring a backup.
    state = voice_files[0].stat()
    shutil.copy(voice_files[1], tmp_path / "copy")
    os.utime(tmp_path / "copy", ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(tmp_path / "copy", voice_files[0])
    assert voice_files[0].stat().st_size == state.st_size and voice_files[0].stat().st_mtime_ns == state.st_mtime_ns
    two = speak(voice_files[0], TEXT, **options).samples
    assert np.array_equal(two, speak(voice_files[1], TEXT, **options).samples) and not np.array_equal(
        one[:999], two[:999]
    )
    before = len(loads)
    save_base(tiny_base(seed=5), folder)
    assert "was cloned with base" in error_line(lambda: speak(voice_files[0], TEXT, **options))
    assert loads[before:] == ["base", "voice"]


def test_only_the_most_recent_objects_stay_in_memory(
    base: Base, voice_files: list[Path], loads: list[str], tmp_path: Path
) -> None:
    folders = [write_base(tmp_path / f"base{seed}", seed) for seed in range(5)]
    for folder in folders:
        speak("base", "Abc.", base=folder, vocoder="griffin-lim")
    for cache in (synthesizer._bases, synthesizer._vocoders, synthesizer._synthesizers):
        assert len(cache._objects) <= cache.max_size <= 4
    assert loads.count("base") == 5 and loads.count("vocoder") == 1


def test_loaded_objects_are_used_without_loading_anything(
    base: Base, voice_files: list[Path], loads: list[str]
) -> None:
    vocoder = GriffinLim()
    voice = Voice.load(voice_files[0])
    loads.clear()
    before = speak(voice, TEXT, base=base, vocoder=vocoder).samples
    assert loads == []
    # A voice in memory is not cached, because it may change.
    voice.deltas["speaker.mean"].zero_()
    changed = speak(voice, TEXT, base=base, vocoder=vocoder).samples
    assert np.array_equal(changed, speak("base", TEXT, base=base, vocoder=vocoder).samples)
    assert not np.array_equal(before[:999], changed[:999])


def test_repeated_calls_load_nothing_and_leave_the_generator_untouched(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(case_folder("lib_reload_and_rng") / "case.py"))
    *seconds, generator = capsys.readouterr().out.splitlines()
    assert generator == "generator untouched: True"
    assert len(seconds) == 3 and len(synthesizer._bases._objects) >= 1
