"""A base's aligner measured: against pocketsphinx, against known truths, and on transcripts that are wrong.

python -m recipes.librispeech_mini.alignment              minutes on one core; tables on standard output
python -m recipes.librispeech_mini.alignment held-back    or parts: held-back, unseen
python -m recipes.librispeech_mini.alignment --base DIR   another base than the shipped one

Needs `runs/librispeech_mini/manifest.jsonl` (`tts-meta prepare`) and the extras `alignment` and `multilingual`. Writes
to `runs/librispeech_mini/alignment/`: `sentences.jsonl`, each sentence's worst word, and `left_out.jsonl`, what
training would leave out of a corpus with planted faults, and why. What the tables say: `alignment.md` beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from recipes.librispeech_mini.alignment_ours import FAULTS, Measurer, plant, spliced
from recipes.librispeech_mini.alignment_speech import Espeak, Pocketsphinx, plain_words
from recipes.recipe_io import markdown_table
from tts_meta.audio import read_audio
from tts_meta.cli import run_command
from tts_meta.corpus import Example, Manifest, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import Interval, mean_interval
from tts_meta.evaluate.alignment import (
    GROSS,
    Boundary,
    Compared,
    Word,
    by_classes,
    compare,
    errors_of,
    gross_errors,
)
from tts_meta.files import atomic_file
from tts_meta.models.aligner import loudness
from tts_meta.models.pretrained import load_base
from tts_meta.train.datasets import align_examples

HELD_BACK = ("ls1580", "ls7021", "ls4992")
UNSEEN = "train_noisy"
PARTS = ("held-back", "unseen")
_ERRORS = ("boundaries", "median", "mean", "90th percentile", "within 20 ms", "within 50 ms", "signed median")
_FALSE_ALARMS = 0.02
_FEWEST = 100
"""Boundaries that a pair of phone classes needs for a line."""


def phone(boundary: Boundary) -> bool:
    return boundary.paired


def edge(boundary: Boundary) -> bool:
    return boundary.edge


def listen(
    measurer: Measurer, utterances: Sequence[Utterance], sphinx: Pocketsphinx
) -> list[tuple[Utterance, list[Word]]]:
    """The sentences that pocketsphinx can align, with its words; prints how many were left aside, and why."""
    found, aside = [], {"a word outside its dictionary": 0, "read as other words": 0, "no path": 0}
    for utterance in progress(utterances, "pocketsphinx"):
        words = plain_words(utterance.text)
        if sphinx.unknown(words):
            aside["a word outside its dictionary"] += 1
        elif len(measurer.said(utterance)) != len(words):
            aside["read as other words"] += 1
        elif (theirs := sphinx.align(read_audio(utterance.audio, 16_000), 16_000, words)) is None:
            aside["no path"] += 1
        else:
            found.append((utterance, theirs))
    reasons = ", ".join(f"{reason} {count}" for reason, count in aside.items())
    print(f"{len(found)} of {len(utterances)} sentences compared with pocketsphinx; left aside: {reasons}.\n")
    return found


def compare_all(measurer: Measurer, heard: Sequence[tuple[Utterance, list[Word]]]) -> list[Compared]:
    """Our alignment of each sentence beside the other one."""
    return [Compared(u.id, u.speaker, tuple(compare(measurer.said(u), words))) for u, words in heard]


def against_pocketsphinx(measurer: Measurer, heard: Sequence[tuple[Utterance, list[Word]]], report: Path) -> None:
    """Print errors, gross errors, what trimming cuts off, errors by class, and which sentences are gross."""
    compared = compare_all(measurer, heard)
    who = [one.speaker for one in compared]
    rows = [error_row("phones", compared, phone), error_row("words", compared, edge)]
    for speaker in dict.fromkeys(who):
        its = [one for one in compared if one.speaker == speaker]
        rows.append(error_row(f"phones, {speaker} ({len(its)} sentences)", its, phone))
    table("Against pocketsphinx, ms", ["", *_ERRORS], rows)

    def cut(seconds: float) -> Interval:
        """The share of sentences of which trimming leaves out more than so much speech at either end."""
        shares = []
        for utterance, words in heard:
            kept = measurer.hear(utterance)
            end = kept.start + len(kept.waveform) / measurer.rate
            shares.append(float(max(kept.start - words[0][0].start, words[-1][-1].end - end) > seconds))
        return mean_interval(shares, who)

    rows = [
        [f"a word starts or ends more than {1000 * limit:.0f} ms off", percent(gross_errors(compared, limit))]
        for limit in (0.1, GROSS, 0.5)
    ]
    rows += [
        [f"more than {1000 * limit:.0f} ms of speech, by pocketsphinx, trimmed away", percent(cut(limit))]
        for limit in (0.02, 0.1)
    ]
    table("Sentences where", ["", "share"], rows)
    rows = [[a, b, str(e.count), ms(e.median), ms(e.high), ms(e.offset)] for a, b, e in by_classes(compared, _FEWEST)]
    head = ["left", "right", "boundaries", "median", "90th percentile", "signed median"]
    table(f"By class of the phones on both sides, ms (pairs with at least {_FEWEST} boundaries)", head, rows)

    with atomic_file(report / "sentences.jsonl") as temporary:
        lines = [{"id": one.id, "speaker": one.speaker, "worst_edge": round(one.worst_edge, 3)} for one in compared]
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def swallowed_pauses(measurer: Measurer, heard: Sequence[tuple[Utterance, list[Word]]]) -> None:
    """Print which words start much too early, and whether what they take in is a pause by its loudness."""
    counts: dict[str, int] = {}
    quiets = []
    for utterance, words in heard:
        kept = measurer.hear(utterance)
        quiet = (loudness(kept.mel) <= 0).float()
        for ours, theirs, word in zip(measurer.said(utterance), words, plain_words(utterance.text), strict=True):
            if theirs[0].start - ours[0].start > GROSS:
                counts[word] = counts.get(word, 0) + 1
                first, last = (round((at - kept.start) / measurer.frame) for at in (ours[0].start, theirs[0].start))
                quiets.append(float(quiet[max(first, 0) : last].mean()) > 0.5)
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    print(f"{len(quiets)} words start more than {1000 * GROSS:.0f} ms before pocketsphinx's start of them:")
    print(", ".join(f"{word} {count}" for word, count in by_count) + ".")
    print(f"Most of what {sum(quiets)} of them take in is so quiet that a pause costs nothing there.\n")


def against_espeak(measurer: Measurer, utterances: Sequence[Utterance], sphinx: Pocketsphinx) -> None:
    """Print the errors of both aligners on speech whose phones' times are known."""
    espeak = Espeak()
    found: dict[str, list[Compared]] = {"ours": [], "pocketsphinx": []}
    for utterance in progress(utterances, "eSpeak"):
        words = plain_words(utterance.text)
        waveform, truth = espeak.speak(utterance.text)
        if len(truth) != len(words) or sphinx.unknown(words):
            continue
        heard = measurer.prepare(waveform)
        ours, theirs = (
            measurer.words(heard.mel, utterance.text, heard.start),
            sphinx.align(waveform, espeak.rate, words),
        )
        if theirs is not None and len(ours) == len(words):
            for name, its in (("ours", ours), ("pocketsphinx", theirs)):
                # One voice says all of them: the intervals are over its sentences.
                found[name].append(Compared(utterance.id, "espeak", tuple(compare(its, truth))))
    rows = [
        [*error_row(f"{name}, {kind}", which, keep), percent(gross_errors(which))]
        for kind, keep in (("phones", phone), ("words", edge))
        for name, which in found.items()
    ]
    title = f"Against eSpeak's own phones, {len(found['ours'])} sentences, ms"
    table(title, ["", *_ERRORS, "gross sentences"], rows)


