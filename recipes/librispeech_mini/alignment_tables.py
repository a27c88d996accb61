"""Tables of the evaluation of the aligner; `alignment.md` shows them and explains what they mean."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from recipes.librispeech_mini.alignment_base import BaseAligner, join_sentences
from recipes.librispeech_mini.alignment_boundaries import Boundary, ComparedSentence, Word, compare_alignments
from recipes.librispeech_mini.alignment_errors import (
    GROSS_ERROR,
    boundary_errors,
    errors_by_class,
    gross_error_share,
)
from recipes.librispeech_mini.alignment_espeak import EspeakSpeaker
from recipes.librispeech_mini.alignment_pocketsphinx import PocketsphinxAligner, dictionary_words
from recipes.recipe_io import markdown_table
from tts_meta.audio import read_audio
from tts_meta.corpus import Utterance
from tts_meta.evaluate import Interval, mean_interval
from tts_meta.files import atomic_file
from tts_meta.models.aligner import loudness

Reference = Sequence[tuple[Utterance, list[Word]]]
"""Utterances with the words of another aligner."""
_ERROR_HEADINGS = ("boundaries", "median", "mean", "90th percentile", "within 20 ms", "within 50 ms", "signed median")
_MIN_COUNT = 100
"""Boundaries that a pair of phone classes needs for a row."""
_GROSS_MS = f"{1000 * GROSS_ERROR:.0f} ms"


def between_phones(boundary: Boundary) -> bool:
    return boundary.phones_paired


def at_word_edge(boundary: Boundary) -> bool:
    return boundary.at_word_edge


def pocketsphinx_reference(
    aligner: BaseAligner, utterances: Sequence[Utterance], sphinx: PocketsphinxAligner
) -> Reference:
    """The utterances that pocketsphinx can align, with its words. Prints how many are excluded, and why."""
    reference, excluded = [], {"a word outside its dictionary": 0, "read as other words": 0, "no path": 0}
    for utterance in with_progress(utterances, "pocketsphinx"):
        words = dictionary_words(utterance.text)
        if sphinx.missing_words(words):
            excluded["a word outside its dictionary"] += 1
        elif len(aligner.words_of(utterance)) != len(words):
            excluded["read as other words"] += 1
        elif (aligned := sphinx.align(read_audio(utterance.source, 16_000), 16_000, words)) is None:
            excluded["no path"] += 1
        else:
            reference.append((utterance, aligned))
    reasons = ", ".join(f"{reason} {count}" for reason, count in excluded.items())
    print(f"{len(reference)} of {len(utterances)} sentences compared with pocketsphinx; excluded: {reasons}.\n")
    return reference


def compare_sentences(aligner: BaseAligner, reference: Reference) -> list[ComparedSentence]:
    """Our alignment of each sentence compared with the reference."""
    return [
        ComparedSentence(utterance.id, utterance.speaker, tuple(compare_alignments(aligner.words_of(utterance), words)))
        for utterance, words in reference
    ]


def print_pocketsphinx_errors(aligner: BaseAligner, reference: Reference, folder: Path) -> None:
    """Print errors, gross errors, what trimming removes, and errors by class; write `sentences.jsonl` into `folder`."""
    compared = compare_sentences(aligner, reference)
    speakers = [sentence.speaker for sentence in compared]
    rows = [error_row("phones", compared, between_phones), error_row("words", compared, at_word_edge)]
    for speaker in dict.fromkeys(speakers):
        sentences = [sentence for sentence in compared if sentence.speaker == speaker]
        rows.append(error_row(f"phones, {speaker} ({len(sentences)} sentences)", sentences, between_phones))
    print_table("Errors compared with pocketsphinx, ms", ["", *_ERROR_HEADINGS], rows)

    def trimmed_share(seconds: float) -> Interval:
        """The share of sentences from which trimming removes more than `seconds` of speech at either end."""
        trimmed = []
        for utterance, words in reference:
            recording = aligner.recording(utterance)
            end = recording.start + len(recording.waveform) / aligner.rate
            trimmed.append(float(max(recording.start - words[0][0].start, words[-1][-1].end - end) > seconds))
        return mean_interval(trimmed, speakers)

    rows = [
        [f"a word starts or ends more than {1000 * limit:.0f} ms off", percent(gross_error_share(compared, limit))]
        for limit in (0.1, GROSS_ERROR, 0.5)
    ]
    rows += [
        [f"trimming removes more than {1000 * limit:.0f} ms of speech (by pocketsphinx)", percent(trimmed_share(limit))]
        for limit in (0.02, 0.1)
    ]
    print_table("Sentences in which", ["", "share"], rows)
    rows = [
        [left, right, str(e.count), ms(e.median), ms(e.percentile_90), ms(e.signed_median)]
        for left, right, e in errors_by_class(compared, _MIN_COUNT)
    ]
    headings = ["left", "right", "boundaries", "median", "90th percentile", "signed median"]
    print_table(
        f"By class of the phones on both sides, ms (pairs with at least {_MIN_COUNT} boundaries)", headings, rows
    )

    with atomic_file(folder / "sentences.jsonl") as temporary:
        lines = [
            {"id": sentence.id, "speaker": sentence.speaker, "worst_edge": round(sentence.worst_word_edge, 3)}
            for sentence in compared
        ]
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def print_early_words(aligner: BaseAligner, reference: Reference) -> None:
    """Print which words start much too early, and how many of them include a quiet pause."""
    counts: dict[str, int] = {}
    mostly_quiet = []
    for utterance, reference_words in reference:
        recording = aligner.recording(utterance)
        quiet = (loudness(recording.mel) <= 0).float()
        words = aligner.words_of(utterance)
        for ours, theirs, word in zip(words, reference_words, dictionary_words(utterance.text), strict=True):
            if theirs[0].start - ours[0].start > GROSS_ERROR:
                counts[word] = counts.get(word, 0) + 1
                times = (ours[0].start, theirs[0].start)
                first, last = (round((time - recording.start) / aligner.frame) for time in times)
                mostly_quiet.append(float(quiet[max(first, 0) : last].mean()) > 0.5)
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    print(f"{len(mostly_quiet)} words start more than {_GROSS_MS} before their start in pocketsphinx's alignment:")
    print(", ".join(f"{word} {count}" for word, count in by_count) + ".")
    print(f"{sum(mostly_quiet)} of them begin mostly in frames so quiet that a pause costs nothing there.\n")


def print_espeak_errors(aligner: BaseAligner, utterances: Sequence[Utterance], sphinx: PocketsphinxAligner) -> None:
    """Print the errors of both aligners on eSpeak's speech, whose phones have known times."""
    espeak = EspeakSpeaker()
    compared: dict[str, list[ComparedSentence]] = {"ours": [], "pocketsphinx": []}
    for utterance in with_progress(utterances, "eSpeak"):
        words = dictionary_words(utterance.text)
        waveform, truth = espeak.speak(utterance.text)
        if len(truth) != len(words) or sphinx.missing_words(words):
            continue
        recording = aligner.prepare(waveform)
        ours = aligner.words(recording.mel, utterance.text, recording.start)
        theirs = sphinx.align(waveform, espeak.rate, words)
        if theirs is not None and len(ours) == len(words):
            for name, aligned in (("ours", ours), ("pocketsphinx", theirs)):
                # All sentences have the same speaker, so the intervals are over sentences.
                boundaries = tuple(compare_alignments(aligned, truth))
                compared[name].append(ComparedSentence(utterance.id, "espeak", boundaries))
    rows = [
        [*error_row(f"{name}, {kind}", sentences, keep), percent(gross_error_share(sentences))]
        for kind, keep in (("phones", between_phones), ("words", at_word_edge))
        for name, sentences in compared.items()
    ]
    title = f"Errors compared with eSpeak's own phones, {len(compared['ours'])} sentences, ms"
    print_table(title, ["", *_ERROR_HEADINGS, "sentences with gross errors"], rows)


