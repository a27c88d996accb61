"""`vocoder_domain`: the light vocoder as a domain of learners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tts_meta.adapt.vocoder_task import generator_modules, vocoder_nll
from tts_meta.meta import Domain
from tts_meta.models.partition import Partition
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder


def vocoder_domain(
    vocoder: SourceFilterVocoder, modules: Partition, roles: Mapping[str, Sequence[str]] | None = None
) -> Domain:
    """Return the domain of a vocoder in which `modules` may change; the data of its tasks are `VocoderTaskBatch`.

    modules: with the prefix `vocoder.` in their names. roles: names of the modules of the head and of the context.
    """
    generator = vocoder.generator
    return Domain(generator, vocoder_nll(generator), generator_modules(modules), roles or {})
