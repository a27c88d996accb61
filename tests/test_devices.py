"""Devices by name: which one is chosen, what is refused, and where the models of a base are."""

from __future__ import annotations

import pytest
import torch

from tts_meta.asr.whisper import Transcriber
from tts_meta.config import DeviceName, Section, parse_config
from tts_meta.context import default_torch_state
from tts_meta.devices import available_devices, choose_device, float64_device, global_generators, to_float64
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate import METRICS, Scorer, Settings
from tts_meta.models.pretrained import Base, as_base, load_base
from tts_meta.models.vocoders.vocoder import load_vocoder
from tts_meta.train.distributed import process_group

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A function that makes this machine look as if it had this number of GPUs of CUDA, and a GPU of Apple or not."""

    def pretend(gpus: int = 0, current: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    pretend()
    return pretend


def test_auto_is_the_gpu_of_cuda_then_that_of_apple_then_the_cpu(machine) -> None:
    assert str(choose_device("auto")) == str(choose_device()) == "cpu"
    machine(mps=True)
    assert str(choose_device("auto")) == "mps:0"
    machine(gpus=2, current=1, mps=True)
    assert str(choose_device("auto")) == str(choose_device("cuda")) == "cuda:1"
    assert str(choose_device("cuda:0")) == "cuda:0" and str(choose_device("mps")) == "mps:0"
    assert choose_device("cpu") == choose_device(CPU) == CPU
    assert str(choose_device(torch.device("cuda", 1))) == "cuda:1"


def test_a_process_of_torchrun_uses_its_own_gpu_and_never_that_of_apple(machine, monkeypatch) -> None:
    machine(gpus=2, mps=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(choose_device("auto")) == str(choose_device("cuda")) == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match=r"the device cuda:2 is not available; this machine has cpu, cuda:0, cuda:1"):
        choose_device("cuda")
    machine(mps=True)
    assert choose_device("auto") == CPU
    with pytest.raises(UsageError, match="use --device cuda or cpu, not mps"), process_group("mps"):
        pass


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(machine, name: str) -> None:
    with pytest.raises(UsageError, match=rf"the device {name}.* is not available; this machine has cpu$"):
        choose_device(name)


def test_a_gpu_with_a_number_too_high_is_refused(machine) -> None:
    machine(gpus=1, mps=True)
    assert available_devices() == ["cpu", "cuda:0", "mps"]
    with pytest.raises(UsageError, match=r"the device cuda:1 is not available; this machine has cpu, cuda:0, mps$"):
        choose_device("cuda:1")


@pytest.mark.parametrize("name", ["tpu", "", "CPU", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps:1", "gpu\n"])
def test_an_unknown_name_is_refused_on_every_machine(machine, name: str) -> None:
    for gpus in (0, 2):
        machine(gpus=gpus, mps=True)
        with pytest.raises(UsageError, match=r"unknown device '.*'; use auto, cpu, cuda, cuda:N or mps"):
            choose_device(name)


def test_a_recipe_refuses_an_unknown_name_but_not_a_device_of_another_machine(machine) -> None:
    class Recipe(Section):
        device: DeviceName = "auto"

    assert parse_config({"device": "cuda:3"}, Recipe, "recipe").device == "cuda:3"
    with pytest.raises(TtsMetaError, match=r"recipe: device: unknown device 'tpu'; use auto, cpu"):
        parse_config({"device": "tpu"}, Recipe, "recipe")


def test_every_loader_refuses_a_device_that_does_not_exist(machine, base: Base) -> None:
    for load in (
        lambda: load_base(base.folder, "cuda"),
        lambda: as_base(base, "cuda"),
        lambda: load_vocoder("griffin-lim", "cuda"),
        lambda: Scorer(["similarity"], Settings("cuda")),
        lambda: Transcriber(device="cuda"),
    ):
        with pytest.raises(UsageError, match=r"the device cuda is not available"):
            load()


def test_a_base_moves_as_a_copy_and_stays_where_it_is_otherwise(base: Base) -> None:
    assert base.device == CPU and base.on(CPU) is base
    assert as_base(base) is base and as_base(base, "cpu") is base
    moved = base.on(torch.device("meta"))
    assert (moved.hash, moved.folder, moved.speakers) == (base.hash, base.folder, base.speakers)
    for model in (moved.acoustic, moved.aligner):
        assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
        assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    assert moved.device.type == "meta" and base.device == CPU


def test_float64_is_on_the_cpu_if_the_device_has_none() -> None:
    assert float64_device(torch.device("mps")) == CPU and float64_device(torch.device("cuda", 1)).index == 1
    assert to_float64(torch.ones(2)).dtype == torch.float64


def test_metrics_compute_on_the_chosen_device_and_their_caches_depend_on_its_type(machine) -> None:
    machine(gpus=2, current=1)
    assert Scorer([], Settings("auto")).settings.device == "cuda:1"
    assert Scorer([]).settings.device == "cpu"
    identity = METRICS["similarity"].identity
    assert identity(Settings("cuda:1")) == identity(Settings("cuda:0")) != identity(Settings("cpu"))


def test_the_state_of_the_generator_of_every_gpu_in_use_is_restored(monkeypatch) -> None:
    gpu = torch.Generator().manual_seed(5)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "_get_default_mps_generator", lambda: gpu)
    assert global_generators() == [torch.default_generator, gpu]
    before = gpu.get_state()
    with default_torch_state(preserve_rng=True):
        torch.rand(3, generator=gpu)
        assert not torch.equal(gpu.get_state(), before)
    assert torch.equal(gpu.get_state(), before)
