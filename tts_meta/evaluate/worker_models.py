"""`load_for_worker`: the base and the vocoder of a benchmark, loaded in a worker process."""

from __future__ import annotations

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.benchmark_config import BenchmarkConfig
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.vocoder import Vocoder, load_vocoder


def load_for_worker(config: BenchmarkConfig, base_hash: str) -> tuple[Base, Vocoder]:
    """Return the base and the vocoder of a recipe.

    Raises TtsMetaError if the base is not the one with the hash `base_hash`, such as on another machine.
    """
    base = load_base(config.base, config.device)
    if base.hash != base_hash:
        raise TtsMetaError(f"{base.folder} is another base than that of the benchmark; use the same files everywhere")
    return base, load_vocoder(config.vocoder, base.device, mel=base.config.audio.mel)
