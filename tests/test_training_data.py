from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from helpers import RATE, random_example, tiny_base, tone_corpus
from toy_training import stream

from tts_meta.audio import FeatureCache
from tts_meta.corpus import Batch, Manifest
from tts_meta.errors import TtsMetaError
from tts_meta.train.datasets import BatchStream, align_examples, load_examples


@pytest.mark.parametrize(("epoch", "position"), [(0, 0), (0, 1), (1, 1), (3, 0)])
def test_batches_go_on_from_any_place_as_they_would_have(epoch: int, position: int) -> None:
    places, whole = [], []
    for at, after, batch in stream().batches(0, 0):
        assert batch is not None
        places.append((at, after))
        whole.append(batch.ids)
        if at > 4:
            break
    start = next(n for n, place in enumerate(places) if place == (epoch, position + 1))
    for (at, after, batch), place, ids in zip(
        stream().batches(epoch, position), places[start:], whole[start:], strict=False
    ):
        assert (at, after) == place and batch is not None and batch.ids == ids
    ends = [n for n, (at, _) in enumerate(places) if at == 1]
    assert sorted(chain.from_iterable(whole[n] for n in ends)) == [f"ann-{n}" for n in range(7)], "all once an epoch"


def test_a_place_at_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    first = zip_first(stream().batches(1, 0), 1)[0]
    length = max(after for at, after, _ in zip_first(stream().batches(0, 0), 20) if at == 0)
    at, after, batch = zip_first(stream().batches(0, length), 1)[0]
    assert (at, after) == (1, 1) and batch.ids == first[2].ids


def zip_first(batches: object, count: int) -> list[tuple[int, int, Batch]]:
    return [item for _, item in zip(range(count), batches, strict=False)]  # pyright: ignore[reportArgumentType]


def test_a_corpus_of_nothing_is_refused_and_does_not_hang() -> None:
    with pytest.raises(TtsMetaError, match="no utterance is left to train on"):
        BatchStream([], {}, 100, 1, 0)


def test_examples_come_in_the_order_of_the_manifest_with_symbols_and_features(tmp_path: Path) -> None:
    base = tiny_base()
    manifest = Manifest.load(tone_corpus(tmp_path, utterances=4))
    cache = FeatureCache(tmp_path / "cache", base.config.audio)
    examples = list(load_examples(manifest, base, cache))
    assert [example.id for example in examples] == [utterance.id for utterance in manifest]
    for example, utterance in zip(examples, manifest, strict=True):
        assert torch.equal(example.tokens, base.encode(utterance.text))
        assert torch.equal(example.mel, cache.mel(utterance.audio)) and example.speaker == utterance.speaker
        assert abs(len(example.mel) * 256 / RATE - utterance.seconds) < 0.4


def test_a_character_no_model_knows_is_named_with_its_sentence(tmp_path: Path) -> None:
    base = tiny_base()
    manifest = Manifest.load(tone_corpus(tmp_path, utterances=2))
    bad = Manifest((manifest.utterances[0], replace(manifest.utterances[1], text="Bad żab")))
    with pytest.raises(TtsMetaError, match="unknown symbol 'ż' in \"Bad żab\""):
        list(load_examples(bad, base, FeatureCache(tmp_path / "cache", base.config.audio)))


def test_sentences_that_cannot_be_what_is_said_are_left_out_and_listed(tmp_path: Path) -> None:
    base = tiny_base()
    pair = [random_example(base, "abc de", 0), random_example(base, "fed gab", 1)]
    scores = [base.aligner.align(e.mel, e.tokens, base.kinds).score for e in pair]
    base.aligner.score_range.copy_(torch.tensor([max(scores) - 1e-4, max(scores)]))
    good, far = pair if scores[0] > scores[1] else reversed(pair)
    short = replace(good, id="short", mel=good.mel[:2])
    kept = list(align_examples([good, short, far], base, tmp_path / "excluded.jsonl"))
    assert [example.id for example in kept] == [good.id] and int(kept[0].durations.sum()) == len(good.mel)
    listed = [json.loads(line) for line in (tmp_path / "excluded.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in listed] == ["short", far.id]
    assert "too short for its transcript" in listed[0]["reason"]
    assert "does not match its transcript" in listed[1]["reason"]
