"""Formats the results of the demo: as data for `results.json`, and as printed lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_meta.adapt import Voice
from tts_meta.demo.clips import BASE, CLONE, REAL, ScoredRow, SentenceClip, mean_similarity

VOICE_FILE = "demo.voice.safetensors"
PAGE = "index.html"
LOGS = "logs"
LABELS = {REAL: "real speaker", BASE: "base, not adapted", CLONE: "clone"}


@dataclass(frozen=True, eq=False)
class DemoResult:
    """All results that the demo shows.

    real_time_factor: seconds of computation per second of speech. notice: the notice of the vocoder, or None.
    """

    speaker: str
    base_hash: str
    recorded: Sequence[SentenceClip]
    references: Sequence[SentenceClip]
    voice: Voice
    rows: Sequence[ScoredRow]
    real_time_factor: float
    vocoder: str
    notice: str | None
    seed: int

    def as_dict(self, folder: Path, seconds: dict[str, float]) -> dict[str, Any]:
        """Return the results as data. File names are relative to `folder`. seconds: duration of each stage."""

        def name(clip: SentenceClip) -> str:
            return clip.file.relative_to(folder).as_posix()

        voice_bytes = (folder / VOICE_FILE).stat().st_size
        sentences = []
        for row in self.rows:
            clips = {
                scored.system: {
                    "file": name(scored.clip),
                    "seconds": round(scored.clip.seconds, 3),
                    "similarity": round(scored.similarity, 4),
                }
                for scored in row
            }
            sentences.append({"text": row[0].clip.sentence, **clips})
        return {
            "speaker": self.speaker,
            "seed": self.seed,
            "base": self.base_hash,
            "vocoder": {"name": self.vocoder, "notice": self.notice},
            "voice": {
                "file": VOICE_FILE,
                "bytes": voice_bytes,
                "steps": self.voice.steps,
                "modules": list(self.voice.modules),
                **self.voice.scores,
            },
            "recordings": [
                {"file": name(clip), "seconds": round(clip.seconds, 3), "text": clip.sentence} for clip in self.recorded
            ],
            "references": [{"file": name(clip), "text": clip.sentence} for clip in self.references],
            "sentences": sentences,
            "similarity": {system: round(value, 4) for system, value in mean_similarity(self.rows).items()},
            "real_time_factor": round(self.real_time_factor, 3),
            "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        }

    def similarity_lines(self) -> list[str]:
        """Return printed lines with the mean similarity of the base, the clone and the real speaker."""
        mean = mean_similarity(self.rows)
        heading = f"Similarity to the new speaker, mean of {len(self.rows)} sentences (cosine, 1 is the same voice):"
        return [heading, *(f"  {LABELS[system]:<20}{mean[system]:.3f}" for system in (BASE, CLONE, REAL))]


def cloned_lines(voice: Voice, file: Path, size: int) -> list[str]:
    """Return printed lines that summarise the cloning. size: bytes of the voice file."""
    lines = [
        f"Cloned the voice: {voice.steps} steps on {voice.scores['sentences']} sentences, {len(voice.modules)} modules "
        f"adapted; {file} has {size / 1e6:.1f} MB."
    ]
    if "held_out_before" in voice.scores:
        before, after = voice.scores["held_out_before"], voice.scores["held_out_after"]
        lines.append(f"NLL per frame of the held-out sentence: {before:.3f} nats before, {after:.3f} after.")
    return lines


def next_lines(out: Path, base: Path | None) -> list[str]:
    """Return printed lines: what to open, and which commands to try next.

    base: folder of the base; None is the shipped base.
    """
    voice, logs = shlex.quote(str(out / VOICE_FILE)), shlex.quote(str(out / LOGS))
    base_option = f" --base {shlex.quote(str(base))}" if base is not None else ""
    return [
        f"Listen: open {out / PAGE} in a browser.",
        f'Speak:  tts-meta speak {voice} "Any other words." -o words.wav{base_option}',
        f"Clone:  tts-meta clone YOUR_RECORDINGS... -o you.voice.safetensors{base_option}",
        f"Curves: tensorboard --logdir {logs}",
    ]