def consistency(measurer: Measurer, utterances: Sequence[Utterance]) -> None:
    """Print what a join and a known shift change."""
    rows = [_moved("spliced to another sentence", spliced(measurer, utterances)[2])]
    for part in (0.25, 0.5, 0.75, 1.0):
        lost = round(part * measurer.base.config.audio.mel.hop)
        shifted = []
        for utterance in progress(utterances, f"shift {part}"):
            heard = measurer.hear(utterance)
            later = measurer.words(measurer.mel(heard.waveform[lost:]), utterance.text, lost / measurer.rate)
            alone = measurer.words(heard.mel, utterance.text)
            shifted.append(Compared(utterance.id, utterance.speaker, tuple(compare(later, alone))))
        rows.append(_moved(f"cut {part} of a frame later", shifted))
    head = ["", "boundaries", "median", "90th percentile", "within 20 ms", "signed mean"]
    table("The same sentences aligned twice, phones, ms", head, rows)


def _moved(name: str, sentences: Sequence[Compared]) -> list[str]:
    e = errors_of(sentences, phone)
    means = [1000 * float(np.mean([boundary.error for boundary in one.boundaries])) for one in sentences]
    counts = [len(one.boundaries) for one in sentences]
    mean = mean_interval(means, [one.speaker for one in sentences], counts)
    return [name, str(e.count), ms(e.median), ms(e.high), percent(e.within_20), ms(mean)]


def pauses(
    measurer: Measurer, utterances: Sequence[Utterance], heard: Sequence[tuple[Utterance, list[Word]]], where: str
) -> None:
    """Print errors and, of two sentences made one, whether the join is found."""
    compared = compare_all(measurer, heard)
    phones, words = errors_of(compared, phone), errors_of(compared, edge)
    who, off, _ = spliced(measurer, utterances)
    inside = mean_interval([float(seconds < measurer.frame) for seconds in off], who)
    missed = mean_interval([float(seconds > GROSS) for seconds in off], who)
    figures = [ms(phones.median), ms(phones.mean), ms(words.mean), percent(gross_errors(compared))]
    head = ["phones, median", "phones, mean", "words, mean", "gross sentences"]
    joins = ["joins", "join in the pause found", f"more than {1000 * GROSS:.0f} ms outside"]
    title = f"Pauses, {where}: errors against pocketsphinx, ms, and known joins"
    table(title, [*head, *joins], [[*figures, str(len(off)), percent(inside), percent(missed)]])


