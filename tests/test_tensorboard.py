"""What every verb logs, through TensorBoard's own HTTP interface and, once, in a browser: it plays and it shows."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from browser import CHROMIUM, browser
from commands import write_base, write_recordings
from helpers import RATE, pretrain_recipe, tiny_config, tiny_source_filter, tone_corpus
from PIL import Image
from tensorboard_server import Board, tensorboard

from tts_meta.audio import read_audio
from tts_meta.cli import main
from tts_meta.config import dump_config
from tts_meta.demo.speaker import NEW
from tts_meta.models.pretrained import Base, save_base
from tts_meta.models.vocoders.source_filter_weights import save_source_filter
from tts_meta.text import HibariPhonemizer, SymbolTable

SYSTEMS = ("1_real", "2_base", "3_clone")
STAGES = ("pitch", "spectral", "adversarial", "finetune")
SOUNDS = {
    "demo": {f"audio/sentence_{n}/{system}" for n in range(1, 5) for system in SYSTEMS}
    | {f"audio/support/{n}" for n in range(1, 6)},
    "clone": {f"audio/sentence_{n}/{system}" for n in (1, 2) for system in SYSTEMS},
    "pretrain/acoustic": {
        "audio/validation/1_real",
        "audio/validation/2_real_through_vocoder",
        "audio/validation/3_teacher_forced",
        "audio/sentence_1/1_mean_voice",
        "audio/sentence_1/2_speaker_ann",
    },
    **{f"train-vocoder/{stage}": {"audio/0/1_real", "audio/0/2_vocoder"} for stage in STAGES[1:]},
    "meta-train": {
        f"audio/speaker_{speaker}/{text}/{name}"
        for speaker in ("ann", "ben")
        for text, names in (
            ("recording", ("1_real", "2_before_adaptation", "3_after_adaptation")),
            ("sentence_1", ("2_before_adaptation", "3_after_adaptation")),
        )
        for name in names
    },
    "benchmark/logs": {
        f"audio/ben/sentence_{n}/{name}" for n in (1, 2) for name in ("1_real", "2_copy_synthesis", "3_base", "4_clone")
    },
    "few_shot/logs": {
        f"audio/ben/sentence_1/{name}"
        for name in ("1_real", "2_copy_synthesis", "3_base", "4_all", "4_prior_auto_stop")
    },
}
"""Every sound that each run has."""
OTHERS = {"pretrain/aligner_first", "pretrain/aligner", "train-vocoder/pitch"}
"""Runs of scalars alone."""
FIGURES = {
    "demo": {"figure/similarity"},
    "pretrain/acoustic": {"figure/alignment"},
    "meta-train": {"figure/sigma"},
    "few_shot/logs": {"figure/curves"},
}
ALL = sorted(SOUNDS.keys() | OTHERS)
COMMANDS = {
    "demo": "tts-meta demo",
    "clone": "tts-meta clone",
    "pretrain": "tts-meta pretrain",
    "train-vocoder": "tts-meta train-vocoder",
    "meta-train": "tts-meta meta-train",
    "benchmark": "tts-meta benchmark",
    "few_shot": "tts-meta benchmark",
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the output of every verb that logs, each run by its command."""
    place = tmp_path_factory.mktemp("place")
    folder = place / "logs"
    folder.mkdir()
    _write_english_base(place / "english")
    _do("demo", "--output", place / "demo", "--base", place / "english", "--steps", 2)
    (folder / "demo").symlink_to(place / "demo" / "logs")

    write_base(place / "base")
    save_source_filter(tiny_source_filter(), place / "light", {})
    recordings = write_recordings(place, 2)
    voice = ("-o", place / "a.voice.safetensors", "--base", place / "base", "--vocoder", place / "light")
    _do("clone", *recordings, *voice, "--steps", 2, "--log", folder / "clone")

    corpus, long = place / "corpus", place / "long"
    for one in (corpus, long):
        one.mkdir()
    tone_corpus(corpus)
    tone_corpus(long, utterances=16, words=8)
    recipe = pretrain_recipe(corpus, folder / "pretrain", sentences=["Abc de."], sample_every=6, log_every=2)
    _do("pretrain", _written(place / "pretrain.json", dump_config(recipe)))
    stage = {"steps": 4, "frames_per_batch": 72, "learning_rate": 1e-3, "warmup": 2}
    common = {"manifest": str(corpus / "manifest.jsonl"), "base": str(place / "base")}
    common_training = {"threads": 1, "save_every": 2}
    train = {name: stage for name in STAGES} | common_training
    train |= {"discriminator": {"windows": [512, 128], "channels": 4}, "crop_frames": 24, "min_segment_seconds": 0.6}
    train |= {"vocoder": tiny_source_filter().config.model_dump(mode="json"), "log_every": 2, "sample_every": 2}
    train |= {"cache": str(corpus / "cache")}
    _do("train-vocoder", _recipe(place, common | train, folder / "train-vocoder"))
    inner = {"inner_solver": "adam", "inner_lr": 1e-3, "inner_steps": 3, "variance": 1e-3, "cg_max_iters": 3}
    meta = {"learner": "sigma-reptile", "settings": inner, "support": 2, "query": 1, "min_seconds": 0.1}
    meta |= {"cache": str(corpus / "cache"), "frames_per_step": 200, "meta_steps": 2, "sentences": ["Abc de."]}
    meta |= common_training
    _do("meta-train", _recipe(place, common | meta, folder / "meta-train"))

    score = {"split": "train", "speakers": ["ben"], "metrics": ["similarity"], "score_on": 2}
    score |= {"manifest": str(long / "manifest.jsonl"), "base": str(place / "base"), "vocoder": str(place / "light")}
    _do("benchmark", _recipe(place, score | {"adapt_on": 1, "steps": 2}, folder / "benchmark"))
    learners = {"all": {"modules": ["*"]}, "prior": {"auto_stop": True}}
    few = {"learners": learners, "sentences": [1], "steps": [0, 2], "base": str(folder / "meta-train" / "base")}
    _do("benchmark", _recipe(place, score | few, folder / "few_shot"))
    return folder


