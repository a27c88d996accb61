"""Two processes train as one: the same gradients, the same voice."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import interrupted
from helpers import LETTERS, pretrain_recipe, random_example, tiny_base, tiny_config, tone_sentence
from processes import in_two_processes, under_torchrun
from safetensors.torch import load_file
from torch import Tensor, nn

from tts_meta.audio.mel import MelConfig
from tts_meta.config import dump_config
from tts_meta.corpus import Batch
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.pretrained import Base
from tts_meta.text import SymbolTable
from tts_meta.train import pretrain
from tts_meta.train.aligner_loss import aligner_loss
from tts_meta.train.datasets import BatchStream
from tts_meta.train.distributed import (
    all_agree,
    all_reduce_gradients,
    all_reduce_sum,
    barrier,
    is_first,
    process_group,
    rank_and_world,
)
from tts_meta.train.pretrain import PretrainConfig, acoustic_objective
from tts_meta.train.run_dir import open_run_dir

BATCHES = 4


def stream(multiple_of: int) -> BatchStream:
    """Batches of sentences of unlike lengths; the longest sentence is alone in its own."""
    base = tiny_base()
    sentences = [tone_sentence(number, words=1 + number % 4) for number in range(11)]
    sentences.append(tone_sentence(99, words=25))
    examples = [random_example(base, text, n, ("ann", "ben")[n % 2]) for n, text in enumerate(sentences)]
    return BatchStream(examples, {"ann": 0, "ben": 1}, 150, multiple_of, seed=0)


def models() -> dict[str, tuple[nn.Module, Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]], BatchStream]]:
    """Each model without dropout, its loss and its batches."""
    base = tiny_base()
    for model in (base.acoustic, base.aligner):
        model.requires_grad_(True)
    return {
        "acoustic": (base.acoustic, acoustic_objective(base.acoustic), stream(base.acoustic.reduction)),
        "aligner": (base.aligner, lambda batch, step: (aligner_loss(base.aligner, batch), {}), stream(1)),
    }


def gradients(name: str) -> list[dict[str, Tensor]]:
    """Of every batch: the gradient, the loss, and how many sentences this process had."""
    model, loss, batches = models()[name]
    found = []
    for _, (_, _, batch) in zip(range(BATCHES), batches.batches(0, 0), strict=False):
        model.zero_grad()
        value = torch.zeros(())
        if batch is not None:
            value = loss(batch, 0)[0]
            value.backward()
        all_reduce_gradients(model.parameters())
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        rows = torch.tensor(0 if batch is None else len(batch))
        found.append(grads | {"loss": all_reduce_sum(value), "own": rows, "rows": all_reduce_sum(rows)})
    return found


def everything() -> dict[str, Any]:
    """What the tests look at, in one of the processes."""
    found: dict[str, Any] = {name: gradients(name) for name in models()}
    barrier()
    votes = [all_agree(True), all_agree(is_first()), all_agree(False)]
    claims = [claim(Path(os.environ["RUN_FOLDERS"]) / name) for name in ("taken", "free")]
    return found | {"place": rank_and_world(), "first": is_first(), "votes": votes, "claims": claims}


def claim(folder: Path) -> str:
    """What is said where this run claims a folder."""
    try:
        with open_run_dir(folder, MelConfig()):
            return "claimed"
    except TtsMetaError as error:
        return str(error)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folders = tmp_path_factory.mktemp("folders")
    with open_run_dir(folders / "taken", MelConfig(hop=128)):
        (folders / "taken" / "work").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN_FOLDERS", str(folders))
        return in_two_processes(everything, tmp_path_factory.mktemp("processes"))


def test_processes_of_one_run_share_a_folder_and_all_are_refused_together(both: list[dict[str, Any]]) -> None:
    (first, free), (second, free_too) = (found["claims"] for found in both)
    assert "another configuration (hop: 128, now 256)" in first and "the first process says why" in second
    assert free == free_too == "claimed"


@pytest.mark.parametrize("name", ["acoustic", "aligner"])
def test_two_processes_find_the_gradient_of_one_on_the_whole_batch(name: str, both: list[dict[str, Any]]) -> None:
    alone = gradients(name)
    for one, first, second in zip(alone, both[0][name], both[1][name], strict=True):
        assert one.keys() == first.keys()
        norm = torch.cat([value.flatten() for key, value in one.items() if key not in ("own", "rows")]).norm()
        for key in one.keys() - {"own"}:
            assert torch.equal(first[key], second[key])  # bit for bit, or they would drift apart
            torch.testing.assert_close(first[key], one[key], rtol=1e-5, atol=1e-6 * float(norm))
        assert int(first["own"] + second["own"]) == int(one["own"])
    shares = [
        (int(first["own"]), int(second["own"])) for first, second in zip(both[0][name], both[1][name], strict=True)
    ]
    assert (1, 0) in shares, "a batch of which the second process has nothing"
    assert all(first - second in (0, 1) for first, second in shares)


def test_the_loss_of_the_aligner_is_the_mean_cross_entropy_of_the_frames_symbols() -> None:
    base = tiny_base()
    batch = next(batch for _, _, batch in stream(1).batches(0, 0) if batch is not None and len(batch) > 1)
    log_probs = base.aligner(batch.mel, batch.mel_lengths)
    symbols = [tokens.repeat_interleave(frames) for tokens, frames in zip(batch.tokens, batch.durations, strict=True)]
    inside = [row[:length] for row, length in zip(log_probs, batch.mel_lengths.tolist(), strict=True)]
    expected = torch.nn.functional.nll_loss(torch.cat(inside), torch.cat(symbols))
    torch.testing.assert_close(aligner_loss(base.aligner, batch), expected)


def test_processes_know_their_place_and_go_on_only_where_all_agree(both: list[dict[str, Any]]) -> None:
    assert [found["place"] for found in both] == [(0, 2), (1, 2)]
    assert [found["first"] for found in both] == [True, False]
    assert [found["votes"] for found in both] == [[True, False, False]] * 2
    assert rank_and_world() == (0, 1) and is_first() and all_agree(True) and not all_agree(False)


def test_processes_that_would_share_one_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match="each process uses its own GPU; use --device cuda"),
        process_group("cuda:0"),
    ):
        pass


def recipe(folder: Path, output: Path, **changes: object) -> PretrainConfig:
    """Pretraining without dropout, which each process draws for itself."""
    config = tiny_config().model_dump()
    acoustic = config["acoustic"]
    for part, name in (("encoder", ""), ("duration", ""), ("prosody", ""), ("decoder", "prenet_")):
        acoustic[part][f"{name}dropout"] = 0.0
    return pretrain_recipe(folder, output, base=config, log_every=3, **changes)


def pretrain_in_two(config: PretrainConfig, folder: Path, updates: int = 1000) -> subprocess.CompletedProcess[str]:
    """Run under torchrun; both processes die at the update after so many."""
    (folder / "recipe.json").write_text(dump_config(config))
    code = f"""from pathlib import Path
