"""Cloning: recordings in, a voice file out."""

from tts_meta.adapt.acoustic_task import AcousticTask, acoustic_nll, adaptable
from tts_meta.adapt.clone import CloneSettings, Progress, chosen_modules, clone, clone_examples
from tts_meta.adapt.recordings import Recording, align_recordings, find_transcripts
from tts_meta.adapt.similarity_forecast import SimilarityForecast
from tts_meta.adapt.vocoder_task import VocoderTask, adaptable_sound, sound_nll
from tts_meta.adapt.voice import Voice

__all__ = [
    "AcousticTask",
    "CloneSettings",
    "Progress",
    "Recording",
    "SimilarityForecast",
    "VocoderTask",
    "Voice",
    "acoustic_nll",
    "adaptable",
    "adaptable_sound",
    "align_recordings",
    "chosen_modules",
    "clone",
    "clone_examples",
    "find_transcripts",
    "sound_nll",
]
