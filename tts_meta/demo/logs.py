"""Writes the TensorBoard log of the demo: settings, similarities, and the clips of the listening page."""

from __future__ import annotations

from dataclasses import replace

from tts_meta.adapt import CloneSettings
from tts_meta.audio import read_audio
from tts_meta.audio.mel import MelConfig
from tts_meta.demo.clips import BASE, CLONE, REAL, mean_similarity
from tts_meta.demo.summary import LABELS, DemoResult
from tts_meta.report import Log, draw_bars
from tts_meta.report.log import AUDIO, FIGURE, MEL, TEXT
from tts_meta.report.run_info import RunInfo, markdown_table, settings_of

_NAMES = {REAL: "1_real", BASE: "2_base", CLONE: "3_clone"}
"""Names of the systems in the log. Sorted by name, the systems have the order of the page."""


def log_result(log: Log, result: DemoResult, settings: CloneSettings, config: MelConfig, command: str) -> None:
    """Log the settings, the similarities, the audio and mels of the new sentences, and the recordings.

    Clones are logged at the last step of their inner loop, everything else at step 0.
    """
    similarity = mean_similarity(result.rows)
    data = {
        "speaker": result.speaker,
        "recordings": len(result.recorded),
        "seconds": round(sum(clip.seconds for clip in result.recorded), 1),
        "base": result.base_hash[:12],
        "vocoder": result.vocoder,
    }
    RunInfo(command, data, settings_of(replace(settings, steps=result.voice.steps))).log(log)
    for system, value in similarity.items():
        log.scalar(f"similarity/{system}", value, 0)
    bars = {LABELS[system]: value for system, value in similarity.items()}
    log.image(f"{FIGURE}/similarity", draw_bars(bars, "similarity to the new speaker"), 0)
    texts: list[tuple[str, str]] = []
    for number, row in enumerate(result.rows, start=1):
        texts.append((f"sentence_{number}", row[0].clip.sentence))
        for scored in row:
            name, step = f"sentence_{number}/{_NAMES[scored.system]}", result.voice.steps * (scored.system == CLONE)
            caption = f"{LABELS[scored.system]}: {scored.clip.sentence}"
            samples = read_audio(scored.clip.file, config.sample_rate)
            log.audio(f"{AUDIO}/{name}", samples, config.sample_rate, step, caption)
            log.mel(f"{MEL}/{name}", scored.clip.mel, step, caption)
    for number, clip in enumerate(result.recorded, start=1):
        texts.append((f"support/{number}", clip.sentence))
        samples = read_audio(clip.file, config.sample_rate)
        log.audio(f"{AUDIO}/support/{number}", samples, config.sample_rate, 0, clip.sentence)
    log.text(f"{TEXT}/sentences", markdown_table(("Audio", "Text"), texts), 0)
