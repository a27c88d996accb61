"""Speaker similarity by a second encoder, an ECAPA-TDNN: the cosine after the mean of a cohort is subtracted.

Embeddings of all speakers have a large common part, which raises every cosine. `EcapaEncoder` subtracts the mean
embedding of the real speech of its training speakers. The cosine of two speakers is then near 0, and differences
between good voices are larger.
"""

from __future__ import annotations

from tts_meta.evaluate.metric import Column, Metric, MetricFunction, Settings
from tts_meta.evaluate.similarity import similarity_function
from tts_meta.files import sha256_file
from tts_meta.models.ecapa_encoder import EcapaEncoder, shipped_encoder

NAME = "similarity_ecapa"
"""Name of the metric and of its column."""


def _load(settings: Settings) -> MetricFunction:
    return similarity_function(EcapaEncoder.load(settings.device), NAME, lambda sample: sample.ecapa_voice)


METRIC = Metric(
    (Column(NAME, "ECAPA similarity, centred", 3, "higher"),),
    _load,
    needs=("ecapa_voice",),
    model=lambda settings: sha256_file(shipped_encoder() / "model.safetensors"),
)
