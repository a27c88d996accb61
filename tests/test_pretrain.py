"""Pretraining: the files of a run, resumption, logs, and the start from another base."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from faults import error_line, interrupted
from helpers import pretrain_recipe as recipe
from helpers import tiny_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.swa_utils import AveragedModel

from tts_meta.audio import FeatureCache
from tts_meta.config import dump_config, parse_config
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.files import sha256_file
from tts_meta.models.aligner import Aligner
from tts_meta.models.pretrained import load_base
from tts_meta.models.run_record import RunRecord
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.text import versions
from tts_meta.train import pretrain
from tts_meta.train.flat_start import FlatStart
from tts_meta.train.pretrain import PretrainConfig

FILES = {
    ".lock",
    "config.json",
    "run.json",
    "flat_start.safetensors",
    "realigned.safetensors",
    "aligner.safetensors",
    "durations.safetensors",
    "excluded.jsonl",
    *(
        f"{stage}/{checkpoint}/{name}"
        for stage, steps in (("aligner_first", (4, 5)), ("aligner", (4, 5)), ("acoustic", (8, 12)))
        for checkpoint in ("training", *(f"checkpoints/step_{step}" for step in steps))
        for name in ("tensors.safetensors", "state.json")
    ),
    *(f"{stage}/events" for stage in ("aligner_first", "aligner", "acoustic")),
    *(f"features/{name}" for name in ("tokens.npy", "ends.npy", "keys.npy", "names.json")),
    *(f"base/{name}" for name in ("model.safetensors", "config.json", "symbols.json", "state.json")),
}


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed run."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert pretrain(recipe(corpus, output)) == output / "base"
    return output


def weights(output: Path) -> bytes:
    return (output / "base" / "model.safetensors").read_bytes()


def test_a_completed_run_writes_exactly_these_files(finished: Path) -> None:
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert {name.partition(".out.tfevents")[0] if "tfevents" in name else name for name in files} == FILES
    assert len(files) == len(FILES)


def test_the_base_of_a_run_loads_and_records_the_training_data(corpus: Path, finished: Path) -> None:
    base = load_base(finished / "base")
    assert base.speakers == ("ann", "ben") and base.config == tiny_config()
    assert base.state["steps"] == 12 and base.state["corpus"] == "manifest.jsonl"
    assert base.state["utterances"] == 8 - len((finished / "excluded.jsonl").read_text().splitlines())
    torch.testing.assert_close(base.acoustic.speaker.offsets.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    low, median = base.aligner.score_range.tolist()
    assert -10 < low <= median < 0
    assert float(base.acoustic.mel_scale.min()) > 0 and -12 < float(base.acoustic.mel_mean.mean()) < 0
    assert len(base.acoustic.generate(base.encode("abc de."))) > 0
    gain = base.acoustic.postfilter.gain
    assert (gain > 0).all() and not torch.equal(gain, torch.ones(80))
    assert all(0 < value < 9 for name in ("mel_variance", "mel_detail") for value in base.state[name])


def test_a_base_records_the_data_and_the_call_and_no_absolute_path(corpus: Path, finished: Path) -> None:
    record = RunRecord.model_validate(load_base(finished / "base").state["runs"]["pretrain"])
    assert record.data.manifest == "manifest.jsonl" and record.data.sha256 == sha256_file(corpus / "manifest.jsonl")
    assert (record.data.utterances, record.data.speakers) == (8, 2) and record.data.hours > 0
    assert record.calls[-1].ended is not None and record.calls[-1].version == version("tts_meta")
    for name in ("state.json", "config.json", "symbols.json"):
        text = (finished / "base" / name).read_text()
        assert str(corpus.parent) not in text and str(Path.home()) not in text and str(finished) not in text


def test_the_run_folder_holds_the_resolved_configuration(corpus: Path, finished: Path) -> None:
    stored = parse_config(json.loads((finished / "config.json").read_text()), PretrainConfig, "config.json")
    assert stored == recipe(corpus, finished, language="en"), "the language is that of the phonemizer"


def test_a_base_records_the_versions_of_its_phonemizer(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_PACKAGES", {"letters": ("hypothesis", "no-such-package")})
    few = {"steps": 1, "frames_per_batch": 300}
    base = load_base(pretrain(recipe(corpus, tmp_path / "run", aligner=few, acoustic=few)))
    assert base.state["phonemizer"] == {"hypothesis": version("hypothesis")}


@pytest.mark.parametrize("updates", [2, 7, 11, 17])
def test_an_interrupted_run_resumes_to_the_same_weights_bit_for_bit(
    corpus: Path, finished: Path, tmp_path: Path, updates: int
) -> None:
    """Interrupted in both stages of the aligner, and before and after a checkpoint of the acoustic model."""
    with interrupted(updates):
        pretrain(recipe(corpus, tmp_path / "run"))
    assert not (tmp_path / "run" / "base").exists()
    pretrain(recipe(corpus, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_a_run_killed_during_the_writing_of_a_checkpoint_resumes_to_the_same_weights(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    recipe_file = tmp_path / "recipe.json"
    recipe_file.write_text(dump_config(recipe(corpus, tmp_path / "run")))
    code = f"""