@pytest.fixture(scope="module")
def board(logs: Path) -> Iterator[Board]:
    with tensorboard(logs, set(ALL)) as board:
        yield board


def _do(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0, arguments


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _recipe(place: Path, settings: dict[str, Any], output: Path) -> Path:
    return _written(place / f"{output.name}.json", json.dumps(settings | {"output": str(output)}))


def _write_english_base(folder: Path) -> None:
    """An untrained base that takes English and speaks noise of a plausible length."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        symbols = SymbolTable.from_alphabet(HibariPhonemizer().alphabet())
        base = Base.create(tiny_config(phonemizer="hibari"), symbols, ("ann", "ben"))
    with torch.no_grad():
        base.acoustic.mel_mean.fill_(-5.0)
        base.acoustic.mel_scale.fill_(2.0)
        base.acoustic.duration.output.bias.fill_(1.6)
    save_base(base, folder)


def _speaker(board: Board) -> str:
    """Whose sentence meta-training logs."""
    return next(tag for tag in board.tags("audio")["meta-train"]).split("/")[1].removeprefix("speaker_")


def test_a_tag_belongs_to_one_plugin_and_to_the_namespace_of_its_kind(board: Board) -> None:
    begins = {"audio": {"audio"}, "images": {"mel", "figure"}, "text": {"text"}, "histograms": {"histogram"}}
    places: dict[tuple[str, str], list[str]] = {}
    for plugin in (*begins, "scalars"):
        for run, tags in board.tags(plugin).items():
            for tag in tags:
                places.setdefault((run, tag), []).append(plugin)
                assert tag.partition("/")[0] in begins.get(plugin, {tag.partition("/")[0]}), (run, tag)
                if plugin == "scalars":
                    assert tag.partition("/")[0] not in set.union(*begins.values()), (run, tag)
                if plugin in ("audio", "images"):
                    assert tags[tag]["samples"] == 1, (run, tag)  # three where a picture's width, height and bytes play
    assert [place for place, plugins in places.items() if len(plugins) > 1] == []


@pytest.mark.parametrize("run", ALL)
def test_every_sound_plays(board: Board, run: str) -> None:
    tags = board.tags("audio").get(run, {})
    assert set(tags) == SOUNDS.get(run, set())
    for tag in tags:
        for step, body in board.sounds(run, tag):
            assert body[:4] == b"RIFF" and body[8:12] == b"WAVE", (tag, step)
            samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
            assert rate == RATE and samples.ndim == 1 and 0.02 < len(samples) / rate < 60, (tag, step)
            assert np.isfinite(samples).all() and samples.std() > 0, (tag, step)


@pytest.mark.parametrize("run", ALL)
def test_every_picture_shows_and_every_sound_has_its_mel(board: Board, run: str) -> None:
    tags = set(board.tags("images").get(run, {}))
    heard = {tag.removeprefix("audio/") for tag in board.tags("audio").get(run, {}) if "/support/" not in tag}
    unseen = {"validation/1_real"}  # of pretraining, where the mel of the second one is the same
    assert tags == {f"mel/{name}" for name in heard - unseen} | FIGURES.get(run, set())
    for tag in tags:
        for step, body in board.pictures(run, tag):
            picture = Image.open(io.BytesIO(body))
            picture.load()
            assert picture.format == "PNG", (tag, step)
            if tag.startswith("mel/"):
                assert 240 < picture.width <= 400 + 70 and picture.height == 240 + 56, (tag, picture.size)
            else:
                assert picture.width > 400 and picture.height > 80, (tag, picture.size)


def test_the_sounds_of_a_demo_are_those_of_its_files(board: Board, logs: Path) -> None:
    out = (logs / "demo").resolve().parent
    for folder, system, step in (("real", "1_real", 0), ("base", "2_base", 0), ("clone", "3_clone", 2)):
        for number in range(1, len(NEW) + 1):
            (found, body), *others = board.sounds("demo", f"audio/sentence_{number}/{system}")
            samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
            assert found == step and not others
            np.testing.assert_allclose(samples, read_audio(out / folder / f"{number}.wav", rate), atol=2e-4)
    assert NEW[0] in board.tags("audio")["demo"]["audio/sentence_1/3_clone"]["description"]


def test_sounds_of_one_tag_are_a_slider_over_steps(board: Board) -> None:
    def steps(run: str, tag: str) -> list[int]:
        return [step for step, _ in board.sounds(run, tag)]

    assert steps("pretrain/acoustic", "audio/sentence_1/1_mean_voice") == [6, 12]
    assert [step for step, _ in board.pictures("pretrain/acoustic", "mel/sentence_1/1_mean_voice")] == [6, 12]
    assert steps("train-vocoder/spectral", "audio/0/2_vocoder") == [2, 4]
    for speaker in ("ann", "ben"):
        assert steps("meta-train", f"audio/speaker_{speaker}/sentence_1/3_after_adaptation") == [1, 2]
    assert steps("few_shot/logs", "audio/ben/sentence_1/4_all") == [0, 2]
    assert steps("clone", "audio/sentence_1/3_clone") == [2]


def test_the_command_the_data_and_the_settings_stand_on_the_page_of_texts(board: Board) -> None:
    for run in ALL:
        texts = {tag: "\n".join(board.texts(run, tag)) for tag in board.tags("text")[run]}
        assert {"text/command", "text/data", "text/settings"} <= set(texts), run
        assert COMMANDS[run.split("/")[0]] in texts["text/command"], run
    assert "<code>speaker: heart" in board.texts("demo", "text/data")[0]
    assert "utterances: 8" in board.texts("pretrain/acoustic", "text/data")[0]
    assert "frames_per_batch: 300" in board.texts("pretrain/acoustic", "text/settings")[0]
    assert f"<td>sentence_1</td>\n<td>{NEW[0]}</td>" in html.unescape(board.texts("demo", "text/sentences")[0])
    assert "<td>clone</td>" in board.texts("benchmark/logs", "text/tables")[0]
    assert "<td>sentence_1</td>\n<td>Abc de.</td>" in html.unescape(board.texts("meta-train", "text/sentences")[0])


def test_meta_training_logs_the_query_loss_of_its_speakers_before_and_after_adaptation(board: Board) -> None:
    tags = set(board.tags("scalars")["meta-train"])
    for speaker in ("ann", "ben"):
        assert {f"speaker_{speaker}/query_before", f"speaker_{speaker}/query_after"} <= tags
    assert {"meta/residual", "meta/stationarity", "meta/query_before", "meta/query_after"} <= tags


def test_every_run_is_a_row_of_hyperparameters(board: Board) -> None:
    rows = board.hyperparameters()
    assert set(rows) == set(ALL)
    assert rows["demo"]["steps"] == 2
    assert rows["pretrain/acoustic"]["stage"] == "acoustic" and rows["pretrain/acoustic"]["warmup"] == 2
    assert rows["pretrain/acoustic"]["frames_per_batch"] == 300 and rows["pretrain/aligner"]["frames_per_batch"] == 400
    assert rows["train-vocoder/finetune"]["learning_rate"] == pytest.approx(1e-3)
    assert rows["meta-train"]["learner"] == "sigma-reptile" and rows["meta-train"]["inner_steps"] == 3
    assert rows["few_shot/logs"]["score_on"] == 2


def test_sigmas_are_a_histogram(board: Board) -> None:
    (tag,) = board.tags("histograms")["meta-train"]
    entries = board.json("data/plugin/histograms/histograms", run="meta-train", tag=tag)
    modules = [tag for tag in board.tags("scalars")["meta-train"] if tag.startswith("sigma/")]
    assert [(step, sum(count for _, _, count in bins)) for _, step, bins in entries] == [
        (1, len(modules)),
        (2, len(modules)),
    ]


_IN_SHADOWS = """
function all(selector, root = document) {
  const found = [...root.querySelectorAll(selector)];
  for (const one of root.querySelectorAll('*')) if (one.shadowRoot) found.push(...all(selector, one.shadowRoot));
  return found;
}
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium (apt-get install chromium)")
def test_in_a_browser_the_players_play_and_the_pictures_are_drawn(board: Board, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as page:
        page.open(f"{board.address}#audio")
        page.wait_for(f"{_IN_SHADOWS} all('audio').length >= 10")
        playing = """
        Promise.all(all('audio').map(async one => {
          await one.play();
          return [one.error === null, one.duration > 0.1, one.readyState >= 2];
        }))
        """
        found = page.evaluate(f"{_IN_SHADOWS} {playing}")
        assert found and all(all(one) for one in found)
        page.open(f"{board.address}#images")
        drawn = "all('img').filter(one => one.complete && one.naturalWidth > 240).length"
        assert page.wait_for(f"{_IN_SHADOWS} {drawn}") > 0
