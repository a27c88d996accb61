"""Mels that the acoustic model predicts for the vocoder's training utterances, with teacher forcing."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from tts_meta.corpus import bucket_batches, collate
from tts_meta.errors import TtsMetaError
from tts_meta.files import atomic_file
from tts_meta.models.pretrained import Base
from tts_meta.train.datasets import align_examples, segment_utterances
from tts_meta.train.distributed import barrier, is_first
from tts_meta.train.feature_store import Durations, FeatureStore
from tts_meta.train.segments import Segments
from tts_meta.train.training_config import TrainingConfig
from tts_meta.train.vocoder_data import PredictedMels

_FRAMES_PER_BATCH = 8000


def load_predicted_mels(
    config: TrainingConfig, base: Base, store: FeatureStore, fraction: float, console: Console
) -> PredictedMels:
    """Return the predicted mels of a run; the first process computes them once and writes them to the run's folder."""
    output = config.output
    path, durations_path = output / "predicted.float16", output / "durations.safetensors"
    if is_first() and not durations_path.exists():
        numbers = {name: number for number, name in enumerate(store.ids)}
        aligned = align_examples(store, base, output / "excluded.jsonl")
        examples = track(aligned, "alignment", len(store), console=console)
        Durations.of(store, ((numbers[example.id], example.durations) for example in examples)).save(durations_path)
    barrier()
    durations = Durations.load(durations_path, store)
    if is_first() and not path.exists():
        segments = segment_utterances(store, durations, base, config.min_segment_seconds, config.pause_seconds)
        mels = predict_mels(base, store, segments, config.device, console)
        with atomic_file(path) as temporary:
            mels.tofile(temporary)
    barrier()
    bands = base.config.audio.mel.n_mels
    known = durations.known & np.isin(np.array(store.speakers), np.array(base.speakers))
    if path.stat().st_size != int(store.frames.sum()) * bands * np.dtype(np.float16).itemsize:
        raise TtsMetaError(f"{path}: damaged, its size is not that of the utterances; delete it to compute it again")
    return PredictedMels(known, np.memmap(path, np.float16, "r").reshape(-1, bands), fraction)


def predict_mels(
    base: Base, store: FeatureStore, segments: Segments, device: str, console: Console
) -> NDArray[np.float16]:
    """Return the log-mels `(F, M)` that the acoustic model predicts for aligned segments; 0 in all other frames.

    The model gets the true durations, prosody and previous frames, and the postfilter is applied as in synthesis.
    """
    model = base.acoustic.to(device)
    starts = store.frame_starts
    mels = np.zeros((int(store.frames.sum()), model.n_mels), np.float16)
    speakers = {name: number for number, name in enumerate(base.speakers)}
    speakers |= {name: -1 for name in store.speakers if name not in speakers}
    batches = bucket_batches(segments.frames.tolist(), _FRAMES_PER_BATCH, 0, 0)
    for indices in track(batches, "predicted mels", console=console):
        batch = collate([segments[index] for index in indices], speakers, model.reduction).to(device)
        with torch.inference_mode():
            predicted = model(batch).mel
        for row, index in enumerate(indices):
            number, begin, end = (int(segments.table[index, column]) for column in (0, 6, 7))
            mel = model.postfilter(predicted[row, : end - begin])
            mels[starts[number] + begin : starts[number] + end] = mel.cpu().numpy()
    model.cpu()
    return mels
