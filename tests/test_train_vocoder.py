"""Training of the source-filter vocoder: its stages, its data, resumption, and damaged files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import error_line, interrupted
from helpers import tiny_base, tiny_source_filter, tone_corpus
from numpy.typing import NDArray
from processes import under_torchrun
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from tts_meta.audio.mel import MelConfig, MelSpec
from tts_meta.config import dump_config, parse_config
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.vocoders.source_filter import SourceFilterConfig
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter
from tts_meta.train.datasets import segment_utterances
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.optimiser import BatchSize, clip_gradients
from tts_meta.train.predicted_mels import predict_mels
from tts_meta.train.vocoder import VocoderTrainConfig, train_vocoder
from tts_meta.train.vocoder_data import CropStream, PitchLabels, PredictedMels, VocoderCache, VocoderData

FRAMES = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of tones, their manifest, and a base of letters."""
    folder = tmp_path_factory.mktemp("corpus")
    tone_corpus(folder)
    save_base(tiny_base(), folder / "base")
    return folder


def recipe(corpus: Path, output: Path, **changes: object) -> VocoderTrainConfig:
    stage = {"steps": 4, "frames_per_batch": 3 * FRAMES, "learning_rate": 1e-3, "warmup": 2}
    data = {
        "manifest": corpus / "manifest.jsonl",
        "output": output,
        "cache": corpus / "cache",
        "base": corpus / "base",
        "vocoder": tiny_source_filter().config,
        "discriminator": {"windows": [512, 128], "channels": 4},
        **{name: stage for name in ("pitch", "spectral", "adversarial", "finetune")},
        "crop_frames": FRAMES,
        "min_segment_seconds": 0.6,
        "ema_decay": 0.9,
        "threads": 1,
        "log_every": 2,
        "save_every": 2,
        "sample_every": 4,
    }
    return parse_config(data | changes, VocoderTrainConfig, "recipe")


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed run."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert train_vocoder(recipe(corpus, output)) == output / "vocoder"
    return output


def opened(corpus: Path, run: Path) -> tuple[FeatureStore, VocoderData]:
    """The features of a run."""
    cache = VocoderCache(corpus / "cache", tiny_base().config.audio)
    store = FeatureStore(run / "features", cache.store)
    return store, VocoderData(store, cache)


def stream(
    corpus: Path, run: Path, frames: int = FRAMES, size: BatchSize | None = None, **options: object
) -> CropStream:
    store, data = opened(corpus, run)
    numbers, pitch, size = np.arange(len(store)), PitchLabels(data.f0, 60.0), size or BatchSize(4 * frames)
    return CropStream(store, data, data.mels, pitch, numbers, frames, size, 0, **options)  # pyright: ignore[reportArgumentType]


def weights(run: Path) -> bytes:
    return (run / "vocoder" / "model.safetensors").read_bytes()


def test_every_stage_writes_a_vocoder(corpus: Path, finished: Path) -> None:
    for folder in ("spectral/vocoder", "adversarial/vocoder", "finetune/vocoder", "vocoder"):
        load_source_filter(finished / folder)
    assert weights(finished) == (finished / "finetune" / "vocoder" / "model.safetensors").read_bytes()
    assert weights(finished) != (finished / "spectral" / "vocoder" / "model.safetensors").read_bytes()
    state = json.loads((finished / "vocoder" / "state.json").read_text())
    assert state["utterances"] == 8 and state["steps"]["adversarial"] == 4
    assert state["runs"]["train-vocoder"]["data"]["utterances"] == 8 and state["corpus"] == "manifest.jsonl"
    assert str(finished.parents[1]) not in json.dumps(state)
    events = EventAccumulator(str(finished / "adversarial")).Reload()
    assert {"audio/0/1_real", "audio/0/2_vocoder"} <= set(events.Tags()["audio"])
    losses = ("energy_distance", "adversarial", "discriminator")
    assert {f"adversarial/{name}" for name in losses} <= set(events.Tags()["scalars"])


