"""Text to waveform in a voice."""

from tts_meta.synth.speak import Speech, speak, speak_text, stream_text

__all__ = ["Speech", "speak", "speak_text", "stream_text"]
