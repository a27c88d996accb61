"""Rules of devices in the source: float64, random generators and names of devices only where a reason is known.

`tts_meta/meta` is not searched. It accepts models of every dtype, float64 too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tts_meta.models.recurrent import LSTM

PACKAGE = Path(__file__).resolve().parents[1] / "tts_meta"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "meta"]
ALLOWED = {
    "devices.py": "defines where float64 is, and which names of devices exist",
    "tensors.py": "compares the dtype of a tensor of a file, which is on the CPU",
    "adapt/diagnosis.py": "durations of an alignment, on the CPU",
    "asr/whisper.py": "names of devices of faster-whisper",
    "models/aligner.py": "the search of the alignment, on the CPU",
    "models/learner_format.py": "a file of a learner, on the CPU",
    "models/saved_learner.py": "a file of a learner, on the CPU",
    "models/vocoders/griffin_lim.py": "the filters of Griffin-Lim, on the CPU",
    "models/vocoders/source_filter_vocoder.py": "phases, on the device of `float64_device`",
    "train/flat_start.py": "the first alignment, on the CPU",
    "train/loop.py": "seeds the generators of all devices at each step of a training run, which owns the process",
    "train/postfilter.py": "log-mels, moved to the CPU first",
    "train/pretrain.py": "seeds the generators of all devices once, in a training run, which owns the process",
    "train/speaker_verifier.py": "seeds the generators of all devices once, in a training run, which owns the process",
    "train/vocoder.py": "seeds the generators of all devices once, in a training run, which owns the process",
}
"""Files that may break a rule, each with the reason."""


def violations(source: str) -> Iterator[str]:
    """Yield each use of float64, of a generator of another device, and of the name of a GPU as an argument."""
    for node in ast.walk(ast.parse(source)):
        text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Call) else ""
        if text in ("torch.float64", "torch.double"):
            yield text
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        seeds = function in ("torch.manual_seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all")
        makes_generator = function == "torch.Generator" and arguments
        if seeds or makes_generator or function.endswith((".double", ".cuda")):
            yield text
        for argument in arguments:
            names = [part.value for part in ast.walk(argument) if isinstance(part, ast.Constant)]
            if function.endswith((".to", "torch.device", "WhisperModel")) and {"cuda", "mps"} & set(map(str, names)):
                yield text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_file_assumes_what_only_some_devices_have(path: Path) -> None:
    found = list(violations(path.read_text("utf-8")))
    if path.relative_to(PACKAGE).as_posix() in ALLOWED:
        assert found, "nothing to allow; remove the file from ALLOWED"
    else:
        assert found == []


def test_each_rule_finds_its_violation() -> None:
    for code in (
        "torch.zeros(3, dtype=torch.float64)",
        "x.double()",
        "torch.Generator(device)",
        "torch.manual_seed(0)",
        "x.cuda()",
        "x.to('cuda')",
    ):
        assert list(violations(code)), code
    assert list(violations("torch.Generator().manual_seed(0); x.to(device); x.float()")) == []


def test_a_recurrent_layer_has_training_mode_on_a_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(nn.LSTM, "forward", lambda layer, input, hx: modes.append(layer.training))
    layer = LSTM(2, 3).eval()
    layer(SimpleNamespace(is_cuda=False))
    layer(SimpleNamespace(is_cuda=True))
    assert modes == [False, True] and layer.dropout == 0


def test_the_layers_of_the_acoustic_model_have_gradients_in_evaluation_mode_on_a_gpu(base) -> None:
    recurrent = [module for module in base.acoustic.modules() if isinstance(module, nn.RNNBase)]
    assert recurrent and all(isinstance(module, LSTM) for module in recurrent)
    assert torch.equal(LSTM(2, 3).eval()(torch.zeros(1, 4, 2))[0].isfinite(), torch.ones(1, 4, 3, dtype=torch.bool))
