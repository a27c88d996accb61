"""Quality of a recorded sentence: loudness, noise, mains hum, pauses, bandwidth, and missing high frequencies.

`clone` warns of recordings beyond the limits in this file, and the report of a corpus lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft
from torch import Tensor

from tts_meta.audio.interference import Hum, find_hum, remove_hum_and_rumble
from tts_meta.audio.io import Waveform
from tts_meta.audio.levels import FRAME, STEP, levels_db
from tts_meta.audio.mel import MelSpec
from tts_meta.audio.speech import LoadedSpeech

MAX_HUM_DB, MIN_SNR_DB = -27.0, 12.0
"""Hum above this level relative to the speech, and a signal-to-noise ratio below this value, are faults."""
LONG_PAUSE, SHORT_PAUSE = 2.5, 0.3
"""Seconds. Pauses longer than `LONG_PAUSE` are a fault. Pauses up to `SHORT_PAUSE` are not counted."""
PAUSE_DB = 30.0
"""A pause is more than this many dB quieter than the loudest frame."""
MAX_SNR_DB = 100.0
"""Highest signal-to-noise ratio that is reported: a recording with digital silence has no noise."""
_NOISE_QUANTILE = 0.1
"""The level of the noise is this quantile of the levels of all frames."""
_HIGH_BAND_HZ, _HIGH_BAND_DROP = 5000.0, 5.5
"""Limits for the check of missing high frequencies: a frequency in Hz and a drop in nats.

A recording lacks high frequencies if its log-mel is lower above this frequency than below by more than this drop. In
100 LibriSpeech sentences the drop is at most 4.5 nats. At a sample rate of 8 kHz the drop is above 6 nats in all
sentences.
"""
_BAND_FRAME, _BAND_DB, _LOWEST_PEAK = 1024, 50.0, 80.0
"""Samples of a window, the level below the peak where the band ends, and the lowest frequency of the peak in Hz."""


@dataclass(frozen=True)
class SignalQuality:
    """What `measure_signal` returns.

    loudness: root mean square of the active part, dB of full scale. snr: signal-to-noise ratio, dB. hum: mains hum, if
    any. hum_db: its level relative to the speech, dB; minus infinity without hum. longest_pause: the longest pause
    inside the speech, seconds. pause_seconds: all pauses inside it.
    """

    loudness: float
    snr: float
    hum: Hum | None
    hum_db: float
    longest_pause: float
    pause_seconds: float


def measure_signal(speech: LoadedSpeech, rate: int) -> SignalQuality:
    """Measure a recording. rate: of its waveforms, in Hz.

    The noise is the tenth percentile of the frames' levels, without hum and rumble. A recording without any pause is
    therefore given a low signal-to-noise ratio.
    """
    samples = speech.original - speech.original.mean()
    levels = levels_db(samples)
    loudness = float(10 * np.log10(np.mean(10 ** (levels[levels > levels.max() - PAUSE_DB] / 10))))
    hum = find_hum(samples, rate)
    hum_db = -np.inf if hum is None else float(10 * np.log10(hum.power)) - loudness
    noise = float(np.quantile(levels_db(remove_hum_and_rumble(samples, rate, hum)), _NOISE_QUANTILE))
    inside = [(end - begin) / rate for begin, end in pauses(speech.waveform, rate)]
    return SignalQuality(
        loudness, min(loudness - noise, MAX_SNR_DB), hum, hum_db, max(inside, default=0.0), sum(inside)
    )


def pauses(samples: Waveform, rate: int) -> list[tuple[int, int]]:
    """Return the first and last sample of each pause of more than 0.3 s inside `samples (S,)`.

    Silence at the ends is not a pause. rate: in Hz.
    """
    levels = levels_db(samples)
    quiet = np.concatenate([[0], (levels < levels.max() - PAUSE_DB).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(quiet))
    runs = [(begin * STEP + FRAME // 2, end * STEP) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    last = len(levels)
    inside = [run for run, begin, end in zip(runs, edges[::2], edges[1::2], strict=True) if begin > 0 and end < last]
    return [(int(begin), int(end)) for begin, end in inside if end - begin > SHORT_PAUSE * rate]


def bandwidth(samples: Waveform, rate: int) -> float:
    """Return the highest frequency in Hz at which the mean power spectrum of `samples (S,)` is 50 dB below its peak.

    This is the measure of Bakhturina et al. 2021 ("Hi-Fi Multi-Speaker English TTS Dataset"). rate: of the file, in
    Hz. Steady noise above the speech counts as content. Returns 0 for silence.
    """
    samples = np.pad(samples - samples.mean(), (0, max(0, _BAND_FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _BAND_FRAME)[:: _BAND_FRAME // 2]
    window = np.hanning(_BAND_FRAME).astype(np.float32)
    power = (np.abs(np.asarray(fft.rfft(frames * window))) ** 2).mean(axis=0)
    peak = power[int(np.ceil(_LOWEST_PEAK * _BAND_FRAME / rate)) :].max()
    if peak <= 0:
        return 0.0
    return float(np.flatnonzero(power >= peak * 10 ** (-_BAND_DB / 10))[-1]) * rate / _BAND_FRAME


def lacks_high_frequencies(mel: Tensor, mel_spec: MelSpec) -> bool:
    """Return whether a log-mel `(T, M)` has almost no energy above 5 kHz, as in a recording at 8 kHz."""
    first_bin = (mel_spec.filters > 0).float().argmax(0)
    config = mel_spec.config
    high = first_bin * config.sample_rate / config.n_fft > _HIGH_BAND_HZ  # (M,)
    if not high.any():
        return False
    loud, loud_high = mel[:, ~high].amax(1).quantile(0.95), mel[:, high].amax(1).quantile(0.95)
    return float(loud - loud_high) > _HIGH_BAND_DROP
