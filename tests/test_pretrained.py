"""A base folder: what is saved loads again, and every damaged or missing file is a one-line error."""

from __future__ import annotations

import copy
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from commands import run
from faults import error_line, full_disk
from helpers import tiny_base

from tts_meta.errors import TtsMetaError, TtsMetaWarning
from tts_meta.models.pretrained import Base, BaseConfig, load_base, save_base
from tts_meta.models.warm_start import start_from
from tts_meta.text import SymbolTable, versions

FILES = ["config.json", "model.safetensors", "state.json", "symbols.json"]


@pytest.fixture
def base() -> Base:
    base = tiny_base()
    base.state = {"steps": 7, "licence": "CC BY 4.0"}
    return base


@pytest.fixture
def folder(base: Base, tmp_path: Path) -> Path:
    save_base(base, tmp_path / "base")
    return tmp_path / "base"


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_saved_base_loads_again_in_half_precision(base: Base, folder: Path) -> None:
    loaded = load_base(folder)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert loaded.config == base.config and loaded.symbols.symbols == base.symbols.symbols
    assert loaded.speakers == base.speakers and loaded.state == base.state
    assert loaded.hash == base.hash and len(loaded.hash) == 64
    for one, two in ((base.aligner, loaded.aligner), (base.acoustic, loaded.acoustic)):
        weights = two.state_dict()
        for name, value in one.state_dict().items():
            assert weights[name].dtype == torch.float32
            torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-3)


def test_full_precision_is_stored_bit_for_bit_on_request(base: Base, tmp_path: Path) -> None:
    save_base(base, tmp_path / "base", half=False)
    loaded = load_base(tmp_path / "base")
    for one, two in ((base.aligner, loaded.aligner), (base.acoustic, loaded.acoustic)):
        assert all(torch.equal(two.state_dict()[name], value) for name, value in one.state_dict().items())


def test_a_loaded_base_is_in_evaluation_mode_and_generates_the_same_frames(base: Base, folder: Path) -> None:
    loaded = load_base(folder)
    assert not loaded.acoustic.training and not loaded.aligner.training
    assert not any(p.requires_grad for model in (loaded.acoustic, loaded.aligner) for p in model.parameters())
    tokens = loaded.encode("abc de.")
    assert torch.equal(tokens, base.symbols.encode("abc de."))
    assert torch.equal(loaded.encode("whatever", phonemes="abc de."), tokens)
    durations = torch.full_like(tokens, 4)
    saved = copy.deepcopy(base.acoustic)
    for parameter in saved.parameters():  # the file has weights in half precision
        parameter.data = parameter.data.half().float()
    mel = loaded.acoustic.generate(tokens, durations=durations)
    torch.testing.assert_close(mel, saved.generate(tokens, durations=durations), atol=1e-4, rtol=0)


def test_saving_a_loaded_base_gives_the_same_files_and_hash(folder: Path, tmp_path: Path) -> None:
    loaded = load_base(folder)
    save_base(loaded, tmp_path / "copy")
    assert loaded.hash == load_base(folder).hash
    for name in FILES:
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()


def test_weights_with_another_hash_than_in_the_state_are_refused(base: Base, folder: Path) -> None:
    other = tiny_base(seed=1)
    save_base(other, folder.parent / "other")
    (folder / "model.safetensors").write_bytes((folder.parent / "other" / "model.safetensors").read_bytes())
    with pytest.raises(TtsMetaError, match=r"the weights are not those that state\.json names \(SHA-256\)"):
        load_base(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error_that_names_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(TtsMetaError, match=f"not a base voice, {name} is missing"):
        load_base(folder)


@pytest.mark.parametrize("name", ["config.json", "state.json", "symbols.json"])
def test_a_truncated_file_is_an_error_that_names_it(folder: Path, name: str) -> None:
    (folder / name).write_text((folder / name).read_text()[:-20])
    with pytest.raises(TtsMetaError, match=rf"{name}: not JSON: .*; copy the base again"):
        load_base(folder)


def test_the_error_of_an_unknown_config_key_lists_the_valid_keys(folder: Path) -> None:
    edit(folder / "config.json", acustic={})
    with pytest.raises(TtsMetaError) as error:
        load_base(folder)
    message = str(error.value)
    assert "config.json: unknown key 'acustic'; did you mean 'acoustic'?" in message
    assert message.endswith(f"valid here: {', '.join(sorted(BaseConfig.model_fields))}")


def test_weights_that_do_not_fit_the_configuration_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["acoustic"]["encoder"]["channels"] += 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TtsMetaError, match=r"weights that do not fit config\.json"):
        load_base(folder)


