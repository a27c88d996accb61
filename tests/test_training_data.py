"""Training data: the order of batches, examples of a manifest, and exclusion of utterances that do not align."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import pytest
import torch
from helpers import RATE, random_example, tiny_base, tone_corpus
from toy_training import stream

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.train.datasets import BatchStream, align_examples, load_examples
from tts_meta.train.optimiser import BatchSize


@pytest.mark.parametrize(("epoch", "position"), [(0, 0), (0, 1), (1, 1), (3, 0)])
def test_batches_resume_from_any_position_in_the_same_order(epoch: int, position: int) -> None:
    positions, ids = [], []
    for batch_epoch, next_position, batch in stream().batches(0, 0):
        assert batch is not None
        positions.append((batch_epoch, next_position))
        ids.append(batch.ids)
        if batch_epoch > 4:
            break
    start = positions.index((epoch, position + 1))
    resumed = stream().batches(epoch, position)
    for (*actual, batch), expected, expected_ids in zip(resumed, positions[start:], ids[start:], strict=False):
        assert tuple(actual) == expected and batch is not None and batch.ids == expected_ids
    second_epoch = [batch_ids for (batch_epoch, _), batch_ids in zip(positions, ids, strict=True) if batch_epoch == 1]
    assert sorted(chain.from_iterable(second_epoch)) == [f"ann-{n}" for n in range(7)], "each utterance once an epoch"


def test_the_position_at_the_end_of_an_epoch_is_the_start_of_the_next_epoch() -> None:
    _, _, expected = next(stream().batches(1, 0))
    length = max(position for epoch, position, _ in islice(stream().batches(0, 0), 20) if epoch == 0)
    epoch, position, batch = next(stream().batches(0, length))
    assert (epoch, position) == (1, 1) and batch is not None and expected is not None and batch.ids == expected.ids


def test_an_empty_corpus_is_refused_and_does_not_hang() -> None:
    with pytest.raises(TtsMetaError, match="no utterance is left to train on"):
        BatchStream([], {}, BatchSize(100), 1, 0)


def test_examples_are_in_the_order_of_the_manifest_with_tokens_and_mels(tmp_path: Path) -> None:
    base = tiny_base()
    manifest = Manifest.load(tone_corpus(tmp_path, utterances=4))
    cache = FeatureCache(tmp_path / "cache", base.config.audio)
    examples = list(load_examples(manifest, base, cache))
    assert [example.id for example in examples] == [utterance.id for utterance in manifest]
    for example, utterance in zip(examples, manifest, strict=True):
        assert torch.equal(example.tokens, base.encode(utterance.text))
        assert torch.equal(example.mel, cache.mel(utterance.audio)) and example.speaker == utterance.speaker
        assert abs(len(example.mel) * 256 / RATE - utterance.seconds) < 0.4


def test_an_unknown_character_is_named_with_the_sentence(tmp_path: Path) -> None:
    base = tiny_base()
    manifest = Manifest.load(tone_corpus(tmp_path, utterances=2))
    bad = Manifest((manifest.utterances[0], replace(manifest.utterances[1], text="Bad żab")))
    with pytest.raises(TtsMetaError, match="unknown symbol 'ż' in \"Bad żab\""):
        list(load_examples(bad, base, FeatureCache(tmp_path / "cache", base.config.audio)))


def test_recordings_that_do_not_match_their_transcript_are_excluded_and_listed(tmp_path: Path) -> None:
    base = tiny_base()
    pair = [random_example(base, "abc de", 0), random_example(base, "fed gab", 1)]
    scores = [base.aligner.align(e.mel, e.tokens, base.kinds).score for e in pair]
    base.aligner.score_range.copy_(torch.tensor([max(scores) - 1e-4, max(scores)]))
    good, mismatched = pair if scores[0] > scores[1] else reversed(pair)
    short = replace(good, id="short", mel=good.mel[:2])
    kept = list(align_examples([good, short, mismatched], base, tmp_path / "excluded.jsonl"))
    assert [example.id for example in kept] == [good.id] and int(kept[0].durations.sum()) == len(good.mel)
    listed = [json.loads(line) for line in (tmp_path / "excluded.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in listed] == ["short", mismatched.id]
    assert "too short for its transcript" in listed[0]["reason"]
    assert "does not match its transcript" in listed[1]["reason"]
