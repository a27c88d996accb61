"""`--device`: every verb that computes accepts it, and refuses a device that the machine does not have."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from commands import Result, clone_in, write_recordings
from helpers import tone_corpus

RECIPES = {
    "pretrain": {"output": "run", "aligner": {"steps": 1}, "acoustic": {"steps": 1}},
    "train-vocoder": {"output": "run"}
    | {name: {"steps": 1} for name in ("pitch", "spectral", "adversarial", "finetune")},
    "meta-train": {"output": "run", "learner": "reptile", "meta_steps": 1},
    "benchmark": {"output": "run"},
}
VERBS = ("clone", "speak", "evaluate", "demo", *RECIPES)
WORKERS = {
    "pretrain": ("tts_meta.train.pretrain", "pretrain"),
    "train-vocoder": ("tts_meta.train.vocoder", "train_vocoder"),
    "meta-train": ("tts_meta.train.meta_train", "meta_train"),
    "benchmark": ("tts_meta.evaluate.cloning", "run_cloning"),
}
"""The function that computes, for each verb with a recipe."""


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def command(tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[object]]:
    """A function from a verb to arguments with which it works."""
    monkeypatch.chdir(tmp_path)

    def arguments(verb: str) -> list[object]:
        manifest = tone_corpus(tmp_path, utterances=8)
        if verb == "clone":
            return [verb, *write_recordings(tmp_path, 2), "-o", "new.voice.safetensors", "--base", base_folder]
        if verb == "speak":
            return [verb, "base", "Abc de.", "-o", "out.wav", "--base", base_folder, "--vocoder", "griffin-lim"]
        if verb == "evaluate":
            options = ["--speaker", "ann", "--metric", "similarity", "--sentences", 1, "--vocoder", "griffin-lim"]
            return [verb, "base", manifest, "--base", base_folder, *options]
        if verb == "demo":
            return [verb, "--base", base_folder]
        recipe = tmp_path / f"{verb}.yaml"
        recipe.write_text(yaml.safe_dump(RECIPES[verb] | {"manifest": str(manifest), "base": str(base_folder)}))
        if verb == "pretrain":
            recipe.write_text(yaml.safe_dump(RECIPES[verb] | {"manifest": str(manifest)}))
        return [verb, recipe]

    return arguments


@pytest.mark.parametrize("verb", VERBS)
def test_a_device_that_is_absent_or_unknown_is_refused_in_one_line(run_cli, command, verb: str, tmp_path: Path) -> None:
    arguments = command(verb)
    before = sorted(tmp_path.rglob("*"))
    assert run_cli(*arguments, "--device", "cuda").failed(2, "the device cuda is not available; this machine has cpu")
    assert run_cli(*arguments, "--device", "mps").failed(2, "the device mps is not available; this machine has cpu")
    assert run_cli(*arguments, "--device", "tpu").failed(2, "unknown device 'tpu'; use auto, cpu, cuda, cuda:N or mps")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("verb", RECIPES)
def test_the_option_replaces_the_device_of_the_recipe(run_cli, command, verb: str, monkeypatch) -> None:
    module, function = WORKERS[verb]
    configs = []

    def record(config, *others: object) -> Path:
        configs.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(module), function, record)
    arguments = command(verb)
    assert run_cli(*arguments).status == run_cli(*arguments, "--device", "cpu").status == 130
    assert [config.device for config in configs] == ["auto", "cpu"]
    assert run_cli(*arguments, "--set", "device=mps").failed(2, "the device mps is not available")
    assert run_cli(*arguments, "--set", "device=mps", "--device", "cpu").status == 130
    assert run_cli(*arguments, "--set", "device=tpu").failed(1, "device: unknown device 'tpu'")


@pytest.mark.parametrize("verb", ["speak", "evaluate"])
def test_verbs_without_a_recipe_compute_on_the_cpu_and_by_default_too(run_cli, command, verb: str) -> None:
    arguments = command(verb)
    results = [run_cli(*arguments, "--device", "cpu")]
    results.append(run_cli(*arguments, *(["--force"] if verb == "speak" else [])))
    assert [result.status for result in results] == [0, 0], results


def test_clone_computes_on_the_cpu_and_by_default_too(run_cli, base_folder: Path, tmp_path: Path) -> None:
    write_recordings(tmp_path, 2)
    voices = []
    for option in (["--device", "cpu"], ["--device", "auto"], []):
        result: Result = clone_in(run_cli, tmp_path, base_folder, "--force", *option)
        assert result.status == 0, result.err
        voices.append((tmp_path / "new.voice.safetensors").read_bytes())
    assert voices[0] == voices[1] == voices[2]


def test_the_demo_passes_its_device_on(run_cli, command, monkeypatch) -> None:
    options = []
    monkeypatch.setattr("tts_meta.demo.run", lambda *positional, **named: options.append(named["device"]))
    assert run_cli(*command("demo"), "--device", "cpu").status == run_cli(*command("demo")).status == 0
    assert options == ["cpu", None]
