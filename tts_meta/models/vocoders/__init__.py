"""Vocoders: mel spectrogram to waveform, with one interface, the protocol `Vocoder`."""
