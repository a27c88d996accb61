"""Vocoders, which convert a mel spectrogram to a waveform. All implement one interface, the protocol `Vocoder`."""
