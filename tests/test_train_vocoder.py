"""Training of the light vocoder: what it is trained on, what it minimises, and that a stopped run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
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

from tts_meta.audio.mel import MelConfig
from tts_meta.config import dump_config, parse_config
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base, load_base, save_base
from tts_meta.models.vocoders.source_filter import SourceFilterConfig
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.source_filter_weights import load_source_filter
from tts_meta.train.datasets import segment_utterances
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.optimiser import clip_gradients
from tts_meta.train.predicted_mels import predict_mels
from tts_meta.train.vocoder import VocoderTrainConfig, train_vocoder
from tts_meta.train.vocoder_data import CropStream, PredictedMels, VocoderData

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
    light = tiny_source_filter().config
    data = {
        "manifest": corpus / "manifest.jsonl",
        "output": output,
        "base": corpus / "base",
        "vocoder": light,
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
    """The folder of a run that nothing stopped."""
    output = tmp_path_factory.mktemp("finished") / "run"
    assert train_vocoder(recipe(corpus, output)) == output / "vocoder"
    return output


def stream(run: Path, frames: int = FRAMES, **given: object) -> CropStream:
    store = FeatureStore(run / "features")
    data = VocoderData(run / "audio", store, MelConfig().hop)
    mels = np.fromfile(run / "features" / "mel.float16", np.float16).reshape(-1, 80)
    numbers = np.arange(len(store))
    return CropStream(store, data, mels, np.load(run / "pitch.npy"), numbers, frames, 4 * frames, 0, **given)  # pyright: ignore[reportArgumentType]


def weights(run: Path) -> bytes:
    return (run / "vocoder" / "model.safetensors").read_bytes()


def test_a_run_leaves_a_vocoder_of_each_stage(finished: Path) -> None:
    for folder in ("spectral/vocoder", "adversarial/vocoder", "finetune/vocoder", "vocoder"):
        load_source_filter(finished / folder)
    assert weights(finished) == (finished / "finetune" / "vocoder" / "model.safetensors").read_bytes()
    assert weights(finished) != (finished / "spectral" / "vocoder" / "model.safetensors").read_bytes()
    state = json.loads((finished / "vocoder" / "state.json").read_text())
    assert state["utterances"] == 8 and state["steps"]["adversarial"] == 4
    heard = EventAccumulator(str(finished / "adversarial")).Reload()
    assert {"audio/0/1_real", "audio/0/2_vocoder"} <= set(heard.Tags()["audio"])
    logged = ("energy_distance", "adversarial", "discriminator")
    assert {f"adversarial/{name}" for name in logged} <= set(heard.Tags()["scalars"])


@pytest.mark.parametrize("updates", [3, 6, 11, 15])
def test_a_run_that_died_and_went_on_has_the_same_weights_bit_for_bit(
    corpus: Path, finished: Path, tmp_path: Path, updates: int
) -> None:
    """It dies in each of its four stages."""
    with interrupted(updates):
        train_vocoder(recipe(corpus, tmp_path / "run"))
    train_vocoder(recipe(corpus, tmp_path / "run"))
    assert weights(tmp_path / "run") == weights(finished)


def test_when_the_time_is_up_the_vocoder_so_far_is_there(corpus: Path, tmp_path: Path) -> None:
    config = recipe(corpus, tmp_path / "run", max_hours=1e-9)
    assert "run the same command again" in error_line(lambda: train_vocoder(config))
    train_vocoder(config.model_copy(update={"max_hours": 0.0, "threads": 1}))
    assert (tmp_path / "run" / "vocoder" / "state.json").exists()


def test_a_run_that_starts_from_a_vocoder_keeps_its_pitch_and_moves_the_rest(
    corpus: Path, finished: Path, tmp_path: Path
) -> None:
    nothing = {"steps": 0, "learning_rate": 1e-3}
    config = recipe(corpus, tmp_path / "run", init_from=finished / "vocoder", spectral=nothing, adversarial=nothing)
    train_vocoder(config)
    assert not (tmp_path / "run" / "pitch").exists()
    before, after = (load_source_filter(run / "vocoder").state_dict() for run in (finished, tmp_path / "run"))
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"net"}
    assert json.loads((tmp_path / "run/vocoder/state.json").read_text())["init_from"] == str(finished / "vocoder")
    wider = recipe(corpus, tmp_path / "wider", init_from=finished / "vocoder", vocoder=SourceFilterConfig())
    assert "of other sizes" in error_line(lambda: train_vocoder(wider))


def test_generator_and_discriminator_are_clipped_apart(
    corpus: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []

    def spy(modules: Iterable[nn.Module], largest: float) -> torch.Tensor:
        parts = list(modules)
        seen.append({type(part).__name__ for part in parts})
        return clip_gradients(parts, largest)

    monkeypatch.setattr("tts_meta.train.loop.clip_gradients", spy)
    nothing, one = {"steps": 0, "learning_rate": 1e-3}, {"steps": 1, "learning_rate": 1e-3, "frames_per_batch": 64}
    stages = {"spectral": nothing, "adversarial": one, "finetune": nothing}
    train_vocoder(recipe(corpus, tmp_path / "run", init_from=finished / "vocoder", **stages))
    assert seen == [{"ConvNext", "Discriminator"}]


def test_two_processes_train_one_vocoder(corpus: Path, finished: Path, tmp_path: Path) -> None:
    """They draw other noise than one alone does: the same steps, not the same weights."""
    (tmp_path / "recipe.json").write_text(dump_config(recipe(corpus, tmp_path / "run")))
    code = f"""
