"""tts_meta clones a voice from a few recorded sentences by modular meta-learning with shrinkage.

    from tts_meta import clone, speak
    voice = clone(["one.wav", "two.wav"], transcripts=["The words of one.wav.", "The words of two.wav."])
    speak(voice, "New words.").save("out.wav")

`Synthesizer` keeps a voice loaded for many texts.

Docstrings use these letters in tensor shapes: B batch, N symbols of a sentence, T mel frames, M mel bands, S samples,
V symbols of the table, D hidden channels, E channels of the speaker embedding, R frames that a decoder step predicts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tts_meta.adapt import Voice, clone
    from tts_meta.errors import TtsMetaError, UsageError
    from tts_meta.models.synthesis_options import SynthesisOptions
    from tts_meta.synth import Speech, Synthesizer, speak

__all__ = ["Speech", "SynthesisOptions", "Synthesizer", "TtsMetaError", "UsageError", "Voice", "clone", "speak"]

_HOMES = {
    "SynthesisOptions": "tts_meta.models.synthesis_options",
    "Speech": "tts_meta.synth",
    "Synthesizer": "tts_meta.synth",
    "TtsMetaError": "tts_meta.errors",
    "UsageError": "tts_meta.errors",
    "Voice": "tts_meta.adapt",
    "clone": "tts_meta.adapt",
    "speak": "tts_meta.synth",
}


def __getattr__(name: str) -> object:
    """Import a public name at its first use, so that `import tts_meta` alone loads neither torch nor numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tts_meta' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
