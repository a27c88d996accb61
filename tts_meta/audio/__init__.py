"""Audio: reading and writing files, trimming, loudness, log-mels, fundamental frequency, and the feature cache."""

from tts_meta.audio.features import FeatureCache
from tts_meta.audio.io import read_audio
from tts_meta.audio.mel import MelSpec
from tts_meta.audio.pitch import fundamental_frequency
from tts_meta.audio.speech import load_speech
from tts_meta.audio.trimming import prepare_waveform
from tts_meta.audio.writing import write_audio, write_wav

__all__ = [
    "FeatureCache",
    "MelSpec",
    "fundamental_frequency",
    "load_speech",
    "prepare_waveform",
    "read_audio",
    "write_audio",
    "write_wav",
]