@pytest.mark.parametrize("updates", [3, 6, 11, 15])
def test_an_interrupted_run_resumes_to_the_same_weights_bit_for_bit(
    corpus: Path, finished: Path, tmp_path: Path, updates: int
) -> None:
    """The run is interrupted in each of its four stages."""
    with interrupted(updates):
        train_vocoder(recipe(corpus, tmp_path / "run"))
    train_vocoder(recipe(corpus, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_a_run_out_of_time_resumes_and_writes_a_vocoder(corpus: Path, tmp_path: Path) -> None:
    config = recipe(corpus, tmp_path / "run", max_hours=1e-9)
    assert "run the same command again" in error_line(lambda: train_vocoder(config))
    train_vocoder(config.model_copy(update={"max_hours": 0.0, "threads": 1}))
    assert (tmp_path / "run" / "vocoder" / "state.json").exists()


def test_a_run_with_init_from_keeps_the_pitch_predictor_and_trains_the_network(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    skipped = {"steps": 0, "learning_rate": 1e-3}
    config = recipe(corpus, tmp_path / "run", init_from=finished / "vocoder", spectral=skipped, adversarial=skipped)
    train_vocoder(config)
    assert not (tmp_path / "run" / "pitch").exists()
    before, after = (load_source_filter(run / "vocoder").state_dict() for run in (finished, tmp_path / "run"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"net"}
    # The file of a vocoder has the name of the folder, and no path of the user.
    assert json.loads((tmp_path / "run/vocoder/state.json").read_text())["init_from"] == "vocoder"
    wider = recipe(corpus, tmp_path / "wider", init_from=finished / "vocoder", vocoder=SourceFilterConfig())
    assert "of other sizes" in error_line(lambda: train_vocoder(wider))


def test_gradients_of_the_generator_and_the_discriminator_are_clipped_separately(
    corpus: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipped: list[set[str]] = []

    def record(modules: Iterable[nn.Module], max_norm: float) -> torch.Tensor:
        modules = list(modules)
        clipped.append({type(module).__name__ for module in modules})
        return clip_gradients(modules, max_norm)

    monkeypatch.setattr("tts_meta.train.loop.clip_gradients", record)
    skipped, single = {"steps": 0, "learning_rate": 1e-3}, {"steps": 1, "learning_rate": 1e-3, "frames_per_batch": 64}
    stages = {"spectral": skipped, "adversarial": single, "finetune": skipped}
    train_vocoder(recipe(corpus, tmp_path / "run", init_from=finished / "vocoder", **stages))
    assert clipped == [{"ConvNext", "Discriminator"}]


def test_two_processes_take_the_steps_of_one_process(corpus: Path, finished: Path, tmp_path: Path) -> None:
    """The weights differ, because two processes draw other noise than one process."""
    (tmp_path / "recipe.json").write_text(dump_config(recipe(corpus, tmp_path / "run")))
    code = f"""
import helpers
from tts_meta.config import load_config
from tts_meta.train.vocoder import VocoderTrainConfig, train_vocoder
train_vocoder(load_config({str(tmp_path / "recipe.json")!r}, VocoderTrainConfig))
"""
    result = under_torchrun(code, tmp_path)
    assert result.returncode == 0, result.stderr
    for stage in ("pitch", "spectral", "adversarial", "finetune"):
        single, double = (
            json.loads((run / stage / "training/state.json").read_text()) for run in (finished, tmp_path / "run")
        )
        assert (single["group"], double["group"]) == (1, 2), "the numbers of processes"
        of_weights = {name: double[name] for name in ("sha256", "validation_loss")}
        assert {**single, **of_weights, "group": 2} == double
    vocoder = SourceFilterVocoder(load_source_filter(tmp_path / "run" / "vocoder"))
    assert torch.isfinite(vocoder(torch.full((1, 20, 80), -5.0))).all()


def test_mels_of_speakers_unknown_to_the_base_are_predicted_with_the_mean_voice(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    store, _ = opened(corpus, finished)
    base = load_base(corpus / "base")
    segments = segment_utterances(store, Durations.load(finished / "durations.safetensors", store), base, 0.6, 0.3)

    def predicted(name: str, base: Base) -> list[NDArray[np.float16]]:
        config = recipe(corpus, tmp_path / name, device="cpu")
        frames = predict_mels(base, segments, config, Console(quiet=True))
        return [frames[begin:end] for begin, end in pairwise(store.frame_starts.tolist())]

    known, unknown = predicted("known", base), predicted("unknown", replace(base, speakers=("x", "y")))
    mean = load_base(corpus / "base")
    with torch.no_grad():
        mean.acoustic.speaker.offsets.zero_()
    expected = predicted("mean", mean)
    for mels in zip(known, unknown, expected, strict=True):
        assert np.array_equal(mels[1], mels[2]) and not np.array_equal(mels[0], mels[1])
        assert bool(mels[0].any(1).all())
    again = predicted("known", base)
    assert all(np.array_equal(a, b) for a, b in zip(known, again, strict=True))


def test_a_folder_of_another_run_is_refused(corpus: Path, finished: Path) -> None:
    assert "another configuration" in error_line(lambda: train_vocoder(recipe(corpus, finished, seed=1)))


def test_features_that_were_cut_off_are_computed_again(corpus: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "cache", tmp_path / "cache")
    shutil.copytree(finished, tmp_path / "run")
    for kind in ("mels", "samples", "f0"):
        (shard,) = (tmp_path / "cache" / kind).glob("*/*.data")
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    shutil.rmtree(tmp_path / "run" / "spectral")
    train_vocoder(recipe(corpus, tmp_path / "run", cache=tmp_path / "cache"))
    assert weights(tmp_path / "run") == weights(finished)


@pytest.mark.parametrize(
    "name",
    [
        "features/keys.npy",
        "pitch.safetensors",
        "durations.safetensors",
        "finetune/weights.safetensors",
        "finetune/training/state.json",
    ],
)
def test_a_damaged_file_of_a_run_is_named_in_one_line(corpus: Path, finished: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    original = (run / name).read_bytes()
    if name.startswith("finetune/training"):
        (run / "finetune" / "weights.safetensors").unlink()
        shutil.rmtree(run / "finetune" / "checkpoints")  # an earlier checkpoint would replace the damaged one
    for content in (b"", original[: len(original) // 2], b"null"):
        (run / name).write_bytes(content)
        line = error_line(lambda: train_vocoder(recipe(corpus, run)))
        assert line.startswith(str(run)) and "delete" in line


def test_utterances_that_are_all_shorter_than_a_crop_are_refused(corpus: Path, finished: Path) -> None:
    assert "smaller crop_frames" in error_line(lambda: stream(corpus, finished, frames=100_000), TtsMetaError)


def test_the_samples_of_a_crop_have_the_mel_of_the_crop(corpus: Path, finished: Path) -> None:
    _, _, crops = next(stream(corpus, finished).batches(0, 0))
    assert crops is not None
    crops = crops.to("cpu")
    assert crops.mel.shape == (4, FRAMES, 80) and crops.samples.shape == (4, FRAMES * 256)
    mel = MelSpec(MelConfig())(crops.samples)
    inner = slice(3, -3)
    loud = crops.mel[:, inner] > -6
    assert float((mel[:, inner] - crops.mel[:, inner])[loud].abs().mean()) < 0.02


def test_a_stream_resumes_from_any_position(corpus: Path, finished: Path) -> None:
    batches = [batch for *_, batch in islice(stream(corpus, finished).batches(0, 0), 9)]
    epoch, position, _ = list(islice(stream(corpus, finished).batches(0, 0), 5))[-1]
    resumed = [batch for *_, batch in islice(stream(corpus, finished, threads=3).batches(epoch, position), 4)]
    for expected, actual in zip(batches[5:], resumed, strict=True):
        assert expected is not None and actual is not None and torch.equal(expected.samples, actual.samples)
    assert batches[0] is not None and batches[1] is not None
    assert not torch.equal(batches[0].samples, batches[1].samples)


def test_the_given_fraction_of_crops_has_predicted_mels_if_the_utterance_has_them(corpus: Path, finished: Path) -> None:
    store, _ = opened(corpus, finished)
    silent = np.zeros((int(store.frames.sum()), 80), np.float16)
    known = np.zeros(len(store), bool)
    for predicted, fraction, expected in ((True, 1.0, 1.0), (True, 0.5, 0.5), (False, 1.0, 0.0)):
        known[:] = predicted
        crops = islice(stream(corpus, finished, predicted=PredictedMels(known, silent, fraction)).batches(0, 0), 40)
        silent_crops = torch.cat([(batch.mel == 0).flatten(1).all(1) for *_, batch in crops if batch is not None])
        assert abs(float(silent_crops.float().mean()) - expected) < 0.15


def test_processes_split_a_batch_into_shares_that_sum_to_one(corpus: Path, finished: Path) -> None:
    single, *streams = (stream(corpus, finished) for _ in range(4))
    for rank, process_stream in enumerate(streams):
        process_stream._rank_and_world = (rank, 3)
    _, _, batch = next(single.batches(0, 0))
    shares = [crops for *_, crops in (next(process_stream.batches(0, 0)) for process_stream in streams) if crops]
    assert batch is not None and float(batch.share) == 1 and [len(crops.mel) for crops in shares] == [2, 1, 1]
    assert sum(float(crops.share) for crops in shares) == pytest.approx(1)
    assert torch.equal(torch.cat([crops.samples for crops in shares])[[0, 2, 3, 1]], batch.samples)
