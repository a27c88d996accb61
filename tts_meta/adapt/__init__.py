"""Cloning: recordings in, a voice file out."""

from tts_meta.adapt.clone import CloneSettings, Progress, adaptable, clone, clone_examples
from tts_meta.adapt.recordings import Recording, align_recordings, find_transcripts
from tts_meta.adapt.voice import Voice

__all__ = [
    "CloneSettings",
    "Progress",
    "Recording",
    "Voice",
    "adaptable",
    "align_recordings",
    "clone",
    "clone_examples",
    "find_transcripts",
]
