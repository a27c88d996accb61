"""Finds faults of a recording: hum, noise, long pauses, and the reason why its transcript does not match.

To find the reason, hypotheses are tried one by one. Each hypothesis corrects the recording or the transcript: another
sample rate, pauses shortened, hum removed, the transcript halved or doubled. If the alignment is good after a
correction, the fault of this hypothesis is reported. `docs/audio.md` states how often the reported fault is right, and
how often ordinary recordings give a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tts_meta.audio import MelSpec, prepare_waveform
from tts_meta.audio.interference import find_hum, remove_hum_and_rumble
from tts_meta.audio.io import MAX_SECONDS, Waveform, to_mono
from tts_meta.audio.levels import FRAME
from tts_meta.audio.quality import LONG_PAUSE, MAX_HUM_DB, MIN_SNR_DB, SHORT_PAUSE, measure_signal, pauses
from tts_meta.audio.speech import LoadedSpeech
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base

_SOURCE_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates that are tried in place of the one in the header, Hz."""
_MIN_RATE_RATIO = 1.3
"""Two sample rates are distinguishable if their ratio is above this value."""
_GOOD_DISTANCE = 2.4
"""Largest `AlignmentFit.distance` of a good alignment; `Aligner.matches` uses 2.5."""
_MIN_IMPROVEMENT = 0.6
"""A hypothesis must reduce the distance by more than this value."""
_FAST, _SLOW = 17.0, 8.5
"""Limits of the speaking rate in phonemes per second. Nearly all correct transcripts are between the limits."""
_CROWDED, _STRETCHED = 0.35, 0.04
"""Limits of two fractions of the phonemes: with one frame only, and with more than 0.5 s.

The fractions are 0.2 and 0 in correct transcripts.
"""


@dataclass(frozen=True)
class Fault:
    """A fault of a recording or its transcript. message: text for the user, with what was measured and what to do."""

    kind: Literal["hum", "noise", "pause", "transcript_twice", "spoken_twice", "rate", "more", "less", "other"]
    message: str


@dataclass(frozen=True)
class AlignmentFit:
    """The quality of the match between a transcript and a recording.

    distance: (median - score) / (median - low), with the median and a low quantile of the scores of correct
    transcripts. rate: phonemes per second of speech. crowded: fraction of the phonemes with one frame only.
    stretched: fraction of the phonemes with more than 0.5 s.
    """

    distance: float
    rate: float
    crowded: float
    stretched: float

    @property
    def good(self) -> bool:
        """Whether the score and the speaking rate are typical of a correct transcript."""
        usual_rate = _SLOW < self.rate < _FAST and self.stretched <= _STRETCHED
        return self.distance < _GOOD_DISTANCE and usual_rate and self.crowded < _CROWDED

    @property
    def implausible_rate(self) -> bool:
        """Whether the speaking rate alone shows that the transcript is too long or too short."""
        return (self.rate > _FAST and self.crowded > _CROWDED) or (self.rate < _SLOW and self.stretched > _STRETCHED)


def scores_are_known(base: Base) -> bool:
    """Return whether the base stores the aligner scores of correct transcripts. An untrained base does not."""
    return float(base.aligner.score_range[0]) > -1e3


def measure_fit(base: Base, tokens: Tensor, durations: Tensor, score: float) -> AlignmentFit:
    """Return the fit of an alignment.

    tokens: `(N,)`. durations: `(N,)`, in frames. score: score of the alignment.
    """
    low, median = base.aligner.score_range.tolist()
    spoken = durations[~base.kinds.silent[tokens]].double()
    seconds = float(spoken.sum()) * base.config.audio.mel.frame_seconds
    long = spoken * base.config.audio.mel.frame_seconds > 0.5
    return AlignmentFit(
        (median - score) / max(median - low, 1e-6),
        len(spoken) / max(seconds, 1e-6),
        float((spoken <= 1).double().mean()),
        float(long.double().mean()),
    )


def signal_faults(speech: LoadedSpeech, rate: int) -> list[Fault]:
    """Return the faults of the audio that do not depend on the transcript: hum, noise, long pauses. rate: in Hz."""
    quality = measure_signal(speech, rate)
    faults = list[Fault]()
    if quality.hum is not None and quality.hum_db > MAX_HUM_DB:
        level = f"{abs(quality.hum_db):.0f} dB {'below' if quality.hum_db < 0 else 'above'} the speech"
        problem = f"mains hum at {quality.hum.frequency:.0f} Hz, {level}, which the voice may reproduce"
        faults.append(Fault("hum", f"{problem}; record away from mains cables"))
    if quality.snr < MIN_SNR_DB and len(speech.original) > rate:
        message = f"the noise is only {max(0.0, quality.snr):.0f} dB below the speech; record in a quieter place"
        faults.append(Fault("noise", message))
    if quality.longest_pause > LONG_PAUSE:
        problem = f"a pause of {quality.longest_pause:.1f} s inside the recording"
        faults.append(Fault("pause", f"{problem}; split the recording there or remove the pause"))
    return faults


