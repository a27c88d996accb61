"""Cloning: adapts a base voice to recordings of a speaker and stores the change in a voice file."""

from tts_meta.adapt.acoustic_task import AcousticTask, acoustic_nll, adaptable_modules
from tts_meta.adapt.adaptation import CloneProgress
from tts_meta.adapt.baselines import Lora
from tts_meta.adapt.clone import chosen_modules, clone, clone_examples
from tts_meta.adapt.recordings import Recording, find_transcripts, prepare_recordings
from tts_meta.adapt.settings import CloneSettings
from tts_meta.adapt.similarity_forecast import SimilarityForecast
from tts_meta.adapt.vocoder_task import VocoderTask, adaptable_vocoder_modules, vocoder_nll
from tts_meta.adapt.voice import Voice

__all__ = [
    "AcousticTask",
    "CloneProgress",
    "CloneSettings",
    "Lora",
    "Recording",
    "SimilarityForecast",
    "VocoderTask",
    "Voice",
    "acoustic_nll",
    "adaptable_modules",
    "adaptable_vocoder_modules",
    "chosen_modules",
    "clone",
    "clone_examples",
    "find_transcripts",
    "prepare_recordings",
    "vocoder_nll",
]
