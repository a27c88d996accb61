"""What a demo leaves for TensorBoard: how the run was made, and the clips of the listening page."""

from __future__ import annotations

from dataclasses import replace

from tts_meta.adapt import CloneSettings
from tts_meta.audio import read_audio
from tts_meta.audio.mel import MelConfig
from tts_meta.demo.clips import BASE, CLONE, TRUTH, mean_similarity
from tts_meta.demo.summary import LABELS, Outcome
from tts_meta.report import Log, draw_bars
from tts_meta.report.log import AUDIO, FIGURE, MEL, TEXT
from tts_meta.report.run_info import RunInfo, markdown_table, settings_of

_NAMES = {TRUTH: "1_real", BASE: "2_base", CLONE: "3_clone"}
"""What the systems are called in the log, in the order of their sounds."""


def log_outcome(log: Log, outcome: Outcome, settings: CloneSettings, config: MelConfig, command: str) -> None:
    """Log the run, similarities, sounds and mels of the new sentences, and the recordings.

    A clone is logged at the step its inner loop ended with, everything else at 0.
    """
    similarity = mean_similarity(outcome.rows)
    data = {
        "speaker": outcome.speaker,
        "recordings": len(outcome.recorded),
        "seconds": round(sum(take.seconds for take in outcome.recorded), 1),
        "base": outcome.base_hash[:12],
        "vocoder": outcome.vocoder,
    }
    RunInfo(command, data, settings_of(replace(settings, steps=outcome.voice.steps))).log(log)
    for system, value in similarity.items():
        log.scalar(f"similarity/{system}", value, 0)
    bars = {LABELS[system]: value for system, value in similarity.items()}
    log.image(f"{FIGURE}/similarity", draw_bars(bars, "similarity to the new speaker"), 0)
    texts: list[tuple[str, str]] = []
    for number, row in enumerate(outcome.rows, start=1):
        texts.append((f"sentence_{number}", row[0].take.sentence))
        for clip in row:
            name, step = f"sentence_{number}/{_NAMES[clip.system]}", outcome.voice.steps * (clip.system == CLONE)
            caption = f"{LABELS[clip.system]}: {clip.take.sentence}"
            samples = read_audio(clip.take.file, config.sample_rate)
            log.audio(f"{AUDIO}/{name}", samples, config.sample_rate, step, caption)
            log.mel(f"{MEL}/{name}", clip.take.mel, step, caption)
    for number, take in enumerate(outcome.recorded, start=1):
        texts.append((f"support/{number}", take.sentence))
        samples = read_audio(take.file, config.sample_rate)
        log.audio(f"{AUDIO}/support/{number}", samples, config.sample_rate, 0, take.sentence)
    log.text(f"{TEXT}/sentences", markdown_table(("Sound", "Text"), texts), 0)
