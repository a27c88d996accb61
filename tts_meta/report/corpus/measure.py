"""`measure_recording`: the sound of one recording of a corpus, and its text as the text front end reads it.

The function runs in worker processes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from tts_meta.audio.clipping import clipped_fraction
from tts_meta.audio.io import MAX_SECONDS, Waveform, decode_audio, to_mono
from tts_meta.audio.mel import MelSpec
from tts_meta.audio.pitch import fundamental_frequency_praat
from tts_meta.audio.quality import bandwidth, lacks_high_frequencies, measure_signal
from tts_meta.audio.speech import LoadedSpeech
from tts_meta.audio.trimming import AudioConfig, prepare_waveform
from tts_meta.corpus import Utterance
from tts_meta.corpus.languages import primary_language
from tts_meta.errors import TtsMetaError
from tts_meta.text import BOUNDARIES, Phonemizer, load_phonemizer, split_symbols
from tts_meta.text.languages import ENGLISH, phonemizer_of_language

_MIN_F0_SECONDS = 0.1
"""Praat needs a few periods."""
_MAX_PHONEMIZED = 3000
"""Characters. A longer text is not one sentence."""


@dataclass(frozen=True)
class Sound:
    """Measures of a recording.

    rate: sample rate of the file, Hz. speech_seconds: without silence at the ends and pauses. end_silence: seconds of
    silence at both ends together. loudness: of the speech, dB of full scale. snr: signal-to-noise ratio, dB. hum: level
    of the mains hum relative to the speech in dB, or None. longest_pause: seconds. bandwidth: Hz. lacks_highs: whether
    there is almost no energy above 5 kHz. clipped: fraction of the samples. f0: 5th, 50th and 95th percentile in Hz,
    or None.
    """

    rate: int
    speech_seconds: float
    end_silence: float
    loudness: float
    snr: float
    hum: float | None
    longest_pause: float
    bandwidth: float
    lacks_highs: bool
    clipped: float
    f0: tuple[float, float, float] | None


@dataclass(frozen=True)
class Measured:
    """A recording with its text. sound: None if the recording cannot be used, with the reason in `sound_fault`.

    phonemes: number of phonemes of the text, or None. text_fault: why the text front end cannot read the text, or None.
    """

    sound: Sound | None
    sound_fault: str | None
    phonemes: int | None
    text_fault: str | None


@dataclass(frozen=True)
class MeasureJob:
    """A line of the manifest to measure. line: its number. As text, the job is the path of the recording."""

    line: int
    utterance: Utterance

    def __str__(self) -> str:
        return str(self.utterance.source)


def measure_recording(job: MeasureJob) -> Measured:
    """Measure one recording and its text; faults are part of the result."""
    utterance = job.utterance
    phonemes, text_fault = _phonemes(utterance)
    try:
        return Measured(_sound(utterance), None, phonemes, text_fault)
    except TtsMetaError as error:
        message = str(error).removeprefix(f"{utterance.source}: ")
        return Measured(None, message, phonemes, text_fault)


def _sound(utterance: Utterance) -> Sound:
    config = AudioConfig()
    path, rate = utterance.source, config.mel.sample_rate
    samples, source_rate = decode_audio(path, MAX_SECONDS)
    original = to_mono(samples, source_rate, rate)
    waveform = prepare_waveform(original, config, str(path))
    if len(waveform) < config.mel.n_fft:
        raise TtsMetaError(f"{path}: too short to hold a word")
    seconds = len(samples) / source_rate
    quality = measure_signal(LoadedSpeech(waveform, original, source_rate, seconds), rate)
    with torch.inference_mode():
        lacks_highs = lacks_high_frequencies(_mel_spec()(torch.from_numpy(waveform)[None])[0], _mel_spec())
    speech_seconds = len(waveform) / rate
    return Sound(
        rate=source_rate,
        speech_seconds=speech_seconds - quality.pause_seconds,
        end_silence=max(0.0, seconds - speech_seconds),
        loudness=quality.loudness,
        snr=quality.snr,
        hum=quality.hum_db if quality.hum is not None else None,
        longest_pause=quality.longest_pause,
        bandwidth=bandwidth(to_mono(samples, source_rate, source_rate), source_rate),
        lacks_highs=lacks_highs,
        clipped=clipped_fraction(samples),
        f0=_f0(waveform, config),
    )


def _f0(waveform: Waveform, config: AudioConfig) -> tuple[float, float, float] | None:
    if len(waveform) < _MIN_F0_SECONDS * config.mel.sample_rate:
        return None
    try:
        frequency = fundamental_frequency_praat(waveform, config.mel)
    except TtsMetaError:  # the package is missing
        return None
    voiced = frequency[frequency > 0]
    if not len(voiced):
        return None
    low, median, high = np.quantile(voiced, (0.05, 0.5, 0.95))
    return float(low), float(median), float(high)


def _phonemes(utterance: Utterance) -> tuple[int | None, str | None]:
    phonemizer = _phonemizer(primary_language(utterance.language) or ENGLISH)
    if phonemizer is None or len(utterance.text) > _MAX_PHONEMIZED:
        return None, None
    try:
        symbols = split_symbols(phonemizer.phonemize(utterance.text))[1:-1]
    except TtsMetaError as error:
        return None, str(error)
    count = sum(symbol not in BOUNDARIES and not _is_modifier(symbol) for symbol in symbols)
    return (count, None) if count else (None, "it holds no word")


def _is_modifier(symbol: str) -> bool:
    """Return whether a symbol changes the phoneme before it: a length mark of eSpeak or a combining mark."""
    return symbol in "ːˑ" or unicodedata.category(symbol[0])[0] == "M"


@cache
def _mel_spec() -> MelSpec:
    return MelSpec(AudioConfig().mel)


@cache
def _phonemizer(language: str) -> Phonemizer | None:
    """The phonemizer of a language; None if there is none, or if the extra `multilingual` is not installed."""
    try:
        return load_phonemizer(phonemizer_of_language(language))
    except TtsMetaError:
        return None
