"""Cloning: recordings in, a voice file out."""

from tts_meta.adapt.clone import CloneSettings, Progress, chosen_modules, clone, clone_examples
from tts_meta.adapt.expected import Expected
from tts_meta.adapt.likelihood import SpeakerSentences, acoustic_nll, adaptable
from tts_meta.adapt.recordings import Recording, align_recordings, find_transcripts
from tts_meta.adapt.sound import SpeakerSound, adaptable_sound, sound_nll
from tts_meta.adapt.voice import Voice

__all__ = [
    "CloneSettings",
    "Expected",
    "Progress",
    "Recording",
    "SpeakerSentences",
    "SpeakerSound",
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
