from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tts_meta.audio.mel import MelConfig
from tts_meta.config import dump_config, load_config, parse_config
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import BaseConfig
from tts_meta.train.pretrain import PretrainConfig

RECIPES = sorted((Path(__file__).resolve().parents[1] / "recipes").rglob("pretrain*.yaml"))
MINIMAL = {"manifest": "m.jsonl", "output": "out", "aligner": {"steps": 1}, "acoustic": {"steps": 2}}


def test_a_misspelt_key_is_named_with_the_closest_and_all_valid_names() -> None:
    with pytest.raises(TtsMetaError) as error:
        parse_config(MINIMAL | {"sede": 1}, PretrainConfig, "r.yaml")
    message = str(error.value)
    assert message.startswith("r.yaml: unknown key 'sede'; did you mean 'seed'? valid here: ")
    assert set(message.partition("valid here: ")[2].split(", ")) == set(PretrainConfig.model_fields)


def test_a_misspelt_key_deep_inside_lists_the_names_of_its_own_section() -> None:
    with pytest.raises(TtsMetaError) as error:
        parse_config({"audio": {"mel": {"hops": 300}}}, BaseConfig, "config.json")
    message = str(error.value)
    assert "unknown key 'audio.mel.hops'; did you mean 'hop'?" in message
    assert set(message.partition("valid here: ")[2].split(", ")) == set(MelConfig.model_fields)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": "many"}, "seed"),
        ({"precision": "float8"}, "precision"),
        ({"aligner": {}}, "aligner.steps"),
        ({"acoustic": {"steps": 1, "warmup": 1.5}}, "acoustic.warmup"),
        ({"save_every": 0}, "save_every"),
        ({"splits": "train"}, "splits"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(change: dict[str, object], named: str) -> None:
    with pytest.raises(TtsMetaError, match=rf"^r\.yaml: {named}: .+") as error:
        parse_config(MINIMAL | change, PretrainConfig, "r.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"a: [1", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"- 1\n- 2\n", "contains no keys"),
        (b"", "Field required"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line_that_names_it(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "r.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TtsMetaError, match=message) as error:
        load_config(path, PretrainConfig)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_the_resolved_config_reads_back_as_itself(tmp_path: Path) -> None:
    config = parse_config(MINIMAL | {"base": {"audio": {"mel": {"hop": 300}}}}, PretrainConfig, "r.yaml")
    path = tmp_path / "config.json"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path, PretrainConfig) == config
    assert config.base.audio.mel.hop == 300 and config.base.audio.mel.n_fft == MelConfig().n_fft


def test_no_value_can_be_changed_after_reading() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MelConfig().hop = 1


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_every_pretraining_recipe_is_valid_and_its_first_line_gives_the_command(path: Path) -> None:
    config = load_config(path, PretrainConfig)
    assert config.aligner.steps > 0 and config.acoustic.steps > 0
    first_line = path.read_text(encoding="utf-8").partition("\n")[0]
    assert first_line.startswith("# ") and f"tts-meta pretrain recipes/{path.parent.name}/{path.name}" in first_line


def test_there_is_a_recipe() -> None:
    assert RECIPES


def test_changes_replace_values_of_the_file_by_dotted_keys(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_config(MelConfig(n_mels=40)), encoding="utf-8")
    assert load_config(path, MelConfig, ["n_mels=20", "f_max=4e3"]) == MelConfig(n_mels=20, f_max=4000.0)
    base = tmp_path / "base.yaml"
    base.write_text("{}", encoding="utf-8")
    assert load_config(base, BaseConfig, ["audio.mel.hop=300"]).audio.mel.hop == 300


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("n_mels", "is not KEY=VALUE"),
        ("n_mels.x=1", "'n_mels' is not a section"),
        ("n_mels=[", "'n_mels=[': not YAML"),
        ("n_mel=1", "did you mean 'n_mels'"),
        ("n_mels=many", "n_mels=many: n_mels: "),
    ],
)
def test_a_wrong_change_is_named(tmp_path: Path, change: str, fault: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("n_mels: 40", encoding="utf-8")
    with pytest.raises(TtsMetaError, match=re.escape(fault)):
        load_config(path, MelConfig, [change])
