"""Measures the negative log-likelihood of sentences under a voice."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tts_meta.adapt import AcousticTask, acoustic_nll, adaptable_modules
from tts_meta.corpus import Example
from tts_meta.evaluate.metric import Measure
from tts_meta.models.acoustic import AcousticModel
from tts_meta.models.densities import LAPLACE, Density
from tts_meta.models.pretrained import Base


@torch.no_grad()
def nll_per_frame(
    base: Base, model: AcousticModel, examples: Sequence[Example], density: Density = LAPLACE
) -> list[Measure]:
    """Return the negative log-likelihood of each sentence in nats per frame.

    The weight of a sentence is its number of frames. density: density of the errors.
    """
    nll, measures = acoustic_nll(model, density), []
    for example in examples:
        sentence = AcousticTask(base, [example], adaptable_modules(base).names)
        measures.append(Measure(float(nll(model, sentence.all_sentences())) / sentence.frames, sentence.frames))
    return measures
