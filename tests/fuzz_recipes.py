"""Fuzz targets: recipes, changes by --set, and configurations of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from damage import damaged_bytes, damaged_data, damaged_json, hostile, texts
from fuzzing import Target
from hypothesis import strategies as st
from valid_files import fresh_path

from tts_meta.audio.mel import MelConfig
from tts_meta.config import dump_config, load_config
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train.run_dir import open_run_dir
from tts_meta.train.vocoder import VocoderTrainConfig

ROOT = Path(__file__).resolve().parents[1]


def open_run(content: bytes) -> None:
    """Open a run folder with a damaged configuration; it is refused, or the configuration is the same."""
    folder = fresh_path("claimed")
    folder.mkdir()
    (folder / "work").touch()
    (folder / "config.json").write_bytes(content)
    with open_run_dir(folder, MelConfig(hop=300)):
        assert json.loads((folder / "config.json").read_bytes())["hop"] == 300


RECIPES: dict[type[Any], Path] = {
    PretrainConfig: ROOT / "recipes/librispeech_mini/pretrain.yaml",
    VocoderTrainConfig: ROOT / "recipes/librispeech_mini/vocoder.yaml",
    FewShotBenchmark: ROOT / "recipes/few_shot/decoder_side.yaml",
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
    """Load a recipe; it is refused, or it is equal after it is written and loaded again."""
    kind, content = value
    path = fresh_path("recipe.yaml")
    path.write_bytes(content)
    config = load_config(path, kind)
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path, kind) == config


def change_recipe(value: tuple[str, str]) -> None:
    """Change one value, as `--set KEY=VALUE` does."""
    path = fresh_path("recipe.yaml")
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


def run_config() -> bytes:
    return dump_config(MelConfig()).encode()


TARGETS = [
    Target("recipes: configuration of a run", damaged_json(run_config), open_run),
    Target("recipes: recipe", recipes(), read_recipe, seconds=5.0),
    Target("recipes: --set", changes, change_recipe),
]