import helpers
from tts_meta.config import load_config
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train import pretrain
from torch.optim.swa_utils import AveragedModel
update, left = AveragedModel.update_parameters, [None] * {updates}
def dies(*given):
    left.pop()
    update(*given)
AveragedModel.update_parameters = dies
pretrain(load_config({str(folder / "recipe.json")!r}, PretrainConfig))
threads = [comm.read_text() for comm in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], "a thread that outlives the interpreter aborts"
"""
    return under_torchrun(code, folder)


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one process."""
    output = tmp_path_factory.mktemp("alone") / "run"
    pretrain(recipe(corpus, output))
    return output


def assert_same_run(found: Path, alone: Path) -> None:
    """Both took the same steps: the weights differ by far less than they moved.

    The gradient of an L1 loss jumps at its kinks, so that rounding grows: from two initializations the acoustic model's
    weights ended .0008 and .006 of the way apart. Without the sum over processes the aligner's end .28 and .44 apart.
    """
    torch.manual_seed(0)
    base = Base.create(recipe(alone, alone).base, SymbolTable.from_alphabet(list(LETTERS)), ("ann", "ben"))
    for stage, model in (("aligner_first", base.aligner), ("aligner", base.aligner), ("acoustic", base.acoustic)):
        one, two = (json.loads((run / stage / "training" / "state.json").read_text()) for run in (alone, found))
        for state in (one, two):
            del state["sha256"]  # of the weights, which differ by rounding
        assert one == two
        one, two = (load_file(run / stage / "training" / "tensors.safetensors") for run in (alone, found))
        start = torch.cat([p.detach().flatten() for p in model.parameters()])
        end, other = (torch.cat([t[f"model.{n}"].flatten() for n, _ in model.named_parameters()]) for t in (one, two))
        most = 0.02 if stage == "acoustic" else 0.005
        assert (end - start).norm() > 0.5 and (other - end).norm() < most * (end - start).norm()


def test_two_processes_train_the_voice_of_one_and_only_the_first_speaks(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    done = pretrain_in_two(recipe(corpus, tmp_path / "run"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "run", alone)
    assert done.stderr.count("acoustic 12/12") == 1 and done.stderr.count("utterances aligned") == 1
    assert len(list((tmp_path / "run" / "acoustic").glob("events*"))) == 1
    files = [{str(path.relative_to(run)) for path in run.rglob("*")} for run in (alone, tmp_path / "run")]
    assert {name for name in files[0] ^ files[1] if "tfevents" not in name} == set()


def test_another_number_of_processes_goes_on_with_a_run(corpus: Path, alone: Path, tmp_path: Path) -> None:
    """One process dies while it trains the aligner, two that go on die in the acoustic model, one ends it."""
    config = recipe(corpus, tmp_path / "run")
    with interrupted(updates=8):
        pretrain(config)
    died = pretrain_in_two(config, tmp_path, updates=5 + 6)
    assert died.returncode != 0 and "pop from empty list" in died.stderr
    assert json.loads((tmp_path / "run" / "acoustic" / "training" / "state.json").read_text())["step"] == 4
    pretrain(config)
    assert_same_run(tmp_path / "run", alone)
