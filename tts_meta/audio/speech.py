"""`load_speech`: the one function that reads a recorded sentence for `prepare`, training and `clone`.

All three accept the same recordings and read the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tts_meta.audio.clipping import clipped_fraction
from tts_meta.audio.io import MAX_SECONDS, Waveform, decode_audio, to_mono
from tts_meta.audio.trimming import AudioConfig, prepare_waveform
from tts_meta.errors import TtsMetaError

_MAX_CLIPPED = 0.002


@dataclass(frozen=True)
class LoadedSpeech:
    """A recorded sentence, prepared for the models and as recorded.

    waveform: trimmed and at the configured loudness, float32 `(S,)`. original: mono at the same rate, neither trimmed
    nor scaled, `(S',)`. source_rate: Hz, from the file's header. seconds: duration of the file.
    """

    waveform: Waveform
    original: Waveform
    source_rate: int
    seconds: float


def load_speech(path: str | Path, config: AudioConfig) -> LoadedSpeech:
    """Read one recorded sentence.

    Raises TtsMetaError, naming the file, if it cannot be read or is silent, clipped, too long, or too short for a word.
    """
    samples, source_rate = decode_audio(path, MAX_SECONDS)
    clipped = clipped_fraction(samples)
    if clipped > _MAX_CLIPPED:
        raise TtsMetaError(
            f"{path}: clipped, {100 * clipped:.1f}% of it is stuck at its loudest level; record it again more quietly"
        )
    seconds = round(len(samples) / source_rate, 6)
    original = to_mono(samples, source_rate, config.mel.sample_rate)
    waveform = prepare_waveform(original, config, str(path))
    if len(waveform) < config.mel.n_fft:
        raise TtsMetaError(f"{path}: too short to hold a word; leave it out")
    return LoadedSpeech(waveform, original, source_rate, seconds)
