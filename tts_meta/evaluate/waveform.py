"""What every metric asks of a waveform: see `tts_meta.audio.waveform`, where it is."""

from tts_meta.audio.waveform import SPEECH_RATE, Samples, as_samples, at_rate

__all__ = ["SPEECH_RATE", "Samples", "as_samples", "at_rate"]
