"""Valid voices, bases, vocoders, learners, forecasts, checkpoints and stores, which the fuzz suite damages."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import torch
from helpers import TINY_HIFIGAN, random_example, tiny_base, tiny_source_filter
from safetensors.torch import save
from stores import mel_store, write_store
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts_meta.adapt.similarity_forecast import ScoreFit, SimilarityForecast
from tts_meta.adapt.voice import Voice
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.saved_learner import SavedLearner
from tts_meta.models.vocoders.hifigan import HifiGanGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.train.checkpoints import save_checkpoint
from tts_meta.train.feature_store import Durations
from tts_meta.train.optimiser import OptimiserConfig, build_optimiser, weight_average


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz_headers")


def fresh_path(name: str) -> Path:
    """Return an unused path in a folder that is removed at exit."""
    path = Path(_temporary_folder().name) / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


Files = dict[str, bytes]


def read_files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_files(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@functools.cache
def valid_base() -> Base:
    base = tiny_base()
    save_base(base, fresh_path("valid_base"))
    return base


@functools.cache
def valid_vocoder() -> SourceFilterVocoder:
    folder = fresh_path("valid_light")
    save_source_filter(tiny_source_filter(), folder, {"corpus": "tones"})
    return SourceFilterVocoder(load_source_filter(folder))


@functools.cache
def voice_file() -> bytes:
    base, light = valid_base(), valid_vocoder()
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return 0.01 * torch.randn(shape, generator=generator)

    rows, columns = dict(base.acoustic.named_parameters())["encoder.lstm.weight_ih_l0"].shape
    deltas = {
        "speaker.mean": draw(6),
        "decoder.output.weight": draw(*dict(base.acoustic.named_parameters())["decoder.output.weight"].shape),
        "encoder.lstm.weight_ih_l0:up": draw(rows, 2),
        "encoder.lstm.weight_ih_l0:down": draw(2, columns),
        "vocoder.net.input.bias": draw(16),
    }
    modules = ("speaker.mean", "decoder.output", "encoder.lstm", "vocoder.net.input")
    scores = {"seconds": 3.0, "stopped": "auto_stop"}
    path = fresh_path("valid.voice.safetensors")
    Voice(deltas, base.hash, modules, 7, "Ann agreed", scores, light.generator.hash).save(path)
    return path.read_bytes()


@functools.cache
def base_files() -> Files:
    folder = valid_base().folder
    assert folder is not None
    return read_files(folder)


@functools.cache
def source_filter_files() -> Files:
    valid_vocoder()
    return read_files(Path(_temporary_folder().name) / "valid_light")


@functools.cache
def learner_files() -> Files:
    folder = fresh_path("valid_learner")
    SavedLearner(
        "sigma-imaml",
        1,
        {"inner_lr": 0.1},
        "acoustic",
        "0" * 64,
        ("a.weight", "b"),
        ("c",),
        {
            "log_variances": torch.tensor([-3.0, -2.0], dtype=torch.float64),
            "step_sizes": torch.full((2, 3), 0.1),
            "code": torch.ones(2, 3).half(),
        },
        rank=2,
        meta_steps=2,
        adapted_modules=("b",),
        prior_scale=4.0,
        sigma_history={"a.weight": [0.1, 0.2], "b": [0.3, 0.4]},
        origin={"learner": "x"},
    ).save(folder)
    return read_files(folder)


@functools.cache
def forecast_file() -> bytes:
    path = fresh_path("valid_forecast")
    SimilarityForecast("0" * 64, "1" * 64, 2.0, 100.0, {"similarity": ScoreFit(0.7, 0.05, 0.02, 10, 0.9)}).save(path)
    return path.read_bytes()


def trained_model() -> tuple[nn.Module, torch.optim.Optimizer, AveragedModel]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
    optimiser = build_optimiser(model, OptimiserConfig(steps=9))
    return model, optimiser, weight_average(model, 0.9)


@functools.cache
def checkpoint_files() -> Files:
    model, optimiser, average = trained_model()
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    save_checkpoint(fresh_path("valid_checkpoint"), model, optimiser, average, {"step": 3, "epoch": 1, "position": 2})
    return read_files(Path(_temporary_folder().name) / "valid_checkpoint")


@functools.cache
def store_files() -> Files:
    base = valid_base()
    examples = [random_example(base, text, n) for n, text in enumerate(("abc", "fed gab", "head"))]
    folder = fresh_path("valid_store")
    store = write_store(folder, examples)
    found = ((n, example.durations) for n, example in enumerate(examples))
    Durations.of(store, found).save(folder / "durations.safetensors")
    return read_files(folder) | read_files(mel_store(folder).folder)


@functools.cache
def hifigan_file() -> bytes:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return save(HifiGanGenerator(TINY_HIFIGAN).state_dict())
