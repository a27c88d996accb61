"""Vocoders: mel spectrogram to waveform, behind one protocol (`vocoder.py`)."""
