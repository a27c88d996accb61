"""Tests that speaking, cloning and scoring do not depend on the caller's torch and numpy state, and restore it."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from caller_state import CONTEXTS, default_dtype, settings_now, state_unchanged_in
from commands import write_recordings
from helpers import tiny_base, tiny_source_filter

from tts_meta.adapt import CloneSettings, Voice, clone
from tts_meta.corpus import Manifest
from tts_meta.evaluate import Scorer
from tts_meta.evaluate.voice import score_voices
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter_weights import save_source_filter
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.synth import Synthesizer, speak, speak_text, stream_text


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_recordings(tmp_path_factory.mktemp("audio"), 2)


@pytest.fixture(autouse=True)
def generators_in_use() -> None:
    """Advance the global generators, so that their states differ from a seed that our code could set."""
    torch.manual_seed(int(np.random.default_rng(1).integers(1000)))
    torch.rand(3)
    np.random.rand(3)
    random.random()


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("light") / "light"
    save_source_filter(tiny_source_filter(), folder, {})
    return folder


@pytest.fixture(scope="module")
def voice_file(base: Base, audio: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voice") / "a.voice.safetensors"
    clone(audio, base=base.folder, settings=CloneSettings(steps=2, learning_rate=0.05)).save(path)
    return path


@pytest.fixture(scope="module")
def spoken(base: Base, voice_file: Path, light: Path) -> list[np.ndarray]:
    return [
        speak(voice_file, "Abc de.", base=base.folder, vocoder=vocoder).samples for vocoder in ("griffin-lim", light)
    ]


@pytest.mark.parametrize("name", CONTEXTS)
def test_speaking_does_not_depend_on_the_state(base: Base, voice_file: Path, light: Path, spoken, name: str) -> None:
    with state_unchanged_in(name):
        loaded = load_base(base.folder)
        voice = Voice.load(voice_file)
        outputs = []
        for vocoder in ("griffin-lim", light):
            sounds = load_vocoder(vocoder)
            outputs.append(speak(voice, "Abc de.", base=loaded, vocoder=sounds).samples)
            parts = [*stream_text(loaded, voice.apply(loaded), sounds, "Abc de.")]
            assert np.abs(np.concatenate(parts) - outputs[-1]).max() < 1e-4
            fresh = Synthesizer(voice_file, base=base.folder, vocoder=vocoder)
            assert np.array_equal(fresh.speak("Abc de.").samples, outputs[-1])
    assert all(np.array_equal(output, expected) for output, expected in zip(outputs, spoken, strict=True))


CLONING = CloneSettings(("speaker.mean", "decoder.*", "vocoder.net.output"), steps=2, vocoder_steps=1)


@pytest.fixture(scope="module")
def cloned(base: Base, audio: list[Path], light: Path) -> Voice:
    return clone(audio, base=base.folder, vocoder=load_vocoder(light), settings=CLONING)


@pytest.mark.parametrize("name", CONTEXTS)
def test_cloning_does_not_depend_on_the_state(
    base: Base, audio: list[Path], light: Path, cloned: Voice, name: str
) -> None:
    with state_unchanged_in(name):
        voice = clone(audio, base=load_base(base.folder), vocoder=load_vocoder(light), settings=CLONING)
    assert voice.deltas.keys() == cloned.deltas.keys() and voice.scores == cloned.scores
    assert all(torch.equal(delta, cloned.deltas[key]) for key, delta in voice.deltas.items())
    assert all(delta.dtype == torch.float32 for delta in voice.deltas.values())


def similarities(base: Base, folder: Path) -> list[float]:
    utterances = Manifest.load(folder / "manifest.jsonl").of_speakers(["ann"]).utterances
    voices = {"voice": (base.acoustic, GriffinLim(iterations=2))}
    scores = score_voices(
        base, voices, GriffinLim(iterations=2), utterances[:1], Scorer(["similarity"]), utterances[1:]
    )
    return [score.scores["similarity"] for score in scores]


@pytest.fixture(scope="module")
def scored(base: Base, corpus: Path) -> list[float]:
    return similarities(base, corpus)


@pytest.mark.parametrize("name", CONTEXTS)
def test_scoring_does_not_depend_on_the_state(base: Base, corpus: Path, scored: list[float], name: str) -> None:
    with state_unchanged_in(name):
        similarity = similarities(base, corpus)
    assert len(similarity) == 3 and similarity == scored


def test_a_base_loaded_under_inference_mode_can_be_trained(base: Base) -> None:
    with torch.inference_mode():
        loaded = load_base(base.folder)
    weight = loaded.acoustic.speaker.mean.requires_grad_(True)
    (2 * weight).sum().backward()
    assert weight.grad is not None and bool((weight.grad == 2).all())


def test_the_callers_settings_are_restored_between_the_chunks_of_a_stream(base: Base) -> None:
    with default_dtype(), torch.no_grad():
        before = settings_now()
        for _ in stream_text(base, base.acoustic, GriffinLim(), "Abc de. Fgh. Head."):
            assert settings_now() == before


def test_two_threads_speak_the_same_as_one(tmp_path: Path) -> None:
    base, vocoder = tiny_base(), GriffinLim()
    texts = ["Abc de.", "Fgh head bed. Cab."]
    expected = {text: speak_text(base, base.acoustic, vocoder, text).samples for text in texts}
    outputs: dict[str, list[np.ndarray]] = {text: [] for text in texts}
    before = settings_now()

    def work(text: str) -> None:
        for _ in range(4):
            outputs[text].append(speak_text(base, base.acoustic, vocoder, text).samples)
            outputs[text].append(np.concatenate([*stream_text(base, base.acoustic, vocoder, text)]))

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings_now() == before
    for text in texts:
        assert len(outputs[text]) == 8
        for samples in outputs[text]:
            np.testing.assert_allclose(samples, expected[text], atol=1e-5)


def test_loading_uses_no_random_numbers_and_does_not_import_torchs_compiler(base: Base, light: Path) -> None:
    code = f"""
import sys, torch
from tts_meta.models.pretrained import load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
state = torch.get_rng_state()
torch.manual_seed = torch.set_rng_state = None  # not set back either
load_base({str(base.folder)!r}), load_vocoder({str(light)!r}), load_vocoder("hifigan"), load_vocoder("griffin-lim")
assert torch.equal(state, torch.get_rng_state())
print("torch._dynamo" in sys.modules)
"""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import helpers\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
