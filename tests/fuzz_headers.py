"""Fuzz targets: voices, bases, vocoders, learners, forecasts, checkpoints and utterance stores.

Real files are damaged: bytes are flipped, cut and repeated; JSON values are replaced; tensors get other shapes, types
and values. A damaged voice, base or vocoder that is accepted must give finite samples within the time limit.
"""

from __future__ import annotations

import numpy as np
import torch
from damage import damaged_folder, damaged_json, damaged_tensors
from fuzzing import Target
from helpers import TINY_HIFIGAN
from hypothesis import strategies as st
from safetensors.torch import load
from stores import mel_store
from valid_files import (
    Files,
    base_files,
    checkpoint_files,
    forecast_file,
    fresh_path,
    hifigan_file,
    learner_files,
    source_filter_files,
    store_files,
    trained_model,
    valid_base,
    valid_vocoder,
    voice_file,
    write_files,
)

from tts_meta.adapt.similarity_forecast import SimilarityForecast
from tts_meta.adapt.voice import Voice
from tts_meta.models.pretrained import load_base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.hifigan import HifiGan
from tts_meta.models.vocoders.hifigan_weights import load_hifigan
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter
from tts_meta.synth import speak_text
from tts_meta.train.checkpoints import load_checkpoint
from tts_meta.train.feature_store import Durations, FeatureStore


def speak_voice(content: bytes) -> None:
    """Load a voice and speak in it."""
    path = fresh_path("a.voice.safetensors")
    path.write_bytes(content)
    voice = Voice.load(path)
    base, light = valid_base(), valid_vocoder()
    speech = speak_text(base, voice.apply(base), voice.apply_vocoder(light), "abc.")
    assert len(speech.samples) and np.isfinite(speech.samples).all() and np.abs(speech.samples).max() <= 1
    again = fresh_path("b.voice.safetensors")
    voice.save(again)
    assert Voice.load(again).deltas.keys() == voice.deltas.keys()


def use_base(files: Files) -> None:
    """Load a base and speak with it."""
    base = load_base(write_files(fresh_path("base"), files))
    mel = base.acoustic.generate(base.symbols.encode("abc."))
    assert mel.isfinite().all() and len(mel)


def use_source_filter(files: Files) -> None:
    """Load a light vocoder and run it."""
    generator = load_source_filter(write_files(fresh_path("light"), files))
    samples = SourceFilterVocoder(generator)(torch.full((1, 5, generator.mel_config.n_mels), -5.0))
    assert samples.isfinite().all() and samples.abs().max() <= 1


def use_learner(files: Files) -> None:
    """Load a learner, and write it again."""
    learner = SavedLearner.load(write_files(fresh_path("learner"), files))
    assert set(learner.adapted_modules) <= set(learner.modules)
    if learner.prior is not None:
        assert all(0 < sigma < 1e300 for sigma in learner.prior.sigmas.values())
    folder = fresh_path("again")
    learner.save(folder)
    again = SavedLearner.load(folder)
    assert again.summary() == learner.summary() and again.modules == learner.modules
    assert all(torch.equal(value, again.tensors[name]) for name, value in learner.tensors.items())


def use_forecast(content: bytes) -> None:
    """Load a forecast and predict with it."""
    path = fresh_path("similarity_forecast.json")
    path.write_bytes(content)
    for interval in SimilarityForecast.load(path).predict(20.0).values():
        numbers = [interval.low, interval.mean, interval.high]
        assert numbers == sorted(numbers) or not np.isfinite(numbers).all()


def resume(files: Files) -> None:
    """Load a checkpoint; it is refused, or it is equal to the saved one."""
    model, optimiser, average = trained_model()
    state = load_checkpoint(write_files(fresh_path("checkpoint"), files), model, optimiser, average)
    assert state == {"step": 3, "epoch": 1, "position": 2}
    saved = load(checkpoint_files()["tensors.safetensors"])
    assert all(torch.equal(value, saved[f"model.{name}"]) for name, value in model.state_dict().items())


def open_store(files: Files) -> None:
    """Read all utterances of a run; they are refused, or they are valid."""
    base = valid_base()
    folder = write_files(fresh_path("store"), files)
    store = FeatureStore(folder, mel_store(folder, "."))
    store.check(len(base.symbols), base.acoustic.n_mels)
    for example in store[:]:
        assert example.mel.isfinite().all() and len(example.tokens)
    durations = Durations.load(folder / "durations.safetensors", store)
    assert len(durations.frames) == len(store.tokens)


def use_hifigan(value: tuple[bytes, bytes | None]) -> None:
    """Load HiFi-GAN weights, with or without a configuration, and run them."""
    content, config = value
    folder = fresh_path("hifigan")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    if config is not None:
        (folder / "config.json").write_bytes(config)
    generator = load_hifigan(folder)
    samples = HifiGan(generator)(torch.full((1, 4, generator.config.num_mels), -5.0))
    assert samples.isfinite().all()


def hifigan_config() -> bytes:
    return TINY_HIFIGAN.model_dump_json().encode()


hifigans = st.tuples(damaged_tensors(hifigan_file) | st.builds(hifigan_file), st.none() | damaged_json(hifigan_config))

TARGETS = [
    Target("headers: voice", damaged_tensors(voice_file), speak_voice, seconds=1.0),
    Target("headers: base", damaged_folder(base_files), use_base),
    Target("headers: weights of a base", damaged_folder(base_files, sealed=True), use_base),
    Target("headers: light vocoder", damaged_folder(source_filter_files, sealed=True), use_source_filter),
    Target("headers: HiFi-GAN", hifigans, use_hifigan),
    Target("headers: learner", damaged_folder(learner_files), use_learner),
    Target("headers: tensors of a learner", damaged_folder(learner_files, sealed=True), use_learner),
    Target("headers: forecast", damaged_json(forecast_file), use_forecast),
    Target("headers: checkpoint", damaged_folder(checkpoint_files), resume),
    Target("headers: utterances of a run", damaged_folder(store_files), open_store, seconds=5.0),
]
