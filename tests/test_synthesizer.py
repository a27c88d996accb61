"""`Synthesizer`: one object speaks many texts, in voices that can be switched, also from several threads."""

from __future__ import annotations

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
from faults import error_line
from helpers import batch_of, random_example, tiny_source_filter

from tts_meta import SynthesisOptions, Synthesizer, TtsMetaError, UsageError, Voice, speak
from tts_meta.corpus import Manifest
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder

TEXT = "Abc de. Fgh head."


def test_a_synthesizer_gives_the_samples_of_speak(base: Base, voice_files: list[Path]) -> None:
    options = SynthesisOptions(speed=1.3, prenet_dropout=0.3, seed=4)
    synthesizer = Synthesizer(voice_files[0], base=base, vocoder="griffin-lim")
    expected = speak(voice_files[0], TEXT, base=base, vocoder="griffin-lim", options=options)
    assert np.array_equal(synthesizer.speak(TEXT, options).samples, expected.samples)
    assert np.abs(np.concatenate([*synthesizer.stream(TEXT, options)]) - expected.samples).max() < 1e-4
    assert synthesizer.rate == expected.rate == 22050
    written = synthesizer.speak("abc de", phonemes=True).samples
    assert np.array_equal(
        written, speak(voice_files[0], "abc de", base=base, vocoder="griffin-lim", phonemes=True).samples
    )


def test_the_voice_can_be_switched_and_reset_to_the_base(base: Base, voice_files: list[Path]) -> None:
    synthesizer = Synthesizer(base=base, vocoder=GriffinLim(iterations=2))
    mean = synthesizer.speak(TEXT).samples
    spoken = []
    for voice in (voice_files[0], str(voice_files[1]), Voice.load(voice_files[0])):
        synthesizer.voice = voice
        same = Voice.load(voice_files[1] if voice == str(voice_files[1]) else voice_files[0])
        chosen: Voice | None = synthesizer.voice
        assert chosen is not None and torch.equal(chosen.deltas["speaker.mean"], same.deltas["speaker.mean"])
        spoken.append(synthesizer.speak(TEXT).samples)
    synthesizer.voice = "base"
    assert synthesizer.voice is None and np.array_equal(synthesizer.speak(TEXT).samples, mean)
    assert np.array_equal(spoken[0], spoken[2]) and not np.array_equal(spoken[0][:999], spoken[1][:999])
    ben = synthesizer.speak(TEXT, speaker="ben").samples
    assert not np.array_equal(ben[:999], mean[:999])
    assert "no speaker 'bob'" in error_line(lambda: synthesizer.speak(TEXT, speaker="bob"), UsageError)


def test_a_voice_of_another_base_is_refused_and_the_current_voice_stays(base: Base, voice_files: list[Path]) -> None:
    synthesizer = Synthesizer(voice_files[0], base=base, vocoder=GriffinLim(iterations=2))
    before = synthesizer.voice
    with pytest.raises(TtsMetaError, match="was cloned with base"):
        synthesizer.voice = Voice({}, "0" * 64, (), 0)
    assert synthesizer.voice is before


def test_a_vocoder_adapted_by_one_voice_is_unchanged_for_the_next(base: Base) -> None:
    light = SourceFilterVocoder(tiny_source_filter())
    light.generator.hash = "f" * 64
    name = next(name for name, _ in light.generator.named_parameters() if name.startswith("net."))
    delta = torch.ones_like(light.generator.state_dict()[name])
    voice = Voice({f"vocoder.{name}": delta}, base.hash, (f"vocoder.{name}",), 0, vocoder_hash="f" * 64)
    synthesizer = Synthesizer(voice, base=base, vocoder=light)
    changed = synthesizer.speak(TEXT).samples
    synthesizer.voice = "base"
    assert not np.array_equal(synthesizer.speak(TEXT).samples, changed)
    assert np.array_equal(synthesizer.speak(TEXT).samples, Synthesizer(base=base, vocoder=light).speak(TEXT).samples)


def test_two_threads_can_use_one_synthesizer_and_switch_its_voice(base: Base, voice_files: list[Path]) -> None:
    synthesizer = Synthesizer(base=base, vocoder=GriffinLim(iterations=2))
    voices: list[Any] = ["base", *voice_files]
    expected = []
    for voice in voices:
        synthesizer.voice = voice
        expected.append(synthesizer.speak(TEXT).samples.tobytes())
    assert len(set(expected)) == 3
    spoken: list[bytes] = []

    def speak_repeatedly() -> None:
        for _ in range(6):
            spoken.append(synthesizer.speak(TEXT).samples.tobytes())

    def switch() -> None:
        for number in range(12):
            synthesizer.voice = voices[number % 3]

    threads = [threading.Thread(target=work) for work in (speak_repeatedly, switch, speak_repeatedly)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spoken) == 12 and set(spoken) <= set(expected)


def test_the_repr_of_every_object_is_one_short_line(base: Base, voice_files: list[Path]) -> None:
    synthesizer = Synthesizer(voice_files[0], base=base, vocoder="griffin-lim")
    voice, hashed = synthesizer.voice, base.hash[:12]
    assert repr(voice) == f"Voice(base {hashed}, 1 modules, 1 steps, 6 numbers)"
    assert repr(synthesizer) == f"Synthesizer(voice={voice!r}, base={hashed}, vocoder=griffin-lim)"
    assert repr(synthesizer.speak(TEXT)).startswith("Speech(") and "2 sentences" in repr(synthesizer.speak(TEXT))
    assert repr(load_base(base.folder)).startswith(f"Base({hashed} in {base.folder}, ")
    for value in (voice, synthesizer, synthesizer.speak(TEXT), base):
        assert len(repr(value)) < 300 and repr(value).isprintable()
    example = random_example(base, "abc", 0)
    assert repr(example) == f"Example('ann-0' of 'ann', 5 symbols, {len(example.mel)} frames)"
    assert repr(batch_of(base, example)).startswith("Batch(1 sentences, ")
    assert repr(Manifest(())) == "Manifest(0 utterances of 0 speakers, 0.00 h)"
    hostile = Voice({}, "\x1b[31m\n", ("a\nb",), 3)
    assert repr(hostile).isprintable()


def test_files_are_saved_in_the_format_of_a_suffix_in_any_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_folder("lib_save_suffix")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(case / "case.py"))
    assert {path.suffix: soundfile.info(path).format for path in tmp_path.iterdir()} == {
        ".mp3": "MP3",
        ".flac": "FLAC",
        ".ogg": "OGG",
    }


def test_the_repr_of_a_voice_in_a_notebook_is_short(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(case_folder("lib_voice_repr"), tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    runpy.run_path("case.py")
    length, lines = map(int, capsys.readouterr().out.split())
    assert length < 100 and lines == 0
