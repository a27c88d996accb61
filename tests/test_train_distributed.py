"""Training in two processes: the gradients and the weights of one process."""

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

from tts_meta.audio import FeatureCache
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
from tts_meta.train.optimiser import BatchSize
from tts_meta.train.pretrain import PretrainConfig, acoustic_objective
from tts_meta.train.run_dir import open_run_dir

BATCHES = 4


def stream(multiple_of: int) -> BatchStream:
    """Batches of sentences of different lengths. The batch of the longest sentence holds no other sentence."""
    base = tiny_base()
    sentences = [tone_sentence(number, words=1 + number % 4) for number in range(11)]
    sentences.append(tone_sentence(99, words=25))
    examples = [random_example(base, text, n, ("ann", "ben")[n % 2]) for n, text in enumerate(sentences)]
    return BatchStream(examples, {"ann": 0, "ben": 1}, BatchSize(150), multiple_of, seed=0)


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
    """Return for every batch: the gradients, the loss, and the number of sentences of this and of all processes."""
    model, loss, batches = models()[name]
    results = []
    for _, (_, _, batch) in zip(range(BATCHES), batches.batches(0, 0), strict=False):
        model.zero_grad()
        value = torch.zeros(())
        if batch is not None:
            value = loss(batch, 0)[0]
            value.backward()
        all_reduce_gradients(model.parameters())
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        rows = torch.tensor(0 if batch is None else len(batch))
        results.append(grads | {"loss": all_reduce_sum(value), "local_rows": rows, "rows": all_reduce_sum(rows)})
    return results


def process_results() -> dict[str, Any]:
    """Return what the tests compare, computed in one of the processes."""
    results: dict[str, Any] = {name: gradients(name) for name in models()}
    barrier()
    votes = [all_agree(True), all_agree(is_first()), all_agree(False)]
    opened = [open_or_message(Path(os.environ["RUN_FOLDERS"]) / name) for name in ("used", "new")]
    return results | {"rank": rank_and_world(), "first": is_first(), "votes": votes, "opened": opened}


