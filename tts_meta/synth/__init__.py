"""Speech synthesis: speaks text in a voice."""

from tts_meta.synth.speak import Speech, speak_text, stream_text
from tts_meta.synth.synthesizer import Synthesizer, speak

__all__ = ["Speech", "Synthesizer", "speak", "speak_text", "stream_text"]