import os, signal, sys
sys.path.append({str(Path(__file__).parent)!r})
import helpers
from tts_meta.config import load_config
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train import checkpoints, pretrain
write, written = checkpoints.write_tensors, []
def kill_at_sixth(path, *tensors):
    write(path, *tensors)
    written.append(path)
    if len(written) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoints.write_tensors = kill_at_sixth
pretrain(load_config({str(recipe_file)!r}, PretrainConfig))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[1], capture_output=True)
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()
    state = json.loads((tmp_path / "run" / "acoustic" / "training" / "state.json").read_text())
    assert state["step"] == 4, "the last complete checkpoint"
    pretrain(recipe(corpus, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_a_run_out_of_time_ends_with_a_message_and_resumes(corpus: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="the time is up in the training of the aligner; run the same command again"):
        pretrain(recipe(corpus, tmp_path / "run", max_hours=1e-9))
    pretrain(recipe(corpus, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_a_run_out_of_time_writes_the_base_of_the_last_checkpoint(corpus: Path, finished: Path, tmp_path: Path) -> None:
    with interrupted(updates=5 + 5 + 6):
        pretrain(recipe(corpus, tmp_path / "run"))
    with pytest.raises(TtsMetaError, match=r"the time is up; .*base holds the base so far"):
        pretrain(recipe(corpus, tmp_path / "run", max_hours=1e-9))
    partial = load_base(tmp_path / "run" / "base")
    assert partial.state["steps"] == 4, "the steps of the last checkpoint"
    assert len(partial.acoustic.generate(partial.encode("abc"))) > 0
    pretrain(recipe(corpus, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_a_completed_run_computes_nothing_when_it_is_started_again(
    corpus: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights(finished)

    def never(*args: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(FeatureCache, "compute", never)
    monkeypatch.setattr(AveragedModel, "update_parameters", never)
    monkeypatch.setattr(FlatStart, "estimate", never)
    monkeypatch.setattr(Aligner, "align", never)
    pretrain(recipe(corpus, finished))
    assert weights(finished) == before


def test_another_configuration_is_refused_in_the_same_folder(corpus: Path, finished: Path) -> None:
    before = (finished / "config.json").read_bytes()
    with pytest.raises(
        TtsMetaError, match=r"holds a run with another configuration \(.*\); choose another output folder"
    ):
        pretrain(recipe(corpus, finished, seed=5))
    assert (finished / "config.json").read_bytes() == before


def test_other_utterances_are_refused_in_the_same_folder(corpus: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(corpus / "manifest.jsonl")
    (tmp_path / "corpus").mkdir()
    few = {"steps": 1, "frames_per_batch": 300}
    settings = recipe(tmp_path / "corpus", tmp_path / "run", cache=corpus / "cache", aligner=few, acoustic=few)
    manifest.save(tmp_path / "corpus" / "manifest.jsonl")
    pretrain(settings)
    Manifest(manifest.utterances[:-1]).save(tmp_path / "corpus" / "manifest.jsonl")
    with pytest.raises(TtsMetaError, match="holds a run on other utterances; choose another output folder"):
        pretrain(settings)


def test_a_run_resumes_without_the_recordings(corpus: Path, finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    with interrupted(updates=3):
        pretrain(recipe(copy, tmp_path / "run"))
    for path in copy.glob("*.wav"):
        path.unlink()
    pretrain(recipe(copy, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_a_run_whose_cache_was_deleted_computes_the_log_mels_again(
    corpus: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    with interrupted(updates=3):
        pretrain(recipe(copy, tmp_path / "run"))
    shutil.rmtree(copy / "cache")
    original = (copy / "3.wav").read_bytes()
    (copy / "3.wav").write_bytes((copy / "2.wav").read_bytes())
    line = error_line(lambda: pretrain(recipe(copy, tmp_path / "run")))
    assert line.startswith(f"{copy}/3.wav: changed since the run started; restore it")
    (copy / "3.wav").unlink()
    assert "3.wav: no such file" in error_line(lambda: pretrain(recipe(copy, tmp_path / "run")))
    (copy / "3.wav").write_bytes(original)
    pretrain(recipe(copy, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)
    assert "are missing or damaged in" in " ".join(capsys.readouterr().err.split())


def test_another_seed_gives_other_weights(corpus: Path, finished: Path, tmp_path: Path) -> None:
    pretrain(recipe(corpus, tmp_path / "run", seed=5))
    assert weights(tmp_path / "run") != weights(finished)


def test_images_audio_and_validation_losses_are_logged_in_bfloat16(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Mock(return_value=GriffinLim(iterations=1))
    monkeypatch.setattr(importlib.import_module("tts_meta.train.pretrain"), "load_vocoder", load)
    acoustic = {"steps": 4, "frames_per_batch": 300, "warmup": 2}
    changes = {
        "sentences": ["Abc de."],
        "sample_every": 2,
        "log_every": 2,
        "precision": "bfloat16",
        "acoustic": acoustic,
    }
    pretrain(recipe(corpus, tmp_path / "run", **changes))
    load.assert_called_once()
    events = EventAccumulator(str(tmp_path / "run" / "acoustic"))
    events.Reload()
    tags = events.Tags()
    names = {"sentence_1/1_mean_voice", "sentence_1/2_speaker_ann"}
    names |= {"validation/2_real_through_vocoder", "validation/3_teacher_forced"}
    assert set(tags["audio"]) == {f"audio/{name}" for name in names} | {"audio/validation/1_real"}
    assert set(tags["images"]) == {f"mel/{name}" for name in names} | {"figure/alignment"}
    assert {"validation/mel_nll", "validation/duration_nll", "validation/mel_l1"} <= set(tags["scalars"])
    assert {"acoustic/loss", "acoustic/mel_l1", "acoustic/seconds_of_speech_per_second"} <= set(tags["scalars"])
    assert all(torch.isfinite(v).all() for v in load_base(tmp_path / "run" / "base").acoustic.state_dict().values())


def test_a_run_with_init_from_starts_with_the_weights_of_that_base(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    config = recipe(corpus, tmp_path / "run").model_copy(update={"init_from": finished / "base"})
    slow = config.acoustic.model_copy(update={"steps": 1, "learning_rate": 1e-9, "warmup": 0})
    result = load_base(pretrain(config.model_copy(update={"acoustic": slow})))
    initial = load_base(finished / "base")
    for name, value in initial.acoustic.state_dict().items():
        torch.testing.assert_close(
            result.acoustic.state_dict()[name],
            value,
            atol=1e-3,
            rtol=5e-3,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def test_a_run_with_init_from_resumes_without_that_base(corpus: Path, finished: Path, tmp_path: Path) -> None:
    initial = tmp_path / "initial"
    shutil.copytree(finished / "base", initial)
    config = recipe(corpus, tmp_path / "run").model_copy(update={"init_from": initial})
    folder = pretrain(config)
    expected = load_base(folder).hash
    shutil.rmtree(initial)
    shutil.rmtree(folder)
    assert load_base(pretrain(config)).hash == expected
