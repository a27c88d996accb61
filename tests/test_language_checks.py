"""Every command that reads a manifest with a base refuses texts in another language, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from few_shot_recipes import vocoder
from helpers import tiny_base
from meta_train_runs import meta_recipe

from tts_meta.config import parse_config
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.evaluate.cloning import CloningBenchmark, run_cloning
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, run_few_shot
from tts_meta.models.pretrained import Base, save_base
from tts_meta.report.corpus.measure import MeasureJob, measure_recording
from tts_meta.train import pretrain
from tts_meta.train.meta_train import meta_train
from tts_meta.train.pretrain import PretrainConfig
from tts_meta.train.vocoder import VocoderTrainConfig, train_vocoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an English base and a manifest of German texts, whose recordings do not exist."""
    save_base(tiny_base(), tmp_path / "base")
    texts = [Utterance(str(n), "ann", tmp_path / "a.wav", 3.0, "guten tag", language="de-DE") for n in range(3)]
    Manifest(tuple(texts)).save(tmp_path / "manifest.jsonl")
    return tmp_path


def _meta_train(folder: Path) -> None:
    meta_train(meta_recipe(folder, folder / "run"))


def _train_vocoder(folder: Path) -> None:
    part = {"steps": 1, "frames_per_batch": 100, "learning_rate": 1e-3}
    data = {"manifest": folder / "manifest.jsonl", "output": folder / "run", "base": folder / "base"}
    stages = dict.fromkeys(("pitch", "spectral", "adversarial", "finetune"), part)
    train_vocoder(parse_config(data | stages, VocoderTrainConfig, "recipe"))


def _pretrain(folder: Path) -> None:
    part = {"steps": 1, "frames_per_batch": 100, "learning_rate": 1e-3}
    data = {"manifest": folder / "manifest.jsonl", "output": folder / "run", "aligner": part, "acoustic": part}
    pretrain(parse_config(data | {"base": {"phonemizer": "hibari"}}, PretrainConfig, "recipe"))


def _benchmark(folder: Path) -> None:
    data = {"manifest": folder / "manifest.jsonl", "output": folder / "run", "metrics": []}
    run_cloning(parse_config(data, CloningBenchmark, "recipe"), tiny_base(), vocoder(), print)


def _few_shot(folder: Path) -> None:
    data = {"manifest": folder / "manifest.jsonl", "output": folder / "run", "metrics": [], "sentences": [1]}
    settings = data | {"steps": [1], "learners": {"all": {"modules": ["*"]}}}
    run_few_shot(parse_config(settings, FewShotBenchmark, "recipe"), tiny_base(), vocoder(), print)


@pytest.mark.parametrize("command", [_pretrain, _meta_train, _train_vocoder, _benchmark, _few_shot])
def test_a_manifest_in_another_language_is_one_clear_error(command: Callable[[Path], None], folder: Path) -> None:
    refused = r"texts in 'de' \(3 lines\), but the base reads 'en'; give texts in 'en', or a base for 'de'"
    with pytest.raises(TtsMetaError, match=refused):
        command(folder)


def test_a_benchmark_compares_bases_of_one_language(folder: Path) -> None:
    german = tiny_base()
    config = german.config.model_copy(update={"phonemizer": "espeak:de"})
    save_base(Base(config, german.symbols, german.speakers, german.aligner, german.acoustic), folder / "german")
    data = {"manifest": folder / "manifest.jsonl", "output": folder / "run", "metrics": [], "sentences": [1]}
    learner = {"modules": ["*"], "base": folder / "german"}
    settings = parse_config(data | {"steps": [1], "learners": {"all": learner}}, FewShotBenchmark, "recipe")
    with pytest.raises(UsageError, match=r"reads 'de', but .* reads 'en'; compare bases of one language"):
        run_few_shot(settings, tiny_base(), vocoder(), print)


def test_the_corpus_report_reads_german_texts_in_german(folder: Path) -> None:
    pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
    first = Manifest.load(folder / "manifest.jsonl").utterances[0]
    assert measure_recording(MeasureJob(1, first)).phonemes == len("ɡutən") + len("tɑk")