def open_or_message(folder: Path) -> str:
    """Open a run folder; return "opened" or the message of the error."""
    try:
        with open_run_dir(folder, MelConfig()):
            return "opened"
    except TtsMetaError as error:
        return str(error)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each of two processes."""
    folders = tmp_path_factory.mktemp("folders")
    with open_run_dir(folders / "used", MelConfig(hop=128)):
        (folders / "used" / "work").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN_FOLDERS", str(folders))
        return in_two_processes(process_results, tmp_path_factory.mktemp("processes"))


def test_processes_of_one_run_open_the_same_folder_or_are_all_refused(both: list[dict[str, Any]]) -> None:
    (first, first_new), (second, second_new) = (results["opened"] for results in both)
    assert "another configuration (hop: 128, now 256)" in first and "see the message of the first process" in second
    assert first_new == second_new == "opened"


@pytest.mark.parametrize("name", ["acoustic", "aligner"])
def test_two_processes_compute_the_gradient_of_one_process(name: str, both: list[dict[str, Any]]) -> None:
    for single, first, second in zip(gradients(name), both[0][name], both[1][name], strict=True):
        assert single.keys() == first.keys()
        norm = torch.cat([value.flatten() for key, value in single.items() if key not in ("local_rows", "rows")]).norm()
        for key in single.keys() - {"local_rows"}:
            assert torch.equal(first[key], second[key])  # equal bit for bit, so that the weights stay equal
            torch.testing.assert_close(first[key], single[key], rtol=1e-5, atol=1e-6 * float(norm))
        assert int(first["local_rows"] + second["local_rows"]) == int(single["local_rows"])
    shares = [
        (int(first["local_rows"]), int(second["local_rows"]))
        for first, second in zip(both[0][name], both[1][name], strict=True)
    ]
    assert (1, 0) in shares, "one batch has a single sentence, so the second process has none"
    assert all(first - second in (0, 1) for first, second in shares)


def test_the_aligner_loss_is_the_mean_cross_entropy_of_the_symbols_of_frames() -> None:
    base = tiny_base()
    batch = next(batch for _, _, batch in stream(1).batches(0, 0) if batch is not None and len(batch) > 1)
    log_probs = base.aligner(batch.mel, batch.mel_lengths)
    symbols = [tokens.repeat_interleave(frames) for tokens, frames in zip(batch.tokens, batch.durations, strict=True)]
    inside = [row[:length] for row, length in zip(log_probs, batch.mel_lengths.tolist(), strict=True)]
    expected = torch.nn.functional.nll_loss(torch.cat(inside), torch.cat(symbols))
    torch.testing.assert_close(aligner_loss(base.aligner, batch), expected)


def test_each_process_knows_its_rank_and_all_agree_is_the_minimum_of_the_votes(both: list[dict[str, Any]]) -> None:
    assert [results["rank"] for results in both] == [(0, 2), (1, 2)]
    assert [results["first"] for results in both] == [True, False]
    assert [results["votes"] for results in both] == [[True, False, False]] * 2
    assert rank_and_world() == (0, 1) and is_first() and all_agree(True) and not all_agree(False)


def test_two_processes_on_one_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match="each process uses its own GPU; use --device cuda"),
        process_group("cuda:0"),
    ):
        pass


def recipe(folder: Path, output: Path, **changes: object) -> PretrainConfig:
    """Return a pretraining recipe without dropout, because each process draws other dropout masks."""
    config = tiny_config().model_dump()
    acoustic = config["acoustic"]
    for part, name in (("encoder", ""), ("duration", ""), ("prosody", ""), ("decoder", "prenet_")):
        acoustic[part][f"{name}dropout"] = 0.0
    return pretrain_recipe(folder, output, base=config, log_every=3, **changes)


def pretrain_in_two(config: PretrainConfig, folder: Path, updates: int = 1000) -> subprocess.CompletedProcess[str]:
    """Pretrain under torchrun. Both processes fail after `updates` updates of the weights."""
    (folder / "recipe.json").write_text(dump_config(config))
    code = f"""from pathlib import Path
import helpers
from tts_meta.config import load_config
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train import pretrain
from torch.optim.swa_utils import AveragedModel
update, remaining = AveragedModel.update_parameters, [None] * {updates}
def fail_at_last(*args):
    remaining.pop()
    update(*args)
AveragedModel.update_parameters = fail_at_last
pretrain(load_config({str(folder / "recipe.json")!r}, PretrainConfig))
threads = [comm.read_text() for comm in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], "threads of gloo abort if they run when the interpreter ends"
"""
    return under_torchrun(code, folder)


@pytest.fixture(scope="module")
def single_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in one process."""
    output = tmp_path_factory.mktemp("single") / "run"
    pretrain(recipe(corpus, output))
    return output


def assert_same_run(run: Path, single_run: Path) -> None:
    """Assert that both runs took the same steps: the weights differ by far less than training moved them.

    The gradient of an L1 loss is discontinuous at its kinks, so rounding errors grow. With two initializations the
    weights of the acoustic model differ by .0008 and .006 of the distance that training moved them. Without the sum of
    gradients over processes the weights of the aligner differ by .28 and .44 of that distance.
    """
    torch.manual_seed(0)
    base = Base.create(recipe(single_run, single_run).base, SymbolTable.from_alphabet(list(LETTERS)), ("ann", "ben"))
    for stage, model in (("aligner_first", base.aligner), ("aligner", base.aligner), ("acoustic", base.acoustic)):
        checkpoints = [folder / stage / "training" for folder in (single_run, run)]
        states = [json.loads((checkpoint / "state.json").read_text()) for checkpoint in checkpoints]
        for state in states:
            # The hash and the loss of the weights, which differ by rounding, and the number of processes.
            del state["sha256"], state["validation_loss"], state["group"]
        assert states[0] == states[1]
        tensors = [load_file(checkpoint / "tensors.safetensors") for checkpoint in checkpoints]
        start = torch.cat([p.detach().flatten() for p in model.parameters()])
        end, other = (torch.cat([t[f"model.{n}"].flatten() for n, _ in model.named_parameters()]) for t in tensors)
        max_ratio = 0.02 if stage == "acoustic" else 0.005
        assert (end - start).norm() > 0.5 and (other - end).norm() < max_ratio * (end - start).norm()


