"""Writes the listening page of the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tts_meta.adapt import Voice
from tts_meta.audio.mel import MelConfig
from tts_meta.demo.clips import SYSTEMS, ScoredRow, SentenceClip, mean_similarity
from tts_meta.demo.summary import LABELS, DemoResult
from tts_meta.report import Clip, ListeningPage, Section


def write_page(path: Path, result: DemoResult, config: MelConfig) -> Path:
    """Write the page next to the folders of WAV files that it plays."""
    intro = (
        f"The new speaker is {result.speaker}. The base was not trained on this speaker. The voice was cloned from the "
        f"{len(result.recorded)} recordings at the end of this page and speaks {len(result.rows)} other sentences. "
        "Each row plays the speaker, the mean voice of the base, from which cloning starts, and the clone."
    )
    page = ListeningPage("A cloned voice: the tts-meta demo", intro, config)
    if result.notice:
        page.intro += f"\n\nAudio of the base and the clone: {result.notice}."
    section = page.section(
        "New sentences",
        f"Similarity is measured to {len(result.references)} other sentences of the speaker, which are not used for "
        "cloning; 1 is the same voice.",
    )
    for row in result.rows:
        clips = [_clip(_label(scored.system), scored.clip, {"similarity": scored.similarity}) for scored in row]
        section.row(row[0].clip.sentence, clips)
    _add_tables(page.section("Results"), result.rows, result.voice)
    section = page.section("Recordings", "The voice was cloned from these recordings.")
    _add_clips(section, "Recording", result.recorded)
    _add_clips(
        page.section("References", "Similarity is measured to these recordings."), "Reference", result.references
    )
    return page.write(path)


def _add_clips(section: Section, kind: str, clips: Sequence[SentenceClip]) -> None:
    """Add rows of three clips."""
    players = [_clip(f"{kind} {number}", clip, {}, clip.sentence) for number, clip in enumerate(clips, start=1)]
    for start in range(0, len(players), 3):
        section.row(f"{kind}s {start + 1} to {min(start + 3, len(players))}", players[start : start + 3])


def _clip(label: str, clip: SentenceClip, scores: Mapping[str, float], caption: str = "") -> Clip:
    return Clip(label, file=clip.file, mel=clip.mel, scores=scores, caption=caption)


def _label(system: str) -> str:
    return LABELS[system][0].upper() + LABELS[system][1:]


def _add_tables(section: Section, rows: Sequence[ScoredRow], voice: Voice) -> None:
    lines = [(row[0].clip.sentence, *(scored.similarity for scored in row)) for row in rows]
    section.table(
        ["Sentence", *(_label(system) for system in SYSTEMS)],
        [*lines, ("Mean", *mean_similarity(rows).values())],
        "Similarity to the new speaker: cosine between Resemblyzer embeddings of the sentence and the references",
    )
    facts = [
        ("Adapted on", f"{voice.scores['sentences']} sentences, {voice.scores['seconds']} s"),
        ("Inner steps", str(voice.steps)),
        ("Modules adapted", str(len(voice.modules))),
    ]
    if "held_out_before" in voice.scores:
        before, after = voice.scores["held_out_before"], voice.scores["held_out_after"]
        facts.append(("NLL per frame of the held-out sentence (nats)", f"{before:.3f} before, {after:.3f} after"))
    section.table(["Cloning", ""], facts)
