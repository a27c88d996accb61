"""Distance to the real recording of the same sentence: mel-cepstral distortion (MCD), F0 error and voicing error.

Both waveforms are resampled to 16 kHz, trimmed of silence at both ends, and aligned by dynamic time warping (DTW) of
their mel-cepstra, with 10 ms per frame. All three figures are means over the aligned frame pairs (i, j):

    MCD      = 10/ln(10) * sqrt(2 * sum_{d=1..13} (c_id - c_jd)^2)                        in dB
    F0 RMSE  = sqrt(mean over pairs voiced in both of (1200 * log2(f_i / f_j))^2)         in cents
    voicing  = fraction of the pairs in which exactly one frame is voiced

The cepstra are defined by ln|X(m)| = c_0 + sum_d c_d cos(pi d (m + 1/2) / M) over the M = 40 mel bands. The MCD
(Kubichek 1993) is thus the root mean square difference in dB of the smooth spectra over a mel scale, without loudness
(c_0). pYIN (Mauch and Dixon 2014) gives F0 and voicing. Compare these figures only with figures of this module.
Published figures depend on the number of bands, the frame length, the alignment and the trimming.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tts_meta.audio.waveform import SPEECH_RATE, at_rate
from tts_meta.evaluate.metric import Column, Measure, Metric, MetricFunction, Sample, Settings

Floats = npt.NDArray[np.floating]

HOP, N_FFT, BANDS, CEPSTRA = 160, 512, 40, 13
PITCH_FRAME, PITCH_LOW, PITCH_HIGH = 1024, 60.0, 500.0
FLOOR_DB = 80.0  # relative to the loudest band of the utterance; lower levels contain only noise
TRIM_DB = 40.0
_CACHED_RECORDINGS = 20  # number of recordings whose features the metric keeps
DB_PER_CEPSTRUM = 10 / np.log(10) * np.sqrt(2)


@dataclass(frozen=True)
class Track:
    """Features of an utterance per frame: cepstra (T, 13) without c_0, and F0 (T,) in Hz, NaN where unvoiced."""

    cepstra: Floats
    pitch: Floats


@dataclass(frozen=True)
class Distances:
    """The three distances. `f0_rmse` is None if no aligned frame pair is voiced in both."""

    mcd: float
    f0_rmse: float | None
    voicing_error: float


def distances(waveform: object, rate: int, reference: object, reference_rate: int) -> Distances:
    """Return the distances of an utterance (S,) to a recording (S,) of the same sentence; rates in Hz."""
    return distances_of(analyse(waveform, rate), analyse(reference, reference_rate))


def distances_of(track: Track, real: Track) -> Distances:
    """Return the distances between the features of two utterances of the same words."""
    rows, columns = align(track.cepstra, real.cepstra)
    f0_rmse, voicing_error = pitch_distances(track.pitch[rows], real.pitch[columns])
    return Distances(mel_cepstral_distortion(track.cepstra[rows], real.cepstra[columns]), f0_rmse, voicing_error)


def analyse(waveform: object, rate: int) -> Track:
    """Return the features of an utterance (S,) at `rate` Hz."""
    import librosa

    samples, _ = librosa.effects.trim(at_rate(waveform, rate), top_db=TRIM_DB, frame_length=PITCH_FRAME, hop_length=HOP)
    samples = np.pad(samples, (0, max(0, PITCH_FRAME - samples.size)))
    power = librosa.feature.melspectrogram(y=samples, sr=SPEECH_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS)
    pitch, _, _ = librosa.pyin(
        samples, sr=SPEECH_RATE, fmin=PITCH_LOW, fmax=PITCH_HIGH, frame_length=PITCH_FRAME, hop_length=HOP
    )
    floor = max(float(power.max()) * 10 ** (-FLOOR_DB / 10), 1e-20)
    return Track(mel_cepstra(0.5 * np.log(np.maximum(power, floor)).T), pitch)


def mel_cepstra(log_mel: Floats) -> Floats:
    """Return c_1 to c_13 (T, 13) of natural log mel amplitudes (T, M); c_d is the amplitude of the d-th half cosine."""
    from scipy.fft import dct

    return np.asarray(dct(log_mel, type=2, axis=1))[:, 1 : CEPSTRA + 1] / log_mel.shape[1]


def align(first: Floats, second: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the frame indices (P,) and (P,) of the least-cost monotonic path between sequences (T, D) and (U, D)."""
    import librosa

    _, path = librosa.sequence.dtw(first.T, second.T)
    return path[::-1, 0], path[::-1, 1]


def mel_cepstral_distortion(first: Floats, second: Floats) -> float:
    """Return the MCD in dB of aligned cepstra (P, 13)."""
    return float(DB_PER_CEPSTRUM * np.linalg.norm(first - second, axis=1).mean())


def pitch_distances(first: Floats, second: Floats) -> tuple[float | None, float]:
    """Return F0 RMSE in cents (None if no frame is voiced in both) and voicing error of aligned F0 (P,) in Hz."""
    voiced, real_voiced = np.isfinite(first), np.isfinite(second)
    both = voiced & real_voiced
    error = float((voiced != real_voiced).mean())
    if not both.any():
        return None, error
    cents = 1200 * np.log2(first[both] / second[both])
    return float(np.sqrt((cents**2).mean())), error


def _load(settings: Settings) -> MetricFunction:
    # Features of the last recordings. They are kept because several voices speak each sentence.
    tracks: dict[tuple[int, bytes], Track] = {}

    def score(sample: Sample) -> dict[str, Measure]:
        assert sample.reference is not None
        rate = sample.reference_rate or sample.rate
        key = rate, sample.reference.tobytes()
        if key not in tracks:
            tracks[key] = analyse(sample.reference, rate)
            if len(tracks) > _CACHED_RECORDINGS:
                del tracks[next(iter(tracks))]
        errors = distances_of(analyse(sample.waveform, sample.rate), tracks[key])
        measures = {"mcd": Measure(errors.mcd), "voicing_error": Measure(errors.voicing_error)}
        return measures if errors.f0_rmse is None else measures | {"f0_rmse": Measure(errors.f0_rmse)}

    return score


METRIC = Metric(
    (
        Column("mcd", "MCD (dB)", 2, "lower"),
        Column("f0_rmse", "F0 RMSE (cents)", 0, "lower"),
        Column("voicing_error", "Voicing error", 3, "lower"),
    ),
    _load,
    needs=("reference",),
)
