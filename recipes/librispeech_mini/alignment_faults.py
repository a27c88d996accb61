"""Plant faults in transcripts and recordings, to test whether checks of the alignment find them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from recipes.librispeech_mini.alignment_pocketsphinx import dictionary_words
from tts_meta.corpus import Utterance

FAULTS = (
    "none",
    "another sentence",
    "another, nearest in length",
    "three words missing",
    "a word missing",
    "a word added",
    "a word replaced",
    "recording ends 1 s early",
)


def plant_fault(
    fault: str, index: int, utterances: Sequence[Utterance], mel: Tensor, frame: float
) -> tuple[Tensor, str] | None:
    """The log-mel `(T, M)` and the transcript of an utterance, one of them with the fault.

    `mel` is that of `utterances[index]`, `frame` the seconds of a frame. None if the utterance is too short for the
    fault. The draw of words depends on the fault and the id of the utterance only.
    """
    utterance = utterances[index]
    generator = random.Random(f"{fault}/{utterance.id}")
    others = [other for other in utterances if other.speaker == utterance.speaker and other.text != utterance.text]
    if fault == "none":
        return mel, utterance.text
    if fault == "another sentence":
        return mel, generator.choice(others).text
    if fault == "another, nearest in length":
        return mel, min(others, key=lambda other: (abs(len(other.text) - len(utterance.text)), other.id)).text
    if fault == "recording ends 1 s early":
        return (mel[: -round(1 / frame)], utterance.text) if utterance.seconds > 3 else None
    words = utterance.text.split()
    if len(words) < 5:
        return None
    position = generator.randrange(1, len(words) - 3)
    other_words = [word for other in others for word in dictionary_words(other.text) if len(word) > 3]
    wrong_word = generator.choice(other_words)
    changed = {
        "three words missing": [*words[:position], *words[position + 3 :]],
        "a word missing": [*words[:position], *words[position + 1 :]],
        "a word added": [*words[:position], wrong_word, *words[position:]],
        "a word replaced": [*words[:position], wrong_word, *words[position + 1 :]],
    }
    return mel, " ".join(changed[fault])
