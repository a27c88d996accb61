"""Validation of the vocoder in its log: spectral distance of validation utterances, and some as audio and mels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts_meta.audio import MelSpec
from tts_meta.models.vocoders.source_filter import SourceFilterGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.models.vocoders.spectral_loss import spectra, spectral_distance
from tts_meta.report.log import AUDIO, MEL, Log
from tts_meta.train.feature_store import FeatureStore
from tts_meta.train.vocoder_data import FULL_SCALE, VocoderData

_UTTERANCES, _AUDIO_UTTERANCES = 20, 3
"""Validation utterances whose distance is measured, and of these the number that are logged as audio."""
_MAX_SECONDS = 8


def vocoder_sampler(
    generator: SourceFilterGenerator,
    store: FeatureStore,
    data: VocoderData,
    validation: NDArray[np.intp],
    device: str,
) -> Callable[[Log, int], float]:
    """Return a function (log, step) that logs the generator's output for the utterances `validation` of the store.

    The function returns the mean spectral distance.
    """
    mel_config = generator.mel_config
    max_frames, mel_spec = _MAX_SECONDS * mel_config.sample_rate // mel_config.hop, MelSpec(mel_config)

    def log_pair(log: Log, name: str, real: Tensor, generated: Tensor, step: int) -> None:
        for part, samples in (("1_real", real), ("2_vocoder", generated)):
            log.audio(f"{AUDIO}/{name}/{part}", samples, mel_config.sample_rate, step)
            log.mel(f"{MEL}/{name}/{part}", mel_spec(samples[None])[0], step)

    def sample(log: Log, step: int) -> float:
        vocoder, distances = SourceFilterVocoder(generator), []
        for n in validation[:_UTTERANCES]:
            begin, frames = int(store.frame_starts[n]), min(max_frames, int(store.frames[n]))
            mel = store.mel(int(n), 0, frames)
            generated = vocoder(mel[None].to(device)).cpu()
            real = torch.from_numpy(data.samples(begin, begin + frames) / np.float32(FULL_SCALE))[None]
            distances.append(spectral_distance(spectra(real), spectra(generated)))
            if n in validation[:_AUDIO_UTTERANCES]:
                log_pair(log, store.ids[int(n)], real[0], generated[0], step)
        distance = torch.stack(distances).mean()
        log.scalar("validation/distance", distance, step)
        return float(distance)

    return sample
