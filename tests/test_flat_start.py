"""The flat start: durations estimated from spectra and transcripts alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import tone_sentence

from tts_meta.corpus import Example
from tts_meta.text import SymbolTable
from tts_meta.train.flat_start import FlatStart

TABLE = SymbolTable.from_alphabet(list("abcdefgh"))


def spectra() -> torch.Tensor:
    """Return one smooth spectrum per symbol `(V, 80)`. All pauses have the same quiet spectrum."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.arange(1, 9)[:, None] * (torch.arange(80) + 0.5) * np.pi / 80
    log_spectra = -4 + torch.randn(len(TABLE), 8, generator=generator) @ angles.cos()
    log_spectra[TABLE.kinds().silent] = -10.0
    return log_spectra


def noisy_example(text: str, seed: int) -> Example:
    """Return a sentence whose frames are the spectra of the symbols plus noise; `durations` are the true durations."""
    generator = torch.Generator().manual_seed(seed)
    tokens = TABLE.encode(text)
    durations = torch.randint(4, 14, (len(tokens),), generator=generator)
    pauses = TABLE.kinds().silent[tokens]
    pauses[0] = pauses[-1] = False
    skipped = pauses & (torch.rand(len(tokens), generator=generator) < 0.5)
    durations[skipped] = 0
    mel = spectra()[tokens.repeat_interleave(durations)]
    return Example(str(seed), "ann", tokens, durations, mel + 0.3 * torch.randn(mel.shape, generator=generator))


@pytest.fixture(scope="module")
def corpus() -> list[Example]:
    return [noisy_example(tone_sentence(seed, words=4), seed) for seed in range(80)]


def durations_of(examples: list[Example], iterations: int = 8) -> list[torch.Tensor | None]:
    model = FlatStart.estimate(examples, TABLE.kinds(), iterations)
    return [model.durations(example) for example in examples]


@pytest.fixture(scope="module")
def estimated(corpus: list[Example]) -> list[torch.Tensor | None]:
    unknown = [replace(example, durations=torch.zeros_like(example.tokens)) for example in corpus]
    return durations_of(unknown)


def frame_errors(estimated: list[torch.Tensor | None], corpus: list[Example]) -> torch.Tensor:
    """Return the absolute errors of all estimated durations, in frames."""
    pairs = zip(estimated, corpus, strict=True)
    errors = [(durations - example.durations).abs() for durations, example in pairs if durations is not None]
    return torch.cat(errors).float()


def test_durations_of_symbols_with_distinct_spectra_are_recovered_to_a_few_frames(
    corpus: list[Example], estimated: list[torch.Tensor | None]
) -> None:
    errors = frame_errors(estimated, corpus)
    assert errors.mean() < 0.75 and (errors <= 3).float().mean() > 0.97
    initial = frame_errors(durations_of(corpus, iterations=0), corpus)
    assert errors.mean() < 0.6 * initial.mean(), "iterations lower the error"


def test_durations_sum_to_the_number_of_frames_and_every_phone_has_a_frame(
    corpus: list[Example], estimated: list[torch.Tensor | None]
) -> None:
    for example, durations in zip(corpus, estimated, strict=True):
        assert durations is not None and int(durations.sum()) == len(example.mel)
        assert (durations[~TABLE.kinds().silent[example.tokens]] >= 1).all()


def test_skipped_pauses_get_no_frames_and_spoken_pauses_get_frames(
    corpus: list[Example], estimated: list[torch.Tensor | None]
) -> None:
    correct = []
    for example, durations in zip(corpus, estimated, strict=True):
        assert durations is not None
        inner = TABLE.kinds().silent[example.tokens]
        inner[0] = inner[-1] = False
        correct.append((durations[inner] > 0) == (example.durations[inner] > 0))
    assert torch.cat(correct).float().mean() > 0.95


def test_the_same_corpus_gives_the_same_durations(corpus: list[Example], estimated: list[torch.Tensor | None]) -> None:
    again = durations_of(corpus)
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(again, estimated, strict=True))


def test_a_recording_too_short_for_its_transcript_has_no_durations(corpus: list[Example]) -> None:
    short = replace(corpus[0], mel=corpus[0].mel[:10])
    estimated = durations_of([short, *corpus[1:6]], iterations=1)
    assert estimated[0] is None and all(durations is not None for durations in estimated[1:])
    assert durations_of([short]) == [None]
    assert durations_of([]) == []
