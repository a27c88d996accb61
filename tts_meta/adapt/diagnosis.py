"""Why a recording and its transcript do not fit: each cause is tried, and the one that mends the alignment is named.

A cause is a change of the recording or of the transcript: another sample rate, the pauses cut, the hum taken out, the
transcript or half of it said twice. The change under which the alignment fits is the fault. `docs/audio.md` says how
often that is right, and how often ordinary recordings are warned of.
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
from tts_meta.audio.levels import FRAME, STEP, levels_db
from tts_meta.audio.speech import LoadedSpeech
from tts_meta.errors import TtsMetaError
from tts_meta.models.pretrained import Base

_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
_RATIO = 1.3  # of two sample rates that a listener cannot take for each other
_FITS = 2.4  # in distances of the low quantile from the median; `Aligner.matches` takes 2.5
_BETTER = 0.6
_FAST, _SLOW = 17.0, 8.5  # sounds a second; nearly all true transcripts lie between
_CROWDED, _STRETCHED = 0.35, 0.04
"""Parts of the sounds that have one frame only, or more than half a second; in true transcripts .2 and 0."""
_LONG_PAUSE, _SHORT_PAUSE = 2.5, 0.3  # seconds
_PAUSE_DB = 30.0
_HUM_DB, _SNR_DB = -27.0, 12.0


@dataclass(frozen=True)
class Fault:
    """What is wrong with a recording. phrase: what was measured and what to do, for the user."""

    kind: Literal["hum", "noise", "pause", "twice", "rate", "more", "less", "other"]
    phrase: str


@dataclass(frozen=True)
class Fit:
    """How well a transcript fits a recording.

    distance: of the score from the median of true transcripts, in distances of their low quantile. rate: sounds in a
    second of speech. crowded, stretched: parts of the sounds that have one frame, or more than half a second.
    """

    distance: float
    rate: float
    crowded: float
    stretched: float

    @property
    def good(self) -> bool:
        """Whether nothing is odd about it."""
        paced = _SLOW < self.rate < _FAST and self.stretched <= _STRETCHED
        return self.distance < _FITS and paced and self.crowded < _CROWDED

    @property
    def odd(self) -> bool:
        """Whether a cause is looked for."""
        return (self.rate > _FAST and self.crowded > _CROWDED) or (self.rate < _SLOW and self.stretched > _STRETCHED)


def can_judge(base: Base) -> bool:
    """Whether the base's aligner knows how true transcripts score; an untrained one does not."""
    return float(base.aligner.score_range[0]) > -1e3


def measure_fit(base: Base, tokens: Tensor, durations: Tensor, score: float) -> Fit:
    """The fit of an alignment: `tokens (N,)`, their `durations (N,)` in frames and its score."""
    low, median = base.aligner.score_range.tolist()
    spoken = durations[~base.kinds.silent[tokens]].double()
    seconds = float(spoken.sum()) * base.config.audio.mel.frame_seconds
    long = spoken * base.config.audio.mel.frame_seconds > 0.5
    return Fit(
        (median - score) / max(median - low, 1e-6),
        len(spoken) / max(seconds, 1e-6),
        float((spoken <= 1).double().mean()),
        float(long.double().mean()),
    )


def measured_faults(speech: LoadedSpeech, rate: int) -> list[Fault]:
    """What is wrong with the sound itself, whatever is said in it: hum, noise, a long pause."""
    samples = speech.original - speech.original.mean()
    levels = levels_db(samples)
    loudness = 10 * np.log10(np.mean(10 ** (levels[levels > levels.max() - _PAUSE_DB] / 10)))
    faults = list[Fault]()
    hum = find_hum(samples, rate)
    hum_db = -np.inf if hum is None else 10 * np.log10(hum.power) - loudness
    if hum is not None and hum_db > _HUM_DB:
        where = f"{abs(hum_db):.0f} dB {'below' if hum_db < 0 else 'above'} the speech"
        phrase = f"mains hum at {hum.frequency:.0f} Hz, {where}; the voice may hum too, record away from mains cables"
        faults.append(Fault("hum", phrase))
    noise_db = loudness - float(np.quantile(levels_db(remove_hum_and_rumble(samples, rate, hum)), 0.1))
    if noise_db < _SNR_DB and len(samples) > rate:
        phrase = f"noise only {max(0.0, noise_db):.0f} dB below the speech; record it in a quieter place"
        faults.append(Fault("noise", phrase))
    pause = max((end - begin for begin, end in pauses(speech.waveform, rate)), default=0) / rate
    if pause > _LONG_PAUSE:
        faults.append(Fault("pause", f"a pause of {pause:.1f} s inside; cut the recording there, or cut the pause out"))
    return faults


