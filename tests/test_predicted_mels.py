"""Predicted mels of the vocoder's training: the frames of utterances that have several segments or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers import random_example, tiny_base
from stores import write_store

from tts_meta.array_store import ArrayStore
from tts_meta.train.feature_store import Durations
from tts_meta.train.predicted_mels import PredictedFrames
from tts_meta.train.segments import Segments


def test_frames_of_predicted_mels_are_those_of_their_segments(tmp_path: Path) -> None:
    base = tiny_base()
    store = write_store(tmp_path / "features", [random_example(base, f"abc{'d' * n} fed gab", n) for n in range(4)])
    assert store.frames.min() > 20
    rows = [(1, 0, 1, 2, 0, 0, 3, 9), (1, 1, 1, 2, 0, 0, 12, 20), (2, -1, 1, 2, 0, 0, 0, 5)]
    segments = Segments(store, Durations.of(store, []), np.array(rows, np.int32))
    arrays = ArrayStore(tmp_path, np.float16, 80, {"features": "test"})
    frames = PredictedFrames(segments, arrays)
    expected = np.zeros((int(store.frame_starts[-1]), 80), np.float16)
    for key, (number, *_, begin, end) in zip(frames.keys, rows, strict=True):
        values = np.random.default_rng(begin).standard_normal((end - begin, 80)).astype(np.float16)
        arrays.put(key.tobytes(), values)
        first = int(store.frame_starts[number])
        expected[first + begin : first + end] = values
    for begin in range(int(store.frame_starts[3]) - 7):
        assert np.array_equal(frames[begin : begin + 7], expected[begin : begin + 7]), begin
