"""Hostile voices, bases, vocoders, priors, forecasts, checkpoints, folders of runs, and recipes.

Real files are damaged: bytes flipped, cut, repeated; values of their JSON replaced by others; tensors of other shapes,
types and values. What is still accepted must speak, in finite samples and within the limit.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from fuzzing import Target
from helpers import TINY_HIFIGAN, random_example, tiny_base, tiny_source_filter
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn

from tts_meta.adapt.similarity_forecast import ScoreFit, SimilarityForecast
from tts_meta.adapt.voice import Voice
from tts_meta.audio.mel import MelConfig
from tts_meta.config import dump_config, load_config
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.shrinkage_prior import ModulePrior
from tts_meta.models.vocoders.hifigan import HifiGan, HifiGanGenerator
from tts_meta.models.vocoders.hifigan_weights import load_hifigan
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter, save_source_filter
from tts_meta.synth import speak_text
from tts_meta.train.checkpoints import load_checkpoint, save_checkpoint
from tts_meta.train.feature_store import Durations, Store, write_store
from tts_meta.train.optimiser import MovingAverage, OptimiserConfig, build_optimiser
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.vocoder import VocoderTrainConfig

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def _holder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz_headers")


def place(name: str) -> Path:
    """A path in a folder that is removed at exit; nothing is there yet."""
    path = Path(_holder().name) / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


Files = dict[str, bytes]


def _read(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _write(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@functools.cache
def valid_base() -> Base:
    base = tiny_base()
    save_base(base, place("valid_base"))
    return base


@functools.cache
def valid_vocoder() -> SourceFilterVocoder:
    folder = place("valid_light")
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
    path = place("valid.voice.safetensors")
    Voice(deltas, base.hash, modules, 7, "Ann agreed", scores, light.generator.hash).save(path)
    return path.read_bytes()


@functools.cache
def base_files() -> Files:
    folder = valid_base().folder
    assert folder is not None
    return _read(folder)


@functools.cache
def light_files() -> Files:
    valid_vocoder()
    return _read(Path(_holder().name) / "valid_light")


@functools.cache
def prior_file() -> bytes:
    path = place("valid_prior")
    path_of = {"a.weight": [0.1, 0.2], "b": [0.3, 0.4]}
    ModulePrior({"a.weight": 0.04, "b": 0.16}, "0" * 64, {"learner": "x"}, path_of, ("b",), 4.0, 2).save(path)
    return path.read_bytes()


@functools.cache
def forecast_file() -> bytes:
    path = place("valid_forecast")
    SimilarityForecast("0" * 64, "1" * 64, 2.0, 100.0, {"similarity": ScoreFit(0.7, 0.05, 0.02, 10, 0.9)}).save(path)
    return path.read_bytes()


def _trained() -> tuple[nn.Module, torch.optim.Optimizer, MovingAverage]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
    optimiser = build_optimiser(model, OptimiserConfig(steps=9))
    return model, optimiser, MovingAverage(model, 0.9)


@functools.cache
def checkpoint_files() -> Files:
    model, optimiser, average = _trained()
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    save_checkpoint(place("valid_checkpoint"), model, optimiser, average, {"step": 3, "epoch": 1, "position": 2})
    return _read(Path(_holder().name) / "valid_checkpoint")


@functools.cache
def store_files() -> Files:
    base = valid_base()
    examples = [random_example(base, text, n) for n, text in enumerate(("abc", "fed gab", "head"))]
    folder = place("valid_store")
    write_store(folder, examples)
    found = ((n, example.durations) for n, example in enumerate(examples))
    Durations.of(Store(folder), found).save(folder / "durations.safetensors")
    return _read(folder)


@functools.cache
def hifigan_file() -> bytes:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return save(HifiGanGenerator(TINY_HIFIGAN).state_dict())


DEEP: Any = functools.reduce(lambda inner, _: [inner], range(99), 0)
numbers = st.sampled_from([0, -1, 1, 2, 7, 80, 2**31, 2**63, 10**30, 1e308, -0.0, 0.5, float("nan"), float("inf")])
texts = st.sampled_from(["", "a", "\x1b[2J", "\ud800", "\u202e", "a\nb", "\0", "x" * 3000, "é", "NaN", "0", "[]"])
hostile: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    texts,
    st.sampled_from(
        [[], {}, [[]], [1], ["a", "a"], {"a": 1}, {"": None}, functools.reduce(lambda d, _: [d], range(99), 0)]
    ),
)


@st.composite
def damaged_bytes(draw: st.DrawFn, valid: Callable[[], bytes]) -> bytes:
    """Bytes flipped, cut out, repeated, or cut off."""
    content = bytearray(valid())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["flip", "flip", "set", "cut", "remove", "repeat"]))
        size = draw(st.integers(1, 64))
        if how == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "set" and content:
            content[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del content[at:]
        elif how == "remove":
            del content[at : at + size]
        else:
            content[at:at] = content[at : at + size]
    return bytes(content)


@st.composite
def damaged_data(draw: st.DrawFn, valid: Callable[[], Any]) -> Any:
    """Plain data with a few values replaced, removed or added."""
    data = valid()
    for _ in range(draw(st.integers(1, 3))):
        parent: Any = None
        key: Any = None
        value = data
        while isinstance(value, dict | list) and value and (parent is None or draw(st.integers(0, 3))):
            key = draw(st.sampled_from(sorted(value, key=str) if isinstance(value, dict) else range(len(value))))
            parent, value = value, value[key]
        if parent is None:
            data = copy.deepcopy(draw(hostile))
        elif isinstance(parent, dict) and draw(st.integers(0, 5)) == 0:
            del parent[key]
        elif isinstance(parent, dict) and draw(st.integers(0, 5)) == 0:
            parent[draw(texts)] = copy.deepcopy(draw(hostile))
        else:
            parent[key] = copy.deepcopy(draw(hostile))
    return data


@st.composite
def damaged_json(draw: st.DrawFn, valid: Callable[[], bytes]) -> bytes:
    """A JSON file with other values, or other bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged_bytes(valid))
    text = json.dumps(draw(damaged_data(lambda: json.loads(valid()))))
    return (text + draw(st.sampled_from(["", "", "", "x", "{}"]))).encode("utf-8", "replace")