def explain(base: Base, speech: LoadedSpeech, tokens: Tensor, text: str, fit: Fit) -> Fault | None:
    """The cause for which `tokens (N,)` do not fit the recording; None where none was found."""
    mended: list[tuple[float, Fault]] = []
    for fault, samples, said in _hypotheses(base, speech, tokens, text):
        other = _fit_of(base, samples, said)
        # A transcript said twice may well fit, each of its sounds a frame long; the pace shows that it is not spoken.
        better = _BETTER if fit.crowded < _CROWDED or not fault.phrase.startswith("the transcript") else 0.0
        if other is not None and other.good and fit.distance - other.distance > better:
            mended.append((other.distance + 3 * other.crowded, fault))
    if mended:
        return min(mended, key=lambda pair: pair[0])[1]
    people = f"{fit.rate:.0f} sounds a second, people speak 8 to 16"
    if fit.rate > _FAST and fit.crowded > _CROWDED:
        advice = "leave out of it what is not spoken"
        return Fault("more", f"the transcript says more than is spoken ({people}); {advice}")
    if fit.rate < _SLOW and fit.stretched > _STRETCHED:
        return Fault("less", f"more is spoken than the transcript says ({people}); write down all that is spoken")
    return None


def _hypotheses(
    base: Base, speech: LoadedSpeech, tokens: Tensor, text: str
) -> Iterator[tuple[Fault, Waveform, Tensor]]:
    """A cause, and the recording (not yet trimmed) and the tokens as they would be without it."""
    rate = base.config.audio.mel.sample_rate
    samples = speech.original - speech.original.mean()
    if (half := _half_of_twice(text)) and (said := _encode(base, half)) is not None:
        yield Fault("twice", "the transcript says the sentence twice, it is spoken once; write it once"), samples, said
    short = without_pauses(samples, rate)
    if (lost := (len(samples) - len(short)) / rate) > 0.5:
        yield Fault("pause", f"pauses of {lost:.1f} s inside; cut them out, or cut the recording there"), short, tokens
    if (hum := find_hum(samples, rate)) is not None:
        phrase = f"mains hum at {hum.frequency:.0f} Hz hides the speech; record it away from mains cables"
        yield Fault("hum", phrase), remove_hum_and_rumble(samples, rate, hum), tokens
    phrase = "the sentence is spoken twice; write it twice, or cut the recording"
    yield Fault("twice", phrase), samples, torch.cat([tokens, tokens])
    for true in _RATES:
        if max(true, speech.source_rate) / min(true, speech.source_rate) <= _RATIO:
            continue
        played = to_mono(samples[:, None], round(rate * true / speech.source_rate), rate)
        if FRAME < len(played) < MAX_SECONDS * rate:
            header = f"it sounds as if its sample rate were {true} Hz, its header says {speech.source_rate}"
            yield Fault("rate", f"{header}; correct the header or export it again"), played, tokens


def _half_of_twice(text: str) -> str:
    """The first half of a text whose second half has the same words; else nothing."""
    words = text.split()
    middle = len(words) // 2
    bare = [word.strip(".,;:!?\"'").lower() for word in words]
    return " ".join(words[:middle]) if len(words) % 2 == 0 and bare[:middle] == bare[middle:] else ""


def _fit_of(base: Base, samples: Waveform, tokens: Tensor) -> Fit | None:
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


def pauses(samples: Waveform, rate: int) -> list[tuple[int, int]]:
    """Pauses inside `samples (S,)` of more than 0.3 s: where each begins and ends, in samples."""
    levels = levels_db(samples)
    quiet = np.concatenate([[0], (levels < levels.max() - _PAUSE_DB).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(quiet))
    runs = [(begin * STEP + FRAME // 2, end * STEP) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    last = len(levels)
    inside = [run for run, begin, end in zip(runs, edges[::2], edges[1::2], strict=True) if begin > 0 and end < last]
    return [(int(begin), int(end)) for begin, end in inside if end - begin > _SHORT_PAUSE * rate]


def without_pauses(samples: Waveform, rate: int) -> Waveform:
    """`samples (S,)` with every pause inside cut to 0.3 s."""
    keep = np.ones(len(samples), bool)
    half = round(_SHORT_PAUSE * rate / 2)
    for begin, end in pauses(samples, rate):
        keep[begin + half : end - half] = False
    return samples[keep]
