"""The listening page of the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tts_meta.adapt import Voice
from tts_meta.audio.mel import MelConfig
from tts_meta.demo.clips import SYSTEMS, JudgedRow, Take, mean_similarity
from tts_meta.demo.summary import LABELS, Outcome
from tts_meta.report import Clip, ListeningPage, Section


def write_page(path: Path, outcome: Outcome, config: MelConfig) -> Path:
    """Write the page beside the folders of WAV files that it plays."""
    intro = (
        f"The new speaker is {outcome.speaker}. The base was never trained on it: its voice was cloned from the "
        f"{len(outcome.recorded)} recordings at the end of this page, and spoke {len(outcome.rows)} other sentences. "
        "Beside each stand the speaker saying the same, and the mean voice of the base, where the cloning began."
    )
    page = ListeningPage("A voice cloned: the tts-meta demo", intro, config)
    if outcome.notice:
        page.intro += f"\n\nThe sound of the base and the clone: {outcome.notice}."
    section = page.section(
        "New sentences",
        f"Similarity is to {len(outcome.references)} other sentences of the speaker, which nothing was cloned from; "
        "1 is the same voice.",
    )
    for row in outcome.rows:
        clips = [_clip(_label(clip.system), clip.take, {"similarity": clip.similarity}) for clip in row]
        section.row(row[0].take.sentence, clips)
    _add_figures(page.section("Figures"), outcome.rows, outcome.voice)
    section = page.section("The recordings", "What the voice was cloned from.")
    _add_takes(section, "Recording", outcome.recorded)
    _add_takes(page.section("The references", "What similarity is measured to."), "Reference", outcome.references)
    return page.write(path)


def _add_takes(section: Section, what: str, takes: Sequence[Take]) -> None:
    """Rows of three."""
    clips = [_clip(f"{what} {place}", take, {}, take.sentence) for place, take in enumerate(takes, start=1)]
    for start in range(0, len(clips), 3):
        section.row(f"{what}s {start + 1} to {min(start + 3, len(clips))}", clips[start : start + 3])


def _clip(label: str, take: Take, scores: Mapping[str, float], caption: str = "") -> Clip:
    return Clip(label, file=take.file, mel=take.mel, scores=scores, caption=caption)


def _label(system: str) -> str:
    return LABELS[system][0].upper() + LABELS[system][1:]


def _add_figures(section: Section, rows: Sequence[JudgedRow], voice: Voice) -> None:
    lines = [(row[0].take.sentence, *(clip.similarity for clip in row)) for row in rows]
    section.table(
        ["Sentence", *(_label(system) for system in SYSTEMS)],
        [*lines, ("Mean", *mean_similarity(rows).values())],
        "Similarity to the new speaker: cosine of the Resemblyzer embedding to the mean one of the references",
    )
    facts = [
        ("Adapted on", f"{voice.scores['sentences']} sentences, {voice.scores['seconds']} s"),
        ("Inner steps", str(voice.steps)),
        ("Modules adapted", str(len(voice.modules))),
    ]
    if "held_out_before" in voice.scores:
        before, after = voice.scores["held_out_before"], voice.scores["held_out_after"]
        facts.append(("Loss on the sentence kept back, nats a frame", f"{before:.3f} before, {after:.3f} after"))
    section.table(["The cloning", ""], facts)
