"""Which planted faults of transcripts the checks of training and `clone` find, and which other measures would find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recipes.librispeech_mini.alignment_base import BaseAligner
from recipes.librispeech_mini.alignment_faults import FAULTS, plant_fault
from recipes.librispeech_mini.alignment_tables import percent, print_table, with_progress
from tts_meta.corpus import Example, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import mean_interval
from tts_meta.train.datasets import align_examples

_FALSE_ALARMS = 0.02
"""Share of the correct transcripts that lie below the limit of a measure."""


def print_wrong_transcripts(aligner: BaseAligner, utterances: Sequence[Utterance], folder: Path) -> None:
    """Print the share of planted faults that is found, and write the excluded examples into `folder`."""
    examples = _faulty_examples(aligner, utterances)
    every = [example for of_fault in examples.values() for example in of_fault]
    kept = {example.id for example in align_examples(every, aligner.base, folder / "excluded.jsonl")}
    rows, limits = [], np.zeros(0)
    for fault, of_fault in examples.items():
        measures = np.array([_measures(aligner, example) for example in of_fault])
        if fault == "none":
            each = np.quantile(measures, _FALSE_ALARMS, axis=0)
            half = np.quantile(measures, _FALSE_ALARMS / 2, axis=0)
            limits = np.concatenate([each, half])
        alarms = measures < limits[:3]
        either = (measures[:, 1:] < limits[4:]).any(1)
        warned = [not aligner.base.aligner.matches(score) for score in measures[:, 0]]
        columns = [[example.id not in kept for example in of_fault], warned, *alarms.T, either]
        speakers = [example.speaker for example in of_fault]
        shares = [percent(mean_interval(np.asarray(column, float), speakers)) for column in columns]
        rows.append([fault, str(len(of_fault)), *shares])
    headings = ["fault", "sentences", "excluded from training", "`clone` warns", "mean score", "worst 0.29 s"]
    title = (
        "Planted faults that are found (last four columns: limits set to "
        f"{100 * _FALSE_ALARMS:.0f} % false alarms here)"
    )
    print_table(title, [*headings, "worst four phones", "either of these two"], rows)
    print(f"{len(every) - len(kept)} of {len(every)} are listed in {folder / 'excluded.jsonl'}.\n")


def _faulty_examples(aligner: BaseAligner, utterances: Sequence[Utterance]) -> dict[str, list[Example]]:
    examples: dict[str, list[Example]] = {fault: [] for fault in FAULTS}
    for index, utterance in enumerate(with_progress(utterances, "wrong transcripts")):
        mel = aligner.recording(utterance).mel
        for fault in FAULTS:
            planted = plant_fault(fault, index, utterances, mel, aligner.frame)
            if planted is not None:
                example = aligner.example(f"{utterance.id}/{fault}", utterance.speaker, *planted)
                examples[fault].append(example)
    return examples


def _measures(aligner: BaseAligner, example: Example) -> tuple[float, float, float]:
    """The three measures of `TranscriptFit`. A recording too short for its transcript fails every check."""
    try:
        fit = aligner.fit(example)
    except TtsMetaError:
        return -1e9, -1e9, -1e9
    return fit.mean_score, fit.worst_stretch, fit.worst_phones
