"""What is loaded once speaks many texts; files that change are read again."""

from __future__ import annotations

import os
import runpy
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from cases import case_folder
from commands import write_base
from faults import error_line
from helpers import batch_of, random_example, tiny_base, tiny_source_filter

from tts_meta import SynthesisOptions, Synthesizer, TtsMetaError, UsageError, Voice, speak
from tts_meta.corpus import Manifest
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.synth import synthesizer

TEXT = "Abc de. Fgh head."


def voice_of(base: Base, seed: int) -> Voice:
    delta = 0.5 * torch.randn(6, generator=torch.Generator().manual_seed(seed))
    return Voice({"speaker.mean": delta.half().float()}, base.hash, ("speaker.mean",), 1)


@pytest.fixture
def files(base: Base, tmp_path: Path) -> list[Path]:
    """Two voices of the base."""
    paths = [tmp_path / f"{name}.voice.safetensors" for name in "ab"]
    for number, path in enumerate(paths):
        voice_of(base, number).save(path)
    return paths


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is loaded from files, in order; nothing is kept from other tests."""
    seen: list[str] = []

    def counted(name: str, load: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            seen.append(name)
            return load(*arguments, **options)

        return run

    for name in ("_bases", "_vocoders", "_synthesizers"):
        monkeypatch.setattr(synthesizer, name, synthesizer._Kept(getattr(synthesizer, name).most))
    monkeypatch.setattr(synthesizer, "load_base", counted("base", synthesizer.load_base))
    monkeypatch.setattr(synthesizer, "load_vocoder", counted("vocoder", synthesizer.load_vocoder))
    monkeypatch.setattr(Voice, "load", staticmethod(counted("voice", Voice.load)))
    return seen


def test_a_synthesizer_speaks_what_speak_does(base: Base, files: list[Path]) -> None:
    options = SynthesisOptions(speed=1.3, prenet_dropout=0.3, seed=4)
    kept = Synthesizer(files[0], base=base, vocoder="griffin-lim")
    expected = speak(files[0], TEXT, base=base, vocoder="griffin-lim", options=options)
    assert np.array_equal(kept.speak(TEXT, options).samples, expected.samples)
    assert np.abs(np.concatenate([*kept.stream(TEXT, options)]) - expected.samples).max() < 1e-4
    assert kept.rate == expected.rate == 22050
    written = kept.speak("abc de", phonemes=True).samples
    assert np.array_equal(written, speak(files[0], "abc de", base=base, vocoder="griffin-lim", phonemes=True).samples)


def test_voices_are_switched_and_the_base_comes_back(base: Base, files: list[Path]) -> None:
    kept = Synthesizer(base=base, vocoder=GriffinLim(iterations=2))
    mean = kept.speak(TEXT).samples
    spoken = []
    for voice in (files[0], str(files[1]), Voice.load(files[0])):
        kept.voice = voice
        same = Voice.load(files[1] if voice == str(files[1]) else files[0])
        chosen: Voice | None = kept.voice
        assert chosen is not None and torch.equal(chosen.deltas["speaker.mean"], same.deltas["speaker.mean"])
        spoken.append(kept.speak(TEXT).samples)
    kept.voice = "base"
    assert kept.voice is None and np.array_equal(kept.speak(TEXT).samples, mean)
    assert np.array_equal(spoken[0], spoken[2]) and not np.array_equal(spoken[0][:999], spoken[1][:999])
    ben = kept.speak(TEXT, speaker="ben").samples
    assert not np.array_equal(ben[:999], mean[:999])
    assert "no speaker 'bob'" in error_line(lambda: kept.speak(TEXT, speaker="bob"), UsageError)


def test_a_voice_of_another_base_is_refused_and_the_old_one_stays(base: Base, files: list[Path]) -> None:
    kept = Synthesizer(files[0], base=base, vocoder=GriffinLim(iterations=2))
    before = kept.voice
    with pytest.raises(TtsMetaError, match="was cloned with base"):
        kept.voice = Voice({}, "0" * 64, (), 0)
    assert kept.voice is before


def test_a_vocoder_that_a_voice_changed_is_as_it_was_for_the_next(base: Base) -> None:
    light = SourceFilterVocoder(tiny_source_filter())
    light.generator.hash = "f" * 64
    name = next(name for name, _ in light.generator.named_parameters() if name.startswith("net."))
    delta = torch.ones_like(light.generator.state_dict()[name])
    voice = Voice({f"vocoder.{name}": delta}, base.hash, (f"vocoder.{name}",), 0, vocoder_hash="f" * 64)
    kept = Synthesizer(voice, base=base, vocoder=light)
    changed = kept.speak(TEXT).samples
    kept.voice = "base"
    assert not np.array_equal(kept.speak(TEXT).samples, changed)
    assert np.array_equal(kept.speak(TEXT).samples, Synthesizer(base=base, vocoder=light).speak(TEXT).samples)


def test_speak_loads_once(base: Base, files: list[Path], loads: list[str]) -> None:
    options: dict[str, Any] = {"base": base.folder, "vocoder": "griffin-lim"}
    first = speak(files[0], TEXT, **options)
    assert loads == ["base", "vocoder", "voice"]
    again = [speak(files[0], TEXT, **options) for _ in range(2)]
    assert len(loads) == 3 and all(np.array_equal(one.samples, first.samples) for one in again)
    speak("base", TEXT, **options)
    assert len(loads) == 3
    speak(files[1], TEXT, **options)
    assert loads[3:] == ["voice"]


def test_a_file_that_changed_is_read_again(base: Base, files: list[Path], loads: list[str], tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base")
    options: dict[str, Any] = {"base": folder, "vocoder": "griffin-lim"}
    one = speak(files[0], TEXT, **options).samples
    # The same size and time of change as before, as where a backup is put back.
    state = files[0].stat()
    shutil.copy(files[1], tmp_path / "copy")
    os.utime(tmp_path / "copy", ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(tmp_path / "copy", files[0])
    assert files[0].stat().st_size == state.st_size and files[0].stat().st_mtime_ns == state.st_mtime_ns
    two = speak(files[0], TEXT, **options).samples
    assert np.array_equal(two, speak(files[1], TEXT, **options).samples) and not np.array_equal(one[:999], two[:999])
    before = len(loads)
    save_base(tiny_base(seed=5), folder)
    assert "was cloned with base" in error_line(lambda: speak(files[0], TEXT, **options))
    assert loads[before:] == ["base", "voice"]


def test_only_the_last_few_are_kept(base: Base, files: list[Path], loads: list[str], tmp_path: Path) -> None:
    folders = [write_base(tmp_path / f"base{seed}", seed) for seed in range(5)]
    for folder in folders:
        speak("base", "Abc.", base=folder, vocoder="griffin-lim")
    for kept in (synthesizer._bases, synthesizer._vocoders, synthesizer._synthesizers):
        assert len(kept._objects) <= kept.most <= 4
    assert loads.count("base") == 5 and loads.count("vocoder") == 1


def test_loaded_ones_are_taken_as_they_are(base: Base, files: list[Path], loads: list[str]) -> None:
    vocoder = GriffinLim()
    voice = Voice.load(files[0])
    loads.clear()
    made = speak(voice, TEXT, base=base, vocoder=vocoder).samples
    assert loads == []
    # Nothing of a voice in memory is kept: it may change.
    voice.deltas["speaker.mean"].zero_()
    changed = speak(voice, TEXT, base=base, vocoder=vocoder).samples
    assert np.array_equal(changed, speak("base", TEXT, base=base, vocoder=vocoder).samples)
    assert not np.array_equal(made[:999], changed[:999])


WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "no voice": ((None, TEXT), {}, "the voice must be a Voice, a voice file, or 'base', not NoneType"),
    "a number": ((5, TEXT), {}, "the voice must be a Voice, a voice file, or 'base', not int"),
    "None as text": (("base", None), {}, "the text must be a string, not NoneType"),
    "bytes as text": (("base", b"abc"), {}, "the text must be a string, not bytes"),
    "lines as text": (("base", ["abc"]), {}, "the text must be a string, not list"),
    "a dict as options": (("base", TEXT), {"options": {"speed": 2}}, "options must be SynthesisOptions"),
    "a number as base": (("base", TEXT), {"base": 5}, "base must be a path, not int"),
    "a number as vocoder": (("base", TEXT), {"vocoder": 5}, "vocoder must be a loaded vocoder"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_an_argument_of_another_kind_is_one_line(base: Base, kind: str) -> None:
    arguments, options, said = WRONG[kind]
    given = {"base": base, "vocoder": "griffin-lim"} | options
    assert said in error_line(lambda: speak(*arguments, **given), UsageError)
    if len(arguments) == 2 and arguments[0] == "base" and "options" not in options:
        assert said in error_line(lambda: Synthesizer("base", **given).speak(*arguments[1:]), UsageError)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"speed": "fast"}, "speed must be a number, not str 'fast'"),
        ({"pitch": None}, "pitch must be a number, not NoneType None"),
        ({"speed": True}, "speed must be a number, not bool True"),
        ({"seed": 0.5}, "seed must be a whole number, not float 0.5"),
        ({"seed": 2**64}, "seed must be from"),
    ],
)
def test_options_of_another_kind_is_one_line(options: dict[str, Any], said: str) -> None:
    assert said in error_line(lambda: SynthesisOptions(**options), UsageError)


@pytest.mark.parametrize("name", ["absent", "a\0b", "x" * 300, "\ud800", ""])
def test_a_path_that_cannot_be_is_one_line(base: Base, name: str) -> None:
    error_line(lambda: speak(name, TEXT, base=base, vocoder="griffin-lim"))
    error_line(lambda: speak("base", TEXT, base=base, vocoder=name))
    error_line(lambda: speak("base", TEXT, base=name, vocoder="griffin-lim"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, 1e6])
def test_a_model_that_predicts_no_sound_is_one_line(value: float) -> None:
    base = tiny_base()
    with torch.no_grad():
        base.acoustic.postnet.output.weight.mul_(value)
    speaking = Synthesizer(base=base, vocoder="griffin-lim")
    assert "not that of a sound" in error_line(lambda: speaking.speak(TEXT))
    assert "not that of a sound" in error_line(lambda: [*speaking.stream(TEXT)])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.0, -3.0])
def test_a_vocoder_that_gives_no_sound_is_one_line(base: Base, value: float) -> None:
    class Broken(GriffinLim):
        def __call__(self, mel: torch.Tensor) -> torch.Tensor:
            return torch.full((1, mel.shape[1] * self.hop), value)

    speaking = Synthesizer(base=base, vocoder=Broken())
    assert "the vocoder gives no sound" in error_line(lambda: speaking.speak(TEXT))
    assert "the vocoder gives no sound" in error_line(lambda: [*speaking.stream(TEXT)])


def test_two_threads_may_use_one_synthesizer_and_switch_its_voice(base: Base, files: list[Path]) -> None:
    kept = Synthesizer(base=base, vocoder=GriffinLim(iterations=2))
    voices: list[Any] = ["base", *files]
    expected = []
    for voice in voices:
        kept.voice = voice
        expected.append(kept.speak(TEXT).samples.tobytes())
    assert len(set(expected)) == 3
    made: list[bytes] = []

    def talk() -> None:
        for _ in range(6):
            made.append(kept.speak(TEXT).samples.tobytes())

    def switch() -> None:
        for number in range(12):
            kept.voice = voices[number % 3]

    threads = [threading.Thread(target=work) for work in (talk, switch, talk)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 12 and set(made) <= set(expected)


def test_what_is_shown_of_an_object_is_one_short_line(base: Base, files: list[Path]) -> None:
    kept = Synthesizer(files[0], base=base, vocoder="griffin-lim")
    voice, hashed = kept.voice, base.hash[:12]
    assert repr(voice) == f"Voice(base {hashed}, 1 modules, 1 steps, 6 numbers)"
    assert repr(kept) == f"Synthesizer(voice={voice!r}, base={hashed}, vocoder=griffin-lim)"
    assert repr(kept.speak(TEXT)).startswith("Speech(") and "2 sentences" in repr(kept.speak(TEXT))
    assert repr(load_base(base.folder)).startswith(f"Base({hashed} in {base.folder}, ")
    for shown in (voice, kept, kept.speak(TEXT), base):
        assert len(repr(shown)) < 300 and repr(shown).isprintable()
    example = random_example(base, "abc", 0)
    assert repr(example) == f"Example('ann-0' of 'ann', 5 symbols, {len(example.mel)} frames)"
    assert repr(batch_of(base, example)).startswith("Batch(1 sentences, ")
    assert repr(Manifest(())) == "Manifest(0 utterances of 0 speakers, 0.00 h)"
    hostile = Voice({}, "\x1b[31m\n", ("a\nb",), 3)
    assert repr(hostile).isprintable()


def test_the_case_of_the_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_folder("lib_save_suffix")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(case / "case.py"))
    assert {path.suffix: soundfile.info(path).format for path in tmp_path.iterdir()} == {
        ".mp3": "MP3",
        ".flac": "FLAC",
        ".ogg": "OGG",
    }


def test_the_case_of_loading_again(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(case_folder("lib_reload_and_rng") / "case.py"))
    *seconds, generator = capsys.readouterr().out.splitlines()
    assert generator == "generator untouched: True"
    assert len(seconds) == 3 and len(synthesizer._bases._objects) >= 1


def test_the_case_of_a_voice_in_a_notebook(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(case_folder("lib_voice_repr"), tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    runpy.run_path("case.py")
    length, lines = map(int, capsys.readouterr().out.split())
    assert length < 100 and lines == 0


@pytest.mark.parametrize("name", ["nan", "nan_duration", "endless", "product_bomb", "escape"])
def test_hostile_voices_are_one_line(name: str) -> None:
    folder = case_folder("fuzz")
    error_line(lambda: speak(folder / f"{name}.voice.safetensors", "Good morning."))


def test_a_voice_that_overflows_is_one_line(tmp_path: Path) -> None:
    """Numbers that half precision holds, and no sound has."""
    base = load_base()
    name = "postnet.output.bias"
    voice = Voice({name: torch.full_like(base.acoustic.state_dict()[name], 6e4)}, base.hash, (name,), 1)
    voice.save(tmp_path / "a.voice.safetensors")
    for given in (voice, tmp_path / "a.voice.safetensors"):
        assert "not that of a sound" in error_line(lambda given=given: speak(given, "Good morning.", base=base))
