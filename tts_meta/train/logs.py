"""What the logs of all trainings share: facts of the run."""

from __future__ import annotations

from tts_meta.config import Section
from tts_meta.corpus import Manifest
from tts_meta.report.run_info import RunInfo, settings_of


def training_info(command: str, config: Section, manifest: Manifest, held_out_speakers: Manifest) -> RunInfo:
    """What the logs of a training say of it; `manifest` holds the utterances trained on."""
    data = {
        "utterances": len(manifest),
        "hours": round(sum(one.seconds for one in manifest) / 3600, 3),
        "speakers": len(manifest.speakers),
        "held_back_utterances": len(held_out_speakers),
        "held_back_speakers": list(held_out_speakers.speakers),
    }
    return RunInfo(command, data, settings_of(config))
