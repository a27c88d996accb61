"""What a demo found, as figures for programs and as lines to read."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_meta.adapt import Voice
from tts_meta.demo.clips import BASE, CLONE, TRUTH, JudgedRow, Take, mean_similarity

VOICE_FILE = "demo.voice.safetensors"
PAGE = "index.html"
LOGS = "logs"
LABELS = {TRUTH: "the speaker itself", BASE: "base voice, before", CLONE: "clone, after"}


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that is shown. `factor`: seconds of work for a second of speech; `notice`: what the vocoder has to say."""

    speaker: str
    base_hash: str
    recorded: Sequence[Take]
    references: Sequence[Take]
    voice: Voice
    rows: Sequence[JudgedRow]
    factor: float
    vocoder: str
    notice: str | None
    seed: int

    def figures(self, folder: Path, seconds: dict[str, float]) -> dict[str, Any]:
        """All figures; files are named relative to `folder`, and `seconds` are those of each stage."""

        def name(take: Take) -> str:
            return take.file.relative_to(folder).as_posix()

        voice_bytes = (folder / VOICE_FILE).stat().st_size
        sentences = []
        for row in self.rows:
            clips = {
                clip.system: {
                    "file": name(clip.take),
                    "seconds": round(clip.take.seconds, 3),
                    "similarity": round(clip.similarity, 4),
                }
                for clip in row
            }
            sentences.append({"text": row[0].take.sentence, **clips})
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
                {"file": name(take), "seconds": round(take.seconds, 3), "text": take.sentence} for take in self.recorded
            ],
            "references": [{"file": name(take), "text": take.sentence} for take in self.references],
            "sentences": sentences,
            "similarity": {system: round(value, 4) for system, value in mean_similarity(self.rows).items()},
            "real_time_factor": round(self.factor, 3),
            "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        }

    def similarity_lines(self) -> list[str]:
        """Before, after and the ceiling."""
        mean = mean_similarity(self.rows)
        head = f"Similarity to the new speaker, mean of {len(self.rows)} sentences (cosine, 1 is the same voice):"
        return [head, *(f"  {LABELS[system]:<20}{mean[system]:.3f}" for system in (BASE, CLONE, TRUTH))]


def cloned_lines(voice: Voice, file: Path, size: int) -> list[str]:
    """How the cloning went."""
    lines = [
        f"Cloned the voice: {voice.steps} steps on {voice.scores['sentences']} sentences, {len(voice.modules)} modules "
        f"adapted; {file} takes {size / 1e6:.1f} MB."
    ]
    if "held_out_before" in voice.scores:
        before, after = voice.scores["held_out_before"], voice.scores["held_out_after"]
        lines.append(f"Loss on the sentence kept back: {before:.3f} before, {after:.3f} after (nats a frame).")
    return lines


def next_lines(out: Path, base: Path | None) -> list[str]:
    """How to listen and what to try next; `base` is named in commands where it is not the shipped one."""
    voice, logs = shlex.quote(str(out / VOICE_FILE)), shlex.quote(str(out / LOGS))
    given = f" --base {shlex.quote(str(base))}" if base is not None else ""
    return [
        f"Listen: open {out / PAGE} in a browser.",
        f'Speak:  tts-meta speak {voice} "Any other words." -o words.wav{given}',
        f"Clone:  tts-meta clone YOUR_RECORDINGS... -o you.voice.safetensors{given}",
        f"Curves: tensorboard --logdir {logs}",
    ]