def diagnose(base: Base, speech: LoadedSpeech, tokens: Tensor, text: str, fit: AlignmentFit) -> Fault | None:
    """Return the fault that explains why `tokens (N,)` do not match the recording.

    fit: fit of the alignment without a correction. Returns None if no hypothesis explains the mismatch.
    """
    explained: list[tuple[float, Fault]] = []
    for fault, samples, corrected_tokens in _hypotheses(base, speech, tokens, text):
        corrected_fit = _alignment_fit(base, samples, corrected_tokens)
        # A doubled transcript can score well with one frame per phoneme; its speaking rate shows the fault.
        doubled = fault.kind == "transcript_twice" and fit.crowded >= _CROWDED
        min_improvement = 0.0 if doubled else _MIN_IMPROVEMENT
        if corrected_fit is None or not corrected_fit.good:
            continue
        if fit.distance - corrected_fit.distance > min_improvement:
            explained.append((corrected_fit.distance + 3 * corrected_fit.crowded, fault))
    if explained:
        return min(explained, key=lambda pair: pair[0])[1]
    rate = f"{fit.rate:.0f} phonemes per second, the usual rate is 8 to 16"
    if fit.rate > _FAST and fit.crowded > _CROWDED:
        return Fault(
            "more", f"the transcript contains more than is spoken ({rate}); remove the words that are not spoken"
        )
    if fit.rate < _SLOW and fit.stretched > _STRETCHED:
        return Fault("less", f"more is spoken than the transcript contains ({rate}); add the missing words")
    return None


def _hypotheses(
    base: Base, speech: LoadedSpeech, tokens: Tensor, text: str
) -> Iterator[tuple[Fault, Waveform, Tensor]]:
    """Yield possible faults, each with the recording (not yet trimmed) and the tokens after its correction."""
    rate = base.config.audio.mel.sample_rate
    samples = speech.original - speech.original.mean()
    half = _repeated_half(text)
    if half and (half_tokens := _encode(base, half)) is not None:
        message = "the transcript contains the sentence twice, but it is spoken once; write it once"
        yield Fault("transcript_twice", message), samples, half_tokens
    shortened = shorten_pauses(samples, rate)
    if (removed := (len(samples) - len(shortened)) / rate) > 0.5:
        message = f"pauses of {removed:.1f} s inside the recording; split the recording there or remove the pauses"
        yield Fault("pause", message), shortened, tokens
    if (hum := find_hum(samples, rate)) is not None:
        message = f"mains hum at {hum.frequency:.0f} Hz masks the speech; record away from mains cables"
        yield Fault("hum", message), remove_hum_and_rumble(samples, rate, hum), tokens
    message = "the sentence is spoken twice; write it twice in the transcript, or cut the recording"
    yield Fault("spoken_twice", message), samples, torch.cat([tokens, tokens])
    for source_rate in _SOURCE_RATES:
        if max(source_rate, speech.source_rate) / min(source_rate, speech.source_rate) <= _MIN_RATE_RATIO:
            continue
        resampled = to_mono(samples[:, None], round(rate * source_rate / speech.source_rate), rate)
        if FRAME < len(resampled) < MAX_SECONDS * rate:
            problem = f"the sample rate seems to be {source_rate} Hz, but the header says {speech.source_rate} Hz"
            yield Fault("rate", f"{problem}; correct the header or export the recording again"), resampled, tokens


def _repeated_half(text: str) -> str:
    """Return the first half of a text if both halves have the same words. Return an empty text otherwise."""
    words = text.split()
    middle = len(words) // 2
    normalized = [word.strip(".,;:!?\"'").lower() for word in words]
    return " ".join(words[:middle]) if len(words) % 2 == 0 and normalized[:middle] == normalized[middle:] else ""


def _alignment_fit(base: Base, samples: Waveform, tokens: Tensor) -> AlignmentFit | None:
    config = base.config.audio
    try:
        waveform = prepare_waveform(samples, config)
        with torch.inference_mode():
            mel = MelSpec(config.mel)(torch.from_numpy(waveform)[None])[0].clone()
        alignment = base.aligner.align(mel, tokens, base.kinds)
    except TtsMetaError:
        return None
    return measure_fit(base, tokens, alignment.durations, alignment.score)


def _encode(base: Base, text: str) -> Tensor | None:
    try:
        return base.encode(text)
    except TtsMetaError:
        return None


def shorten_pauses(samples: Waveform, rate: int) -> Waveform:
    """Return `samples (S,)`, in which every pause inside is shortened to 0.3 s. rate: in Hz."""
    keep = np.ones(len(samples), bool)
    half = round(SHORT_PAUSE * rate / 2)
    for begin, end in pauses(samples, rate):
        keep[begin + half : end - half] = False
    return samples[keep]