def print_consistency(aligner: BaseAligner, utterances: Sequence[Utterance]) -> None:
    """Print how far boundaries move if a recording is joined to another one, or cut by a part of a frame."""
    rows = [_movement_row("joined to another sentence", join_sentences(aligner, utterances).comparisons)]
    for part in (0.25, 0.5, 0.75, 1.0):
        removed = round(part * aligner.base.config.audio.mel.hop)
        compared = []
        for utterance in with_progress(utterances, f"shift {part}"):
            recording = aligner.recording(utterance)
            cut_mel = aligner.mel(recording.waveform[removed:])
            cut_words = aligner.words(cut_mel, utterance.text, removed / aligner.rate)
            boundaries = tuple(compare_alignments(cut_words, aligner.words(recording.mel, utterance.text)))
            compared.append(ComparedSentence(utterance.id, utterance.speaker, boundaries))
        rows.append(_movement_row(f"cut {part} of a frame later", compared))
    headings = ["", "boundaries", "median", "90th percentile", "within 20 ms", "signed mean"]
    print_table("The same sentences aligned twice, phones, ms", headings, rows)


def _movement_row(name: str, sentences: Sequence[ComparedSentence]) -> list[str]:
    errors = boundary_errors(sentences, between_phones)
    means = [1000 * float(np.mean([boundary.error for boundary in sentence.boundaries])) for sentence in sentences]
    counts = [len(sentence.boundaries) for sentence in sentences]
    mean = mean_interval(means, [sentence.speaker for sentence in sentences], counts)
    return [
        name,
        str(errors.count),
        ms(errors.median),
        ms(errors.percentile_90),
        percent(errors.within_20_ms),
        ms(mean),
    ]


