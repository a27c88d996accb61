"""The facts of a training run that its log shows."""

from __future__ import annotations

from tts_meta.config import Section
from tts_meta.corpus import Manifest
from tts_meta.report.run_info import RunInfo, settings_of


def training_info(command: str, config: Section, manifest: Manifest, held_out_speakers: Manifest) -> RunInfo:
    """Command, data and settings of a training run; `manifest` holds the utterances of its training set."""
    data = {
        "utterances": len(manifest),
        "hours": round(sum(utterance.seconds for utterance in manifest) / 3600, 3),
        "speakers": len(manifest.speakers),
        "held_out_utterances": len(held_out_speakers),
        "held_out_speakers": list(held_out_speakers.speakers),
    }
    return RunInfo(command, data, settings_of(config))
