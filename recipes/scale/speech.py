"""Measures how fast one CPU core prepares, aligns and trains on recordings, for `python -m recipes.scale --speech`."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from data_prep.librispeech_mini import read
from recipes.librispeech_mini.throughput import SEGMENT, random_batch, training_step
from tts_meta.audio import MelSpec, load_speech
from tts_meta.models.pretrained import load_base

RECORDINGS, SPLIT = 60, "train"
"""Number of recordings, spread over this split."""
STEPS = 3
"""Timed steps of training."""


def measure_speech(corpus: Path) -> dict[str, float]:
    """Return seconds of speech per CPU second of reading (with log-mel), of alignment, and of pretraining.

    All stages use one thread and the shipped base. Pretraining takes steps of 10,000 frames in bfloat16.
    """
    torch.set_num_threads(1)
    base = load_base()
    listed = [recording for recording in read(corpus) if recording.split == SPLIT and recording.audio is not None]
    chosen = listed[:: max(1, len(listed) // RECORDINGS)][:RECORDINGS]
    mel_spec, mels, seconds, start = MelSpec(base.config.audio.mel), [], 0.0, time.process_time()
    for recording in chosen:
        assert recording.audio is not None
        speech = load_speech(recording.audio, base.config.audio)
        mels.append(mel_spec(torch.from_numpy(speech.waveform)[None])[0])
        seconds += speech.seconds
    read_seconds, start = time.process_time() - start, time.process_time()
    for recording, mel in zip(chosen, mels, strict=True):
        base.align(mel, base.encode(recording.text or ""), recording.id)
    align_seconds = time.process_time() - start
    batch = random_batch(base, SEGMENT)
    step = training_step(base, batch, bfloat16=True)
    step()
    start = time.process_time()
    for _ in range(STEPS):
        step()
    train_seconds = (time.process_time() - start) / STEPS
    batch_seconds = int(batch.all_frames) * base.config.audio.mel.frame_seconds
    return {
        "recordings": len(chosen),
        "seconds": round(seconds, 1),
        "mean_seconds": round(seconds / len(chosen), 2),
        "read": round(seconds / read_seconds, 1),
        "align": round(seconds / align_seconds, 1),
        "pretrain": round(batch_seconds / train_seconds, 1),
        "frame_seconds": base.config.audio.mel.frame_seconds,
        "bands": base.config.audio.mel.n_mels,
    }
