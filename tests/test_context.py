"""Tests of the contexts that isolate work from the torch and numpy state of the caller."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from caller_state import default_dtype, settings_now

from tts_meta.context import SkipInitialization, default_torch_state, default_torch_state_per_item
from tts_meta.models.pretrained import Base


def test_the_callers_settings_are_restored_after_an_error() -> None:
    with default_dtype(), torch.no_grad():
        before = settings_now()
        with pytest.raises(ZeroDivisionError), default_torch_state(preserve_rng=True):
            torch.rand(3)
            assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
            raise ZeroDivisionError
        assert settings_now() == before


def test_the_default_dtype_is_restored_when_the_last_of_two_threads_leaves() -> None:
    entered, leave, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with default_torch_state():
            entered.set()
            leave.wait(10)
            seen.append(torch.get_default_dtype())

    with default_dtype():
        thread = threading.Thread(target=other)
        with default_torch_state():
            thread.start()
            assert entered.wait(10)
        assert torch.get_default_dtype() == torch.float32
        leave.set()
        thread.join()
        assert seen == [torch.float32] and torch.get_default_dtype() == torch.float64


def test_a_generator_function_is_isolated_only_while_it_computes_an_item() -> None:
    @default_torch_state_per_item
    def steps() -> Iterator[bool]:
        for _ in range(2):
            yield torch.is_grad_enabled()

    with torch.no_grad():
        for inside in steps():
            assert inside and not torch.is_grad_enabled()


def test_random_numbers_inside_do_not_change_the_state_of_the_callers_generator() -> None:
    state = torch.get_rng_state()
    with default_torch_state(preserve_rng=True):
        torch.manual_seed(3)
        torch.rand(5)
    assert torch.equal(torch.get_rng_state(), state)


def test_modules_of_shapes_only_take_no_memory() -> None:
    with SkipInitialization(shapes_only=True):
        model = torch.nn.Sequential(
            torch.nn.Linear(10**6, 10**6), torch.nn.BatchNorm1d(10**6), torch.nn.LSTM(10**5, 10**5)
        )
    assert model[0].weight.is_meta and model.state_dict()["0.weight"].shape == (10**6, 10**6)


def test_onednn_caches_few_kernels_and_the_environment_is_restored(base: Base) -> None:
    """So memory does not grow with the number of different sentence lengths (recipes/memory.py)."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import helpers
import os, torch
from tts_meta import Synthesizer
before = dict(os.environ)
spoken = Synthesizer(base={str(base.folder)!r}, vocoder="griffin-lim").speak("Abc.")
assert dict(os.environ) == before
convolution = torch.nn.Conv1d(32, 32, 5)
print("START")
for length in [*range(100, 300), 100]:
    convolution(torch.zeros(2, 32, length))
"""
    environment = os.environ | {"ONEDNN_VERBOSE": "2", "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    lines = done.stdout.partition("START")[2].splitlines()
    convolutions = [line for line in lines if ",convolution," in line and "create:" in line]
    if not convolutions:
        pytest.skip("this build of torch does not use oneDNN for convolutions")
    # The kernel of the first length was evicted before its second use.
    assert "create:cache_miss" in convolutions[-1] and len(convolutions) == 201
