"""The training data of pretraining: speakers, splits, validation sentences, and utterances that are refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Letters
from helpers import pretrain_recipe as recipe

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Example
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.pretrained import load_base
from tts_meta.train import pretrain
from tts_meta.train.datasets import BatchStream


def test_held_out_speakers_are_not_trained_on(corpus: Path, tmp_path: Path) -> None:
    few = {"steps": 1, "frames_per_batch": 300}
    pretrain(recipe(corpus, tmp_path / "run", held_out_speakers=["ben"], aligner=few, acoustic=few))
    assert load_base(tmp_path / "run" / "base").speakers == ("ann",)
    with pytest.raises(UsageError, match="no speaker named 'carl'; the manifest has: ann, ben"):
        pretrain(recipe(corpus, tmp_path / "other", held_out_speakers=["carl"]))
    with pytest.raises(UsageError, match="no split named 'trian'; the manifest has: train"):
        pretrain(recipe(corpus, tmp_path / "third", splits=["trian"]))


def test_validation_sentences_are_not_trained_on(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[set[str]] = []

    class RecordingStream(BatchStream):
        def __init__(self, examples: list[Example], *rest: Any) -> None:
            trained.append({example.id.partition("/")[0] for example in examples})
            super().__init__(examples, *rest)

    monkeypatch.setattr(importlib.import_module("tts_meta.train.datasets"), "BatchStream", RecordingStream)
    few = {"steps": 1, "frames_per_batch": 300}
    pretrain(recipe(corpus, tmp_path / "run", min_segment_seconds=0.0, aligner=few, acoustic=few))
    assert len(trained[-1]) == 7 and trained[0] - trained[-1] == {"0"}


def test_mel_bands_that_are_empty_in_the_whole_corpus_are_learned_without_divergence(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = FeatureCache.compute

    def telephone(cache: FeatureCache, audio: str | Path) -> torch.Tensor:
        mel = compute(cache, audio)
        mel[:, 50:] = -11.5
        return mel

    monkeypatch.setattr(FeatureCache, "compute", telephone)
    few = {"steps": 21, "frames_per_batch": 300}  # 20 steps in a row that are not finite would end the run
    pretrain(recipe(corpus, tmp_path / "run", cache=tmp_path / "cache", aligner=few, acoustic=few))
    base = load_base(tmp_path / "run" / "base")
    mel = base.acoustic.generate(base.encode("abc de"))
    torch.testing.assert_close(mel[:, 50:].mean(), torch.tensor(-11.5), atol=1.0, rtol=0)


def test_recordings_that_are_all_too_long_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="no utterance is left to train on"):
        pretrain(recipe(corpus, tmp_path / "run", max_seconds=0.1))


def test_a_text_with_an_unknown_symbol_is_named_before_training_starts(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Letters, "alphabet", lambda self, texts=(): list("abcdefg"))
    with pytest.raises(TtsMetaError, match="unknown symbol 'h' in \""):
        pretrain(recipe(corpus, tmp_path / "run"))
    assert not (tmp_path / "run" / "aligner_first").exists()
