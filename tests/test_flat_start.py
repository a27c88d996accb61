from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import tone_sentence

from tts_meta.corpus import Example
from tts_meta.text import SymbolTable
from tts_meta.train.flat_start import flat_start_durations

TABLE = SymbolTable.from_alphabet(list("abcdefgh"))


def spectra() -> torch.Tensor:
    """One smooth spectrum a symbol `(V, 80)`; pauses quiet and alike."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.arange(1, 9)[:, None] * (torch.arange(80) + 0.5) * np.pi / 80
    drawn = -4 + torch.randn(len(TABLE), 8, generator=generator) @ angles.cos()
    drawn[TABLE.kinds().silent] = -10.0
    return drawn


def spoken(text: str, seed: int) -> Example:
    """A sentence whose every frame is its symbol's spectrum and noise; `durations` are the truth."""
    generator = torch.Generator().manual_seed(seed)
    tokens = TABLE.encode(text)
    durations = torch.randint(4, 14, (len(tokens),), generator=generator)
    pauses = TABLE.kinds().silent[tokens]
    pauses[0] = pauses[-1] = False
    unmade = pauses & (torch.rand(len(tokens), generator=generator) < 0.5)
    durations[unmade] = 0
    mel = spectra()[tokens.repeat_interleave(durations)]
    return Example(str(seed), "ann", tokens, durations, mel + 0.3 * torch.randn(mel.shape, generator=generator))


@pytest.fixture(scope="module")
def corpus() -> list[Example]:
    return [spoken(tone_sentence(seed, words=4), seed) for seed in range(80)]


@pytest.fixture(scope="module")
def found(corpus: list[Example]) -> list[torch.Tensor | None]:
    unknown = [replace(example, durations=torch.zeros_like(example.tokens)) for example in corpus]
    return flat_start_durations(unknown, TABLE.kinds())


def mean_error(found: list[torch.Tensor | None], corpus: list[Example]) -> float:
    errors = [(f - e.durations).abs() for f, e in zip(found, corpus, strict=True) if f is not None]
    return float(torch.cat(errors).float().mean())


def test_durations_of_symbols_with_spectra_of_their_own_are_recovered_to_a_few_frames(
    corpus: list[Example], found: list[torch.Tensor | None]
) -> None:
    errors = torch.cat([(f - e.durations).abs() for f, e in zip(found, corpus, strict=True) if f is not None])
    assert mean_error(found, corpus) < 0.75 and (errors <= 3).float().mean() > 0.97
    once = flat_start_durations(corpus, TABLE.kinds(), iterations=0)
    assert mean_error(found, corpus) < 0.6 * mean_error(once, corpus), "estimating anew helps"


def test_durations_cover_every_frame_and_every_phone(corpus: list[Example], found: list[torch.Tensor | None]) -> None:
    for example, durations in zip(corpus, found, strict=True):
        assert durations is not None and int(durations.sum()) == len(example.mel)
        assert (durations[~TABLE.kinds().silent[example.tokens]] >= 1).all()


def test_pauses_that_are_not_made_are_told_from_those_that_are(
    corpus: list[Example], found: list[torch.Tensor | None]
) -> None:
    right = []
    for example, durations in zip(corpus, found, strict=True):
        assert durations is not None
        inner = TABLE.kinds().silent[example.tokens]
        inner[0] = inner[-1] = False
        right.append((durations[inner] > 0) == (example.durations[inner] > 0))
    assert torch.cat(right).float().mean() > 0.95


def test_the_same_corpus_gives_the_same_durations(corpus: list[Example], found: list[torch.Tensor | None]) -> None:
    again = flat_start_durations(corpus, TABLE.kinds())
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(again, found, strict=True))


def test_a_recording_too_short_for_its_transcript_has_no_durations(corpus: list[Example]) -> None:
    short = replace(corpus[0], mel=corpus[0].mel[:10])
    found = flat_start_durations([short, *corpus[1:6]], TABLE.kinds(), iterations=1)
    assert found[0] is None and all(durations is not None for durations in found[1:])
    assert flat_start_durations([short], TABLE.kinds()) == [None]
    assert flat_start_durations([], TABLE.kinds()) == []