shapes = st.sampled_from([(), (0,), (1,), (6,), (80,), (0, 5), (2, 3), (1, 300), (300, 1), (240, 36), (64, 16)])
dtypes = st.sampled_from(
    [torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64, torch.bool]
)
fills = st.sampled_from([0.0, 1.0, -1.0, 30.0, 6e4, -6e4, 1e30, float("nan"), float("inf")])


@st.composite
def damaged_tensors(draw: st.DrawFn, make: Callable[[], bytes]) -> bytes:
    """A file of tensors with other bytes, other metadata, or tensors of other shapes, types and values."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged_bytes(make))
    valid = make()
    size = int.from_bytes(valid[:8], "little")
    metadata: dict[str, Any] = json.loads(valid[8 : 8 + size]).get("__metadata__", {})
    tensors = load(valid)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(tensors)))
        how = draw(st.sampled_from(["value", "all", "type", "shape", "remove", "rename"]))
        with_nan = draw(fills)
        if how == "value" and tensors[name].numel() and tensors[name].is_floating_point():
            tensors[name] = tensors[name].clone()
            tensors[name].view(-1)[draw(st.integers(0, tensors[name].numel() - 1))] = with_nan
        elif how == "all":
            filled = torch.full(tensors[name].shape, with_nan, dtype=torch.float64)
            tensors[name] = filled.to(tensors[name].dtype)
        elif how == "type":
            tensors[name] = tensors[name].to(draw(dtypes))
        elif how == "shape":
            tensors[name] = torch.zeros(draw(shapes), dtype=draw(dtypes))
        elif len(tensors) > 1:
            value = tensors.pop(name)
            if how == "rename":
                tensors[name + draw(st.sampled_from([":up", ":scales", ":down", "x", "\n"]))] = value
    for _ in range(draw(st.integers(0, 2))):
        if not metadata:
            break
        name = draw(st.sampled_from(sorted(metadata)))
        metadata[name] = draw(st.one_of(_metadata_value(str(metadata[name])), hostile.map(json.dumps), texts))
    content = save(tensors)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]) | {"__metadata__": metadata}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + int.from_bytes(content[:8], "little") :]


def _metadata_value(value: str) -> st.SearchStrategy[str]:
    """Other values of what may be JSON."""
    try:
        json.loads(value)
    except ValueError:
        return texts
    return damaged_data(lambda: json.loads(value)).map(json.dumps)


def damaged_file(name: str, files: Callable[[], Files]) -> st.SearchStrategy[bytes]:
    def content() -> bytes:
        return files()[name]

    if name.endswith(".json"):
        return damaged_json(content)
    return damaged_tensors(content) if name.endswith(".safetensors") else damaged_bytes(content)


@st.composite
def damaged_folder(draw: st.DrawFn, valid: Callable[[], Files], sealed: bool = False) -> Files:
    """One file of a folder damaged or removed; `sealed` writes the SHA-256 of the weights into the state."""
    files = dict(valid())
    name = draw(st.sampled_from(sorted(files)))
    files[name] = draw(damaged_file(name, valid))
    if sealed and name == "model.safetensors":
        digest = hashlib.sha256(files[name]).hexdigest()
        files["state.json"] = json.dumps(json.loads(files["state.json"]) | {"sha256": digest}).encode()
    elif draw(st.integers(0, 9)) == 0:
        del files[name]
    return files


def speak_voice(content: bytes) -> None:
    """Load a voice and speak in it."""
    path = place("a.voice.safetensors")
    path.write_bytes(content)
    voice = Voice.load(path)
    base, light = valid_base(), valid_vocoder()
    speech = speak_text(base, voice.apply(base), voice.apply_vocoder(light), "abc.")
    assert len(speech.samples) and np.isfinite(speech.samples).all() and np.abs(speech.samples).max() <= 1
    again = place("b.voice.safetensors")
    voice.save(again)
    assert Voice.load(again).deltas.keys() == voice.deltas.keys()


def use_base(files: Files) -> None:
    """Load a base and speak with it."""
    base = load_base(_write(place("base"), files))
    mel = base.acoustic.generate(base.symbols.encode("abc."))
    assert mel.isfinite().all() and len(mel)


def use_light(files: Files) -> None:
    """Load a light vocoder and run it."""
    generator = load_source_filter(_write(place("light"), files))
    samples = SourceFilterVocoder(generator)(torch.full((1, 5, generator.mel_config.n_mels), -5.0))
    assert samples.isfinite().all() and samples.abs().max() <= 1


def use_prior(content: bytes) -> None:
    """Load a prior, and write it again."""
    path = place("prior.safetensors")
    path.write_bytes(content)
    prior = ModulePrior.load(path)
    assert set(prior.adapted_modules) <= set(prior.variances) and all(
        0 < sigma < 1e300 for sigma in prior.sigmas.values()
    )
    prior.save(path)
    assert ModulePrior.load(path).adapted_modules == prior.adapted_modules


def use_forecast(content: bytes) -> None:
    """Load a forecast and ask it."""
    path = place("similarity_forecast.json")
    path.write_bytes(content)
    for one in SimilarityForecast.load(path).predict(20.0).values():
        assert one.low <= one.mean <= one.high or not np.isfinite([one.low, one.mean, one.high]).all()


def resume(files: Files) -> None:
    """Load a checkpoint: it is refused, or is the one that was saved."""
    model, optimiser, average = _trained()
    state = load_checkpoint(_write(place("checkpoint"), files), model, optimiser, average)
    assert state == {"step": 3, "epoch": 1, "position": 2}
    saved = load(checkpoint_files()["tensors.safetensors"])
    assert all(torch.equal(value, saved[f"model.{name}"]) for name, value in model.state_dict().items())


def open_store(files: Files) -> None:
    """Read all utterances of a run: they are refused, or those that were written."""
    base = valid_base()
    folder = _write(place("store"), files)
    store = Store(folder)
    store.check(len(base.symbols), base.acoustic.n_mels)
    for example in store[:]:
        assert example.mel.isfinite().all() and len(example.tokens)
    durations = Durations.load(folder / "durations.safetensors", store)
    assert len(durations.frames) == len(store.tokens)


def use_hifigan(value: tuple[bytes, bytes | None]) -> None:
    """Load HiFi-GAN weights, with or without a configuration, and run them."""
    content, config = value
    folder = place("hifigan")
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(content)
    if config is not None:
        (folder / "config.json").write_bytes(config)
    generator = load_hifigan(folder)
    samples = HifiGan(generator)(torch.full((1, 4, generator.config.num_mels), -5.0))
    assert samples.isfinite().all()


def claim(content: bytes) -> None:
    """Claim a folder that holds work and a configuration: refused, or of the same configuration."""
    folder = place("claimed")
    folder.mkdir()
    (folder / "work").touch()
    (folder / "config.json").write_bytes(content)
    with open_run_dir(folder, MelConfig(hop=300)):
        assert json.loads((folder / "config.json").read_bytes())["hop"] == 300


RECIPES: dict[type[Any], Path] = {
    PretrainConfig: ROOT / "recipes/librispeech_mini/pretrain.yaml",
    VocoderTrainConfig: ROOT / "recipes/librispeech_mini/vocoder.yaml",
    FewShotBenchmark: ROOT / "recipes/few_shot/sides.yaml",
}
PIECES = ["- ", "[", "{", "}", "? ", "&a ", "*a", "<<: *a", "!!set ", "!!timestamp ", "2024-99-99", "9" * 5000, ".nan"]
PIECES += ["a: 1\na: 2\n", "\t", "|\n", "%YAML 9\n", "---\n", "...\n", "0x", "1e999", "!!python/name:os.system "]


@st.composite
def recipes(draw: st.DrawFn) -> tuple[type[Any], bytes]:
    """A recipe with other values, other bytes, or pieces of YAML in between."""
    kind = draw(st.sampled_from(list(RECIPES)))
    valid = RECIPES[kind].read_bytes()
    how = draw(st.sampled_from(["data", "data", "bytes", "pieces"]))
    if how == "data":
        text = yaml.safe_dump(draw(damaged_data(lambda: yaml.safe_load(valid))), allow_unicode=True)
        return kind, text.encode("utf-8", "replace")
    if how == "bytes":
        return kind, draw(damaged_bytes(RECIPES[kind].read_bytes))
    at = draw(st.integers(0, len(valid)))
    piece = draw(st.sampled_from(PIECES)) * draw(st.sampled_from([1, 1, 3, 500]))
    return kind, valid[:at] + piece.encode() + valid[at:]


def read_recipe(value: tuple[type[Any], bytes]) -> None:
    """Load a recipe: it is refused, or reads back from what is written of it."""
    kind, content = value
    path = place("recipe.yaml")
    path.write_bytes(content)
    config = load_config(path, kind)
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path, kind) == config


def change_recipe(value: tuple[str, str]) -> None:
    """Change one value as `--set KEY=VALUE` does."""
    path = place("recipe.yaml")
    path.write_bytes(RECIPES[PretrainConfig].read_bytes())
    assert isinstance(load_config(path, PretrainConfig, ["=".join(value)]), PretrainConfig)


KEYS = [
    "seed",
    "base",
    "base.audio.mel.hop",
    "base.audio.mel",
    "acoustic.steps",
    "acoustic.betas",
    "splits",
    "x.y",
    ".",
]
changes = st.tuples(st.sampled_from(KEYS) | texts, st.sampled_from(PIECES) | texts | hostile.map(str))


def hifigan_config() -> bytes:
    return TINY_HIFIGAN.model_dump_json().encode()


def run_config() -> bytes:
    return dump_config(MelConfig()).encode()


hifigans = st.tuples(damaged_tensors(hifigan_file) | st.builds(hifigan_file), st.none() | damaged_json(hifigan_config))

TARGETS = [
    Target("headers: voice", damaged_tensors(voice_file), speak_voice, seconds=1.0),
    Target("headers: base", damaged_folder(base_files), use_base),
    Target("headers: weights of a base", damaged_folder(base_files, sealed=True), use_base),
    Target("headers: light vocoder", damaged_folder(light_files, sealed=True), use_light),
    Target("headers: HiFi-GAN", hifigans, use_hifigan),
    Target("headers: prior", damaged_tensors(prior_file), use_prior),
    Target("headers: forecast", damaged_json(forecast_file), use_forecast),
    Target("headers: checkpoint", damaged_folder(checkpoint_files), resume),
    Target("headers: utterances of a run", damaged_folder(store_files), open_store),
    Target("headers: configuration of a run", damaged_json(run_config), claim),
    Target("headers: recipe", recipes(), read_recipe, seconds=5.0),
    Target("headers: --set", changes, change_recipe),
]
