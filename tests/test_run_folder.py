"""The folder of a run: the lock, the stored configuration, settings that may change on resumption, and damage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import case_folder
from faults import error_line, interrupted
from helpers import pretrain_recipe as recipe
from helpers import tone_corpus
from safetensors.torch import load_file, save_file

from tts_meta.audio.mel import MelConfig
from tts_meta.errors import TtsMetaError, TtsMetaWarning
from tts_meta.train import pretrain
from tts_meta.train.run_dir import open_run_dir

HOLD_FOLDER = """
import sys
from pathlib import Path
from tts_meta.audio.mel import MelConfig
from tts_meta.train.run_dir import open_run_dir
with open_run_dir(Path(sys.argv[1]), MelConfig()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed run."""
    output = tmp_path_factory.mktemp("finished") / "run"
    pretrain(recipe(corpus, output))
    return output


def weights(output: Path) -> bytes:
    return (output / "base" / "model.safetensors").read_bytes()


def open_and_close(folder: Path, config: MelConfig | None = None) -> None:
    with open_run_dir(folder, config or MelConfig()):
        pass


def test_a_second_run_is_refused_until_the_process_of_the_first_run_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_FOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        line = error_line(lambda: open_and_close(tmp_path))
        assert line == f"{tmp_path}: another run is training in this folder; " + (
            "wait until it ends or choose another output folder"
        )
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        open_and_close(tmp_path)


def test_a_folder_can_be_opened_after_a_run_and_after_a_run_with_an_error(tmp_path: Path) -> None:
    with open_run_dir(tmp_path, MelConfig()):
        assert "another run" in error_line(lambda: open_and_close(tmp_path))
    with pytest.raises(ValueError, match="x"), open_run_dir(tmp_path, MelConfig()):
        raise ValueError("x")
    open_and_close(tmp_path)


def test_the_configuration_of_a_folder_without_results_is_replaced(tmp_path: Path) -> None:
    open_and_close(tmp_path, MelConfig(hop=128))
    (tmp_path / "events.out.tfevents.1").touch()
    open_and_close(tmp_path, MelConfig(hop=64))
    assert json.loads((tmp_path / "config.json").read_text())["hop"] == 64
    (tmp_path / ".training.old").mkdir()  # remains if a run is killed between two renames
    assert "(hop: 64, now 128)" in error_line(lambda: open_and_close(tmp_path, MelConfig(hop=128)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "config.json: not JSON"),
        (b"\xff\xfe", "config.json: not JSON"),
        (b"[" * 9999, "config.json: nested deeper"),
        (b'{"hop": 99}', "(hop: 99, now 256)"),
        (b'{"older": 1}', "another configuration"),
        (b"[]", "another configuration"),
    ],
)
def test_a_damaged_configuration_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "work").touch()
    (tmp_path / "config.json").write_bytes(content)
    assert message in error_line(lambda: open_and_close(tmp_path))
    assert (tmp_path / "config.json").read_bytes() == content


def test_a_setting_missing_in_the_stored_configuration_has_the_default_value(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    (tmp_path / "config.json").write_text('{"hop": 256}')
    open_and_close(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == MelConfig().model_dump()


def test_an_output_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        assert "cannot write in" in error_line(lambda output=output: open_and_close(output))


def test_a_mistyped_split_does_not_block_the_next_run(run_cli, tmp_path: Path, monkeypatch) -> None:
    """The recipe of the case `pretrain_claims_folder`, with recordings of tones."""
    recipe_file = case_folder("pretrain_claims_folder") / "pre.yaml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    tone_corpus(tmp_path / "m", utterances=4)
    changes = ("--set", "base.phonemizer=letters", "--set", "sentences=[abc.]")
    result = run_cli("pretrain", recipe_file, *changes, "--set", "splits=[trian]")
    assert result.failed(2, "trian") and not (tmp_path / "run_one").exists()
    assert run_cli("pretrain", recipe_file, *changes).status == 0
    assert (tmp_path / "run_one" / "base" / "state.json").is_file()


def test_no_run_folder_is_created_before_the_manifest_is_read(corpus: Path, tmp_path: Path) -> None:
    mistyped = recipe(corpus, tmp_path / "run", splits=["trian"])
    assert "trian" in error_line(lambda: pretrain(mistyped))
    assert not (tmp_path / "run").exists()
    missing = recipe(corpus, tmp_path / "run", manifest=tmp_path / "none.jsonl")
    assert "none.jsonl" in error_line(lambda: pretrain(missing))
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_change_the_weights_may_change_on_resumption(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with interrupted(updates=14):
        pretrain(recipe(corpus, output))
    moved = tmp_path / "moved"
    output.rename(moved)
    changed = {"save_every": 3, "log_every": 1, "workers": 1, "cache": tmp_path / "cache", "sentences": ["abc."]}
    pretrain(recipe(corpus, moved, **changed))
    assert weights(moved) == weights(finished)
    assert json.loads((moved / "config.json").read_text())["save_every"] == 3
    for key, value in {"ema_decay": 0.8, "precision": "bfloat16", "seed": 1, "min_segment_seconds": 0.0}.items():
        assert f"({key}: " in error_line(lambda key=key, value=value: pretrain(recipe(corpus, moved, **{key: value})))


DAMAGED = (
    "features/names.json",
    "features/ends.npy",
    "features/tokens.npy",
    "features/keys.npy",
    "cache/mels/*/store.json",
    "cache/mels/*/*.data",
    "cache/mels/*/*.index",
    "flat_start.safetensors",
    "durations.safetensors",
    "aligner.safetensors",
    "aligner/training/state.json",
    "aligner/training/tensors.safetensors",
    "acoustic/training/state.json",
    "acoustic/training/tensors.safetensors",
)
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "null": lambda content: b"null",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_run_with_a_damaged_file_is_refused_in_one_line_or_resumes_to_the_same_weights(
    corpus: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    shutil.copytree(corpus / "cache", tmp_path / "run" / "cache")
    (path,) = (tmp_path / "run").glob(name)
    content = path.read_bytes()
    for kind, damage in DAMAGES.items():
        shutil.rmtree(tmp_path / "run" / "base", ignore_errors=True)
        damaged = damage(content)
        path.unlink(missing_ok=True)
        if damaged is not None:
            path.write_bytes(damaged)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", TtsMetaWarning)
                pretrain(recipe(corpus, tmp_path / "run", cache=tmp_path / "run" / "cache"))
            lines = [str(warning.message) for warning in caught]
            assert all("; the run continues from " in line and str(path.parent) in line for line in lines)
        except TtsMetaError as error:
            line = str(error)
            assert line.isprintable() and str(tmp_path / "run") in line and len(line) < 500, (kind, line)
            assert not (tmp_path / "run" / "base").exists()
        else:
            assert weights(tmp_path / "run") == weights(finished), kind
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("features/names.json", {"bands": 40}, "features for other symbols or mels"),
        ("features/names.json", {"speakers": []}, "the numbers of utterances, ends and speakers differ"),
        ("features/names.json", {"ids": [1, 2]}, "ids.0: Input should be a valid string"),
        ("features/ends.npy", np.zeros((9, 2), np.int64), "the numbers of utterances, ends and speakers differ"),
        ("features/ends.npy", np.zeros((9, 2), np.float64), "not int64"),
        ("features/tokens.npy", -1, "it differs from what was written"),
        ("features/keys.npy", 0, "it differs from what was written"),
        ("features/keys.npy", np.zeros((8, 16), np.uint8), "not uint8 of shape"),
        ("durations.safetensors", {"frames": torch.zeros(3, dtype=torch.int32)}, "not of these utterances"),
        ("durations.safetensors", {"frames": -1}, "no durations"),
        ("durations.safetensors", {"frames": 7}, "its durations are not those of these utterances"),
        ("durations.safetensors", {"known": torch.zeros(8)}, "known has dtype F32"),
        ("aligner.safetensors", {"log_prior": torch.zeros(3)}, "not the aligner of this run"),
        ("aligner.safetensors", {"log_prior": np.nan}, "log_prior contains values that are not finite"),
    ],
)
def test_files_with_wrong_shapes_or_values_are_refused_in_one_line(
    corpus: Path, finished: Path, tmp_path: Path, name: str, changes: Any, message: str
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run" / name
    if path.suffix == ".json":
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    elif path.suffix == ".npy":
        array = np.load(path)
        np.save(path, changes if isinstance(changes, np.ndarray) else np.full_like(array, changes))
    else:
        tensors = load_file(path)
        for key, value in changes.items():
            tensors[key] = value if isinstance(value, torch.Tensor) else torch.full_like(tensors[key], value)
        save_file(tensors, path)
    line = error_line(lambda: pretrain(recipe(corpus, tmp_path / "run")))
    assert message in line and str(path.parent) in line and "delete" in line
