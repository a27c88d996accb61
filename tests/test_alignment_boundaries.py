"""Boundaries of two alignments are paired as a person would, and their errors are those that were put in."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tts_meta.errors import UsageError
from tts_meta.evaluate.alignment import (
    ARPABET,
    GROSS,
    PAUSE,
    Boundary,
    Compared,
    Phone,
    Word,
    by_classes,
    compare,
    errors_of,
    gross_errors,
    merge_rhotics,
    pair_phones,
    quantile_interval,
    words_from_symbols,
)
from tts_meta.models.pretrained import load_base
from tts_meta.text import BOUNDARIES

FRAME = 0.01
POCKETSPHINX = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"


def word(names: str, start: float, *lengths: float) -> Word:
    """A word as a pronouncing dictionary has it, its first phone from `start` on, each so many seconds long."""
    edges = start + np.cumsum([0.0, *lengths])
    return [
        Phone(frozenset({name}), float(edges[place]), float(edges[place + 1]))
        for place, name in enumerate(names.split())
    ]


def ours(phonemes: str, *durations: int) -> list[Word]:
    return words_from_symbols(phonemes, durations, FRAME)


def test_the_table_has_every_phone_of_the_dictionary_and_only_symbols_of_the_base() -> None:
    assert sorted(ARPABET) == POCKETSPHINX.split()
    symbols = {symbol for symbols in ARPABET.values() for symbol in symbols}
    assert all(ARPABET.values())
    assert symbols <= set(load_base().symbols.symbols)


def test_the_table_has_every_phone_that_the_base_says() -> None:
    known = {symbol for symbols in ARPABET.values() for symbol in symbols}
    phones = {symbol.lstrip("ˈˌ") for symbol in load_base().symbols.symbols} - {*BOUNDARIES, "^", "$"}
    assert phones == known


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx is not installed")
def test_the_dictionary_that_comes_with_pocketsphinx_uses_these_phones() -> None:
    model = Path(importlib.import_module("pocketsphinx").get_model_path())
    lines = (model / "en-us" / "cmudict-en-us.dict").read_text("utf-8").splitlines()
    assert {phone for line in lines for phone in line.split()[1:]} == set(ARPABET)


def test_durations_become_words_and_a_pause_belongs_to_none() -> None:
    words = ours("wˌʌn, tu", 3, 1, 4, 2, 5, 6, 7, 8)
    assert [[(round(p.start, 3), round(p.end, 3)) for p in one] for one in words] == [
        [(0.03, 0.04), (0.04, 0.08), (0.08, 0.1)],
        [(0.15, 0.21), (0.21, 0.28)],
    ]
    assert [phone.names for phone in words[1]] == [{"T"}, {"UW"}]


def test_durations_of_another_sentence_are_refused() -> None:
    with pytest.raises(UsageError, match="align the same phonemes"):
        ours("wʌn", 1, 2)


@pytest.mark.parametrize(
    ("phonemes", "reference", "pairs"),
    [
        ("kæt", "K AE T", [(0, 0), (1, 1), (2, 2)]),
        ("sˈɪTi", "S IH T IY", [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ("bˈɜɹd", "B ER D", [(0, 0), (1, 1), (2, 2)]),
        ("ɔfᵊn", "AO F T AH N", [(0, 0), (1, 1), (2, 3), (3, 4)]),
        ("æz", "EH Z", [(1, 1)]),
        ("mˈɪsəz", "M IH S IH Z", [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]),
        ("ˈɑ", "OW", []),
        ("nˈɪɹ", "N IH R", [(0, 0), (1, 1), (2, 2)]),
    ],
)
def test_phones_are_paired_by_the_fewest_edits(phonemes: str, reference: str, pairs: list[tuple[int, int]]) -> None:
    count = len(phonemes.replace("ˈ", ""))
    one = ours(phonemes, *[1] * (count + 2))[0]
    other = merge_rhotics(word(reference, 0.0, *[1.0] * len(reference.split())))
    assert pair_phones(one, other) == pairs


def test_a_central_vowel_and_its_r_are_one_phone_from_its_start_to_their_end() -> None:
    merged = ours("əɹˈWnd", 0, 1, 2, 3, 4, 5, 6)[0]
    assert merged[0].names == {"ER"} and len(merged) == 4
    assert (merged[0].start, merged[0].end) == (0.0, pytest.approx(0.03))


def test_every_boundary_has_its_error_and_the_classes_of_the_reference() -> None:
    found = compare(ours("kæt sɪt", 10, 5, 6, 7, 0, 8, 9, 10, 0), [
        word("K AE T", 0.09, 0.05, 0.06, 0.08),
        word("S IH T", 0.28, 0.08, 0.09, 0.13),
    ])  # fmt: skip
    expected = [
        (0.01, PAUSE, "stop", True),
        (0.01, "stop", "vowel", False),
        (0.01, "vowel", "stop", False),
        (0.0, "stop", "fricative", True),
        (0.0, "fricative", "vowel", False),
        (0.0, "vowel", "stop", False),
        (-0.03, "stop", PAUSE, True),
    ]
    assert [(round(b.error, 6) + 0.0, b.left, b.right, b.edge) for b in found] == expected
    assert all(b.paired for b in found)


@pytest.mark.parametrize("side", ["ours", "reference"])
def test_a_pause_in_either_alignment_makes_two_boundaries(side: str) -> None:
    together = ours("kæt sɪt", 0, 5, 6, 7, 0, 8, 9, 10, 0)
    apart = ours("kæt sɪt", 0, 5, 6, 5, 4, 6, 9, 10, 0)
    first, second = (apart, together) if side == "ours" else (together, apart)
    between = [b for b in compare(first, second) if b.edge][1:-1]
    sign = 1 if side == "ours" else -1
    assert [(round(b.error, 6), PAUSE in (b.left, b.right)) for b in between] == [
        (-0.02 * sign, True),
        (0.02 * sign, True),
    ]


def test_a_boundary_beside_an_unpaired_phone_is_left_out_but_for_the_edges_of_words() -> None:
    found = compare(ours("ɔfᵊn", 0, 1, 1, 1, 1, 0), [word("AO F T AH N", 0.0, 0.01, 0.01, 0.0, 0.01, 0.01)])
    assert [(b.left, b.right) for b in found if not b.edge] == [("vowel", "fricative"), ("vowel", "nasal")]
    found = compare(ours("æz", 0, 1, 1, 0), [word("EH Z", 0.0, 0.01, 0.01)])
    assert [(b.edge, b.paired) for b in found] == [(True, False), (True, True)]


def test_alignments_of_other_words_are_refused() -> None:
    with pytest.raises(UsageError, match="2 and 1 words"):
        compare(ours("ɑ ɑ", 0, 1, 0, 1, 0), [word("AA", 0.0, 1.0)])


def sentences(count: int, late: float, spread: float, seed: int = 0) -> list[Compared]:
    """Sentences of three speakers whose boundaries are `late` on average, by a normal distribution, in seconds."""
    random = np.random.default_rng(seed)
    return [
        Compared(
            str(number),
            f"s{number % 3}",
            tuple(Boundary(float(e), "stop", "vowel", place % 2 == 0, True) for place, e in enumerate(errors)),
        )
        for number, errors in enumerate(random.normal(late, spread, (count, 20)))
    ]


def test_the_errors_put_in_come_out() -> None:
    found = errors_of(sentences(300, 0.004, 0.02), lambda boundary: True)
    assert found.count == 6000
    # Of |N(4, 20)| ms.
    assert found.offset.mean == pytest.approx(4.0, abs=1.0)
    for interval, truth in (
        (found.median, 13.75),
        (found.mean, 16.28),
        (found.high, 33.55),
        (found.within_20, 0.6730),
        (found.within_50, 0.9859),
    ):
        assert interval.low <= interval.mean <= interval.high
        assert interval.mean == pytest.approx(truth, rel=0.05)


def test_only_the_boundaries_asked_for_are_measured() -> None:
    assert errors_of(sentences(3, 0.0, 0.01), lambda boundary: boundary.edge).count == 30
    with pytest.raises(UsageError, match="no boundary"):
        errors_of(sentences(3, 0.0, 0.01), lambda boundary: False)


def test_an_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        # Each sentence is off by an amount of its own: boundaries are no independent draws.
        groups = [random.normal(random.normal(0, 1), 1, 10) for _ in range(30)]
        interval = quantile_interval(groups, ["one"] * 30, 0.5, seed)
        covered += interval.low <= 0 <= interval.high
    assert 88 <= covered <= 99


def test_a_sentence_is_gross_by_its_worst_word_not_by_its_phones() -> None:
    def one(id: str, error: float, edge: bool) -> Compared:
        return Compared(
            id, "s", (Boundary(0.0, "stop", "vowel", True, True), Boundary(error, "stop", "vowel", edge, True))
        )

    found = gross_errors(
        [one("a", GROSS + 0.01, True), one("b", GROSS + 0.01, False), one("c", -0.3, True), one("d", 0.1, True)]
    )
    assert found.mean == 0.5 and found.count == 4


def test_classes_are_listed_worst_first_and_rare_ones_left_out() -> None:
    boundaries = [Boundary(0.01, "stop", "vowel", False, True)] * 5 + [Boundary(0.03, PAUSE, "stop", True, True)] * 5
    boundaries += [Boundary(0.2, "nasal", "stop", False, True), Boundary(0.3, "vowel", "vowel", True, False)] * 4
    found = list(by_classes([Compared("a", "s", tuple(boundaries))], 5))
    assert [(left, right, errors.count) for left, right, errors in found] == [(PAUSE, "stop", 5), ("stop", "vowel", 5)]
    assert found[0][2].median.mean == pytest.approx(30.0)