@pytest.mark.parametrize("change", [{"format": 2}, {"format": None}])
def test_a_base_of_another_format_is_refused(folder: Path, change: dict[str, object]) -> None:
    edit(folder / "state.json", **change)
    with pytest.raises(TtsMetaError, match="another format; this version reads format 3"):
        load_base(folder)


def test_a_state_without_speakers_is_refused(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    del state["speakers"]
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(TtsMetaError):
        load_base(folder)


def test_a_full_disk_does_not_damage_the_existing_base(base: Base, folder: Path) -> None:
    with pytest.raises(TtsMetaError, match=r"cannot write .*File too large"), full_disk(20_000):
        save_base(tiny_base(seed=1), folder)
    assert load_base(folder).hash == base.hash
    assert [path.name for path in folder.parent.iterdir()] == ["base"]


def test_a_base_that_starts_from_another_copies_its_voices_by_name(base: Base) -> None:
    new = Base.create(base.config, base.symbols, ("ben", "cyd"))
    start_from(new, base)
    old_model, new_model = base.acoustic, new.acoustic
    tokens = base.symbols.encode("abc de.")
    for old, speaker in ((1, 0), (-1, 1), (-1, -1)):
        assert torch.equal(new_model.eval().generate(tokens, speaker), old_model.generate(tokens, old))


def test_starting_from_a_base_with_other_sizes_or_symbols_is_refused(base: Base) -> None:
    wide = base.config.model_copy(update={"acoustic": base.config.acoustic.model_copy(update={"speaker_channels": 9})})
    with pytest.raises(TtsMetaError, match=r"other layer sizes \(size mismatch for"):
        start_from(Base.create(wide, base.symbols, base.speakers), base)
    with pytest.raises(TtsMetaError, match="other symbols"):
        start_from(Base.create(base.config, SymbolTable(["^", "$", " ", "a"]), base.speakers), base)


def test_another_version_of_the_phonemizer_gives_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = version("hypothesis")
    monkeypatch.setattr(versions, "_PACKAGES", {"letters": ("hypothesis",)})
    edit(folder / "state.json", phonemizer={"hypothesis": installed, "removed-package": "1"})
    assert load_base(folder).phonemizer.name == "letters"
    edit(folder / "state.json", phonemizer={"hypothesis": "0.1"})
    warning = f"trained on phonemes of hypothesis 0.1 \\(installed: {installed}\\)"
    with pytest.warns(TtsMetaWarning, match=warning + r".*pip install hypothesis==0\.1$"):
        _ = (base := load_base(folder)).phonemizer
    _ = base.phonemizer
    result = run(
        capsys,
        "speak",
        "base",
        "abc.",
        "abc.",
        "--base",
        folder,
        "-o",
        folder.parent / "a.wav",
        "--vocoder",
        "griffin-lim",
    )
    assert result.status == 0 and result.err.startswith("tts-meta: warning: the base was trained on phonemes of hypo")
    assert result.err.count("\n") == 1
    assert json.loads((folder / "state.json").read_text())["phonemizer"] == {"hypothesis": "0.1"}


@pytest.mark.parametrize("value", [None, ["1"], {"hibari-tts": 1}, {"": "1"}])
def test_phonemizer_versions_of_other_types_are_refused(folder: Path, value: object) -> None:
    edit(folder / "state.json", phonemizer=value)
    assert "state.json: phonemizer" in error_line(lambda: load_base(folder))