import helpers
from tts_meta.config import load_config
from tts_meta.train.vocoder import VocoderTrainConfig
from tts_meta.train.vocoder import train_vocoder
train_vocoder(load_config({str(tmp_path / "recipe.json")!r}, VocoderTrainConfig))
"""
    done = under_torchrun(code, tmp_path)
    assert done.returncode == 0, done.stderr
    for stage in ("pitch", "spectral", "adversarial", "finetune"):
        one, two = (
            json.loads((run / stage / "training/state.json").read_text()) for run in (finished, tmp_path / "run")
        )
        assert {**one, "sha256": two["sha256"]} == two
    light = SourceFilterVocoder(load_source_filter(tmp_path / "run" / "vocoder"))
    assert torch.isfinite(light(torch.full((1, 20, 80), -5.0))).all()


def test_the_mean_voice_stands_in_for_speakers_the_base_does_not_know(corpus: Path, finished: Path) -> None:
    store, base = FeatureStore(finished / "features"), load_base(corpus / "base")
    segments = segment_utterances(store, Durations.load(finished / "durations.safetensors", store), base, 0.6, 0.3)

    def predicted(one: Base) -> NDArray[np.float16]:
        return predict_mels(one, store, segments, "cpu", Console(quiet=True))

    known, unknown, mean = predicted(base), predicted(replace(base, speakers=("x", "y"))), load_base(corpus / "base")
    assert np.array_equal(known, np.fromfile(finished / "predicted.float16", np.float16).reshape(-1, 80))
    with torch.no_grad():
        mean.acoustic.speaker.offsets.zero_()
    assert np.array_equal(unknown, predicted(mean)) and not np.array_equal(unknown, known)
    assert len(known) == store.frames.sum() and bool(known.any(1).all())


def test_a_folder_of_another_run_is_refused(corpus: Path, finished: Path) -> None:
    assert "another configuration" in error_line(lambda: train_vocoder(recipe(corpus, finished, seed=1)))


def test_damaged_sound_is_one_line(corpus: Path, tmp_path: Path) -> None:
    config = recipe(corpus, tmp_path / "run", max_hours=1e-9)
    error_line(lambda: train_vocoder(config))
    (tmp_path / "run" / "audio" / "samples.int16").write_bytes(b"1234")
    assert "damaged audio" in error_line(lambda: train_vocoder(config))


@pytest.mark.parametrize(
    "name",
    [
        "pitch.npy",
        "pitch.safetensors",
        "predicted.float16",
        "durations.safetensors",
        "audio/f0.npy",
        "audio/samples.int16",
        "finetune/weights.safetensors",
        "finetune/training/state.json",
    ],
)
def test_damaged_files_of_a_run_are_one_line_that_names_them(
    corpus: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    whole = (run / name).read_bytes()
    if name.startswith("finetune/training"):
        (run / "finetune" / "weights.safetensors").unlink()
    for content in (b"", whole[: len(whole) // 2], b"null"):
        (run / name).write_bytes(content)
        line = error_line(lambda: train_vocoder(recipe(corpus, run)))
        assert line.startswith(str(run)) and "delete" in line


def test_utterances_shorter_than_a_crop_cannot_be_trained_on(finished: Path) -> None:
    assert "smaller crop_frames" in error_line(lambda: stream(finished, frames=100_000), TtsMetaError)


def test_crops_hold_the_sound_of_their_mels(finished: Path) -> None:
    from tts_meta.audio import MelSpec

    _, _, crops = next(stream(finished).batches(0, 0))
    assert crops is not None
    crops = crops.to("cpu")
    assert crops.mel.shape == (4, FRAMES, 80) and crops.samples.shape == (4, FRAMES * 256)
    again = MelSpec(MelConfig())(crops.samples)
    inner = slice(3, -3)
    loud = crops.mel[:, inner] > -6
    assert float((again[:, inner] - crops.mel[:, inner])[loud].abs().mean()) < 0.02


def test_a_stream_goes_on_from_any_place(finished: Path) -> None:
    whole = [batch for *_, batch in islice(stream(finished).batches(0, 0), 9)]
    epoch, position, _ = list(islice(stream(finished).batches(0, 0), 5))[-1]
    rest = [batch for *_, batch in islice(stream(finished, threads=3).batches(epoch, position), 4)]
    for one, other in zip(whole[5:], rest, strict=True):
        assert one is not None and other is not None and torch.equal(one.samples, other.samples)
    assert whole[0] is not None and whole[1] is not None
    assert not torch.equal(whole[0].samples, whole[1].samples)


def test_other_mels_come_in_their_part_and_only_where_they_are(finished: Path) -> None:
    store = FeatureStore(finished / "features")
    silent = np.zeros((int(store.frames.sum()), 80), np.float16)
    known = np.zeros(len(store), bool)
    for has, part, expected in ((True, 1.0, 1.0), (True, 0.5, 0.5), (False, 1.0, 0.0)):
        known[:] = has
        drawn = islice(stream(finished, predicted=PredictedMels(known, silent, part)).batches(0, 0), 40)
        taken = torch.cat([(batch.mel == 0).flatten(1).all(1) for *_, batch in drawn if batch is not None])
        assert abs(float(taken.float().mean()) - expected) < 0.15


def test_processes_share_a_batch(finished: Path) -> None:
    whole, *parts = (stream(finished) for _ in range(4))
    for rank, part in enumerate(parts):
        part._rank_and_world = (rank, 3)
    (_, _, batch), *own = (next(one.batches(0, 0)) for one in (whole, *parts))
    own = [crops for *_, crops in own]
    assert batch is not None and float(batch.share) == 1 and [len(c.mel) for c in own if c] == [2, 1, 1]
    assert sum(float(c.share) for c in own if c) == pytest.approx(1)
    assert torch.equal(torch.cat([c.samples for c in own if c])[[0, 2, 3, 1]], batch.samples)