def test_two_processes_train_the_weights_of_one_process_and_only_the_first_prints(
    corpus: Path, single_run: Path, tmp_path: Path
) -> None:
    config = recipe(corpus, tmp_path / "run", cache=tmp_path / "cache")
    result = pretrain_in_two(config, tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_run(tmp_path / "run", single_run)
    for name in ("tokens.npy", "ends.npy", "keys.npy", "names.json", "../flat_start.safetensors"):
        assert (tmp_path / "run" / "features" / name).read_bytes() == (single_run / "features" / name).read_bytes()
    store = FeatureCache(config.cache, config.base.audio).store
    assert len(list(store.folder.glob("*.data"))) == 2 and len(store) == 8, "each process computes its share"
    assert result.stderr.count("acoustic 12/12") == 1 and result.stderr.count("utterances aligned") == 1
    assert len(list((tmp_path / "run" / "acoustic").glob("events*"))) == 1
    files = [{str(path.relative_to(run)) for path in run.rglob("*")} for run in (single_run, tmp_path / "run")]
    assert {name for name in files[0] ^ files[1] if "tfevents" not in name} == set()


def test_a_run_resumes_with_another_number_of_processes(corpus: Path, single_run: Path, tmp_path: Path) -> None:
    """One process fails in the aligner stage, two processes resume and fail in the acoustic stage, one completes."""
    config = recipe(corpus, tmp_path / "run")
    with interrupted(updates=8):
        pretrain(config)
    failed = pretrain_in_two(config, tmp_path, updates=5 + 6)
    assert failed.returncode != 0 and "pop from empty list" in failed.stderr
    assert json.loads((tmp_path / "run" / "acoustic" / "training" / "state.json").read_text())["step"] == 4
    pretrain(config)
    assert_same_run(tmp_path / "run", single_run)


def test_the_weights_do_not_depend_on_the_processes_that_compute_features_nor_on_a_kill(
    corpus: Path, single_run: Path, tmp_path: Path
) -> None:
    """Two processes are killed while they compute features, two compute the rest, and one process trains."""
    config = recipe(corpus, tmp_path / "run", cache=tmp_path / "cache", workers=1, max_hours=1e-9)
    (tmp_path / "recipe.json").write_text(dump_config(config))
    code = """
import os, signal, sys
import helpers
from tts_meta.audio import FeatureCache
from tts_meta.config import load_config
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train import pretrain
compute, calls = FeatureCache.compute, []
def killed(cache, audio):
    calls.append(audio)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(cache, audio)
FeatureCache.compute = killed
pretrain(load_config(sys.argv[1], PretrainConfig))
"""
    store = FeatureCache(config.cache, config.base.audio).store
    killed = under_torchrun(code, tmp_path, tmp_path / "recipe.json", 3)
    store.refresh()
    assert killed.returncode != 0 and 2 <= len(store) < 8 and not (tmp_path / "run" / "features").exists()
    stopped = under_torchrun(code, tmp_path, tmp_path / "recipe.json", 99)
    assert "the time is up in the training of the aligner" in stopped.stderr, stopped.stderr
    store.refresh()
    assert len(store) == 8, "no log-mel is computed twice"
    assert not list((tmp_path / "run").glob("*.parts"))
    pretrain(config.model_copy(update={"max_hours": 0.0}))
    weights = [(run / "base" / "model.safetensors").read_bytes() for run in (single_run, tmp_path / "run")]
    assert weights[0] == weights[1]