def print_pause_errors(
    aligner: BaseAligner, utterances: Sequence[Utterance], reference: Reference, speakers: str
) -> None:
    """Print errors, and how often the join of two sentences is found. `speakers`: who they are, for the title."""
    compared = compare_sentences(aligner, reference)
    phones, words = boundary_errors(compared, between_phones), boundary_errors(compared, at_word_edge)
    joined = join_sentences(aligner, utterances)
    seconds = joined.seconds_outside
    inside = mean_interval([float(distance < aligner.frame) for distance in seconds], joined.speakers)
    missed = mean_interval([float(distance > GROSS_ERROR) for distance in seconds], joined.speakers)
    figures = [ms(phones.median), ms(phones.mean), ms(words.mean), percent(gross_error_share(compared))]
    headings = ["phones, median", "phones, mean", "words, mean", "sentences with gross errors"]
    headings += ["joins", "join inside the detected pause", f"more than {_GROSS_MS} outside"]
    title = f"Pauses, {speakers}: errors compared with pocketsphinx, ms, and known joins"
    print_table(title, headings, [[*figures, str(len(seconds)), percent(inside), percent(missed)]])


def error_row(name: str, sentences: Sequence[ComparedSentence], keep: Callable[[Boundary], bool]) -> list[str]:
    e = boundary_errors(sentences, keep)
    shares = [percent(e.within_20_ms), percent(e.within_50_ms)]
    return [name, str(e.count), ms(e.median), ms(e.mean), ms(e.percentile_90), *shares, ms(e.signed_median)]


def ms(interval: Interval) -> str:
    return interval.shown(1)


def percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"**{title}**\n\n{markdown_table(headings, list(rows))}", flush=True)


def with_progress(utterances: Sequence[Utterance], description: str) -> Iterator[Utterance]:
    """The utterances, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    yield from track(utterances, description, console=Console(stderr=True), disable=not sys.stderr.isatty())
