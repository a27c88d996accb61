"""Logs a cloned voice: recordings, and their texts spoken by the mean voice of the base and by the clone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tts_meta.adapt import Recording, Voice
from tts_meta.adapt.recordings import load_recording
from tts_meta.audio import MelSpec
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.vocoder import Vocoder
from tts_meta.report.log import AUDIO, MEL, TEXT, Log
from tts_meta.report.run_info import markdown_table
from tts_meta.synth import speak_text

_RECORDINGS = 3
"""Number of recordings at the end of the list whose texts both voices speak."""


def log_voice(log: Log, base: Base, voice: Voice, recordings: Sequence[Recording], vocoder: Vocoder) -> None:
    """Log the last recordings, the mean voice of the base and the clone, each with its mel, and the texts.

    The clone is logged at the last step of its inner loop, everything else at step 0.
    """
    mel_spec = MelSpec(base.config.audio.mel)
    rate = mel_spec.config.sample_rate
    voices = {
        "2_base": (base.acoustic, vocoder, 0),
        "3_clone": (voice.apply(base), voice.apply_vocoder(vocoder), voice.steps),
    }
    texts: list[tuple[str, str, str]] = []
    for number, recording in enumerate(recordings[-_RECORDINGS:], start=1):
        sentence = f"sentence_{number}"
        texts.append((sentence, recording.text, recording.audio.name))
        real = load_recording(recording.audio, base.config.audio)
        with torch.inference_mode():
            mel = mel_spec(torch.from_numpy(real)[None])[0]
        log.audio(f"{AUDIO}/{sentence}/1_real", real, rate, 0, recording.text)
        log.mel(f"{MEL}/{sentence}/1_real", mel, 0, recording.text)
        for name, (model, voice_vocoder, step) in voices.items():
            speech = speak_text(base, model, voice_vocoder, recording.text)
            log.audio(f"{AUDIO}/{sentence}/{name}", speech.samples, speech.rate, step, recording.text)
            log.mel(f"{MEL}/{sentence}/{name}", torch.cat(speech.mels), step, recording.text)
    log.text(f"{TEXT}/sentences", markdown_table(("Sound", "Text", "Recording"), texts), 0)