def wrong_transcripts(measurer: Measurer, utterances: Sequence[Utterance], report: Path) -> None:
    """Print what part of planted faults the pipeline's checks find, and what others would."""
    examples: dict[str, list[Example]] = {fault: [] for fault in FAULTS}
    for number, utterance in enumerate(progress(utterances, "wrong transcripts")):
        mel = measurer.hear(utterance).mel
        for fault in FAULTS:
            found = plant(fault, number, utterances, mel, measurer.frame)
            if found is not None:
                examples[fault].append(measurer.example(f"{utterance.id}/{fault}", utterance.speaker, *found))
    every = [example for its in examples.values() for example in its]
    kept = {example.id for example in align_examples(every, measurer.base, report / "left_out.jsonl")}
    rows, limits = [], np.zeros(0)
    for fault, its in examples.items():
        # Too short for its transcript is a fault that every check finds.
        fits = np.array([_fits(measurer, example) for example in its])
        if fault == "none":
            low = np.quantile(fits, _FALSE_ALARMS, axis=0)
            half = np.quantile(fits, _FALSE_ALARMS / 2, axis=0)
            limits = np.concatenate([low, half])
        alarms = fits < limits[:3]
        either = (fits[:, 1:] < limits[4:]).any(1)
        warned = [not measurer.base.aligner.matches(score) for score in fits[:, 0]]
        columns = [[example.id not in kept for example in its], warned, *alarms.T, either]
        who = [example.speaker for example in its]
        shares = [percent(mean_interval(np.asarray(column, float), who)) for column in columns]
        rows.append([fault, str(len(its)), *shares])
    head = ["what is wrong", "sentences", "left out of training", "warned of by `clone`", "mean score", "worst 0.29 s"]
    title = f"Planted faults found (the last four columns: limits set to {100 * _FALSE_ALARMS:.0f} % false alarms here)"
    table(title, [*head, "worst four phones", "either of these two"], rows)
    print(f"{len(every) - len(kept)} of {len(every)} are listed in {report / 'left_out.jsonl'}.\n")


def _fits(measurer: Measurer, example: Example) -> tuple[float, float, float]:
    try:
        fit = measurer.fit(example)
    except TtsMetaError:
        return -1e9, -1e9, -1e9
    return fit.score, fit.stretch, fit.phones


def error_row(name: str, sentences: Sequence[Compared], keep: Callable[[Boundary], bool]) -> list[str]:
    e = errors_of(sentences, keep)
    shares = [percent(e.within_20), percent(e.within_50)]
    return [name, str(e.count), ms(e.median), ms(e.mean), ms(e.high), *shares, ms(e.offset)]


def ms(interval: Interval) -> str:
    return interval.shown(1)


def percent(interval: Interval) -> str:
    return f"{100 * interval.mean:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"**{title}**\n\n{markdown_table(head, list(rows))}", flush=True)


def progress(utterances: Sequence[Utterance], what: str) -> Iterator[Utterance]:
    """The utterances, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    yield from track(utterances, what, console=Console(stderr=True), disable=not sys.stderr.isatty())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    # argparse holds the empty list, too, against the choices.
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"{' or '.join(PARTS)}; or all")
    parser.add_argument("--manifest", type=Path, default=Path("runs/librispeech_mini/manifest.jsonl"))
    parser.add_argument("--output", type=Path, default=Path("runs/librispeech_mini/alignment"))
    parser.add_argument("--base", type=Path, help="folder of a base voice; the shipped one where none is given")
    parser.add_argument("--every", type=int, default=1, help="take one sentence in so many, for a quick look")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    manifest, every = Manifest.load(arguments.manifest), arguments.every
    arguments.output.mkdir(parents=True, exist_ok=True)
    base, sphinx = load_base(arguments.base), Pocketsphinx()
    if "held-back" in (arguments.parts or PARTS):
        measurer = Measurer(base)
        utterances = list(manifest.of_speakers(HELD_BACK))[::every]
        heard = listen(measurer, utterances, sphinx)
        against_pocketsphinx(measurer, heard, arguments.output)
        swallowed_pauses(measurer, heard)
        against_espeak(measurer, utterances, sphinx)
        consistency(measurer, utterances)
        pauses(measurer, utterances, heard, "held-back speakers")
        wrong_transcripts(measurer, utterances, arguments.output)
    if "unseen" in (arguments.parts or PARTS):
        # The costs of the search were chosen by looking at the speakers above; on these nothing was tried.
        measurer = Measurer(base)
        utterances = list(manifest.of_split(UNSEEN))[::every]
        heard = listen(measurer, utterances, sphinx)
        pauses(measurer, utterances, heard, f"speakers of `{UNSEEN}`")


if __name__ == "__main__":
    sys.exit(run_command(main))
