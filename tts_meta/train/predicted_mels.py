"""Mels that the acoustic model predicts for the vocoder's training utterances, with teacher forcing."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from tts_meta.array_store import ArrayStore
from tts_meta.corpus import bucket_batches, collate
from tts_meta.models.pretrained import Base
from tts_meta.train.datasets import segment_utterances
from tts_meta.train.feature_store import FeatureStore
from tts_meta.train.segments import Segments
from tts_meta.train.shared_durations import aligned_durations
from tts_meta.train.shared_work import job_keys, share_out
from tts_meta.train.training_config import TrainingConfig
from tts_meta.train.vocoder_data import PredictedMels

_FRAMES_PER_BATCH = 8000


class PredictedFrames:
    """Predicted log-mels of the frames of all utterances, `(F, M)`; 0 where there is no segment."""

    def __init__(self, segments: Segments, arrays: ArrayStore) -> None:
        self._segments, self._arrays = segments, arrays
        self.keys = job_keys("", segments.table.tolist())
        self._begins = segments.store.frame_starts[segments.table[:, 0]] + segments.table[:, 6]

    def __getitem__(self, span: slice) -> NDArray[np.float16]:
        """Read the rows of frames of one utterance."""
        result = np.zeros((span.stop - span.start, self._arrays.width), np.float16)
        number = max(0, int(self._begins.searchsorted(span.start, side="right")) - 1)
        while number < len(self._begins) and self._begins[number] < span.stop:
            begin = int(self._begins[number])
            first, last = max(begin, span.start), min(begin + int(self._segments.frames[number]), span.stop)
            if first < last:
                rows = self._arrays.read(self.keys[number].tobytes(), first - begin, last - begin)
                result[first - span.start : last - span.start] = rows
            number += 1
        return result


def load_predicted_mels(
    config: TrainingConfig, base: Base, store: FeatureStore, fraction: float, console: Console
) -> PredictedMels:
    """Return the predicted mels of a run, which all processes compute once and keep in the run's folder."""
    durations = aligned_durations(config.output, store, base, console)
    segments = segment_utterances(store, durations, base, config.min_segment_seconds, config.pause_seconds)
    known = durations.known & np.isin(np.array(store.speakers), np.array(base.speakers))
    return PredictedMels(known, predict_mels(base, segments, config, console), fraction)


def predict_mels(base: Base, segments: Segments, config: TrainingConfig, console: Console) -> PredictedFrames:
    """Return the log-mels that the acoustic model predicts for aligned segments.

    The model gets the true durations, prosody and previous frames, and the postfilter is applied as in synthesis. They
    are in the folder `predicted` of the run. The batches do not depend on the number of processes.
    """
    model = base.acoustic.to(config.device)
    speakers = {name: number for number, name in enumerate(base.speakers)}
    speakers |= {name: -1 for name in segments.store.speakers if name not in speakers}
    content = {"features": "predicted log-mel", "base": base.hash, "speakers": _digest(speakers)}
    arrays = ArrayStore(config.output / "predicted", np.float16, model.n_mels, content)
    frames = PredictedFrames(segments, arrays)
    batches = bucket_batches(segments.frames.tolist(), _FRAMES_PER_BATCH, 0, 0)
    is_known = arrays.rows(frames.keys) == segments.frames

    def predict(number: int) -> None:
        indices = batches[number]
        batch = collate([segments[index] for index in indices], speakers, model.reduction).to(config.device)
        with torch.inference_mode():
            predicted = model(batch).mel
            for row, index in enumerate(indices):
                mel = model.postfilter(predicted[row, : int(segments.frames[index])])
                arrays.put(frames.keys[index].tobytes(), mel.cpu().half().numpy())

    missing = np.array([n for n, indices in enumerate(batches) if not is_known[indices].all()], np.intp)
    share_out(missing, predict, "predicted mels", console)
    arrays.refresh()
    model.cpu()
    return frames


def _digest(speakers: dict[str, int]) -> str:
    return hashlib.sha256(repr(sorted(speakers.items())).encode()).hexdigest()
