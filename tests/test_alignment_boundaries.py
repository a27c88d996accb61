"""Pairing of two alignments: known words are paired as expected, and boundaries have the errors that were put in."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from recipes.librispeech_mini.alignment_boundaries import (
    ARPABET,
    PAUSE,
    Phone,
    Word,
    compare_alignments,
    merge_rhotics,
    pair_phones,
    words_from_symbols,
)
from tts_meta.errors import UsageError
from tts_meta.models.pretrained import load_base
from tts_meta.text import BOUNDARIES

FRAME = 0.01
POCKETSPHINX = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"


def word(names: str, start: float, *lengths: float) -> Word:
    """A word of the dictionary. The first phone starts at `start`; `lengths` are the seconds of each phone."""
    times = start + np.cumsum([0.0, *lengths])
    return [
        Phone(frozenset({name}), float(times[index]), float(times[index + 1]))
        for index, name in enumerate(names.split())
    ]


def ours(phonemes: str, *durations: int) -> list[Word]:
    return words_from_symbols(phonemes, durations, FRAME)


def test_the_table_has_every_phone_of_the_dictionary_and_only_symbols_of_the_base() -> None:
    assert sorted(ARPABET) == POCKETSPHINX.split()
    symbols = {symbol for symbols in ARPABET.values() for symbol in symbols}
    assert all(ARPABET.values())
    assert symbols <= set(load_base().symbols.symbols)


def test_the_table_has_every_phone_of_the_base() -> None:
    known = {symbol for symbols in ARPABET.values() for symbol in symbols}
    phones = {symbol.lstrip("ˈˌ") for symbol in load_base().symbols.symbols} - {*BOUNDARIES, "^", "$"}
    assert phones == known


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx is not installed")
def test_the_dictionary_of_pocketsphinx_uses_the_phones_of_the_table() -> None:
    model = Path(importlib.import_module("pocketsphinx").get_model_path())
    lines = (model / "en-us" / "cmudict-en-us.dict").read_text("utf-8").splitlines()
    assert {phone for line in lines for phone in line.split()[1:]} == set(ARPABET)


def test_durations_become_words_and_a_pause_belongs_to_no_word() -> None:
    words = ours("wˌʌn, tu", 3, 1, 4, 2, 5, 6, 7, 8)
    assert [[(round(p.start, 3), round(p.end, 3)) for p in phones] for phones in words] == [
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
    our_word = ours(phonemes, *[1] * (count + 2))[0]
    reference_word = merge_rhotics(word(reference, 0.0, *[1.0] * len(reference.split())))
    assert pair_phones(our_word, reference_word) == pairs


def test_a_central_vowel_and_a_following_r_are_merged_into_one_phone() -> None:
    merged = ours("əɹˈWnd", 0, 1, 2, 3, 4, 5, 6)[0]
    assert merged[0].names == {"ER"} and len(merged) == 4
    assert (merged[0].start, merged[0].end) == (0.0, pytest.approx(0.03))


def test_every_boundary_has_its_error_and_the_classes_of_the_reference() -> None:
    boundaries = compare_alignments(ours("kæt sɪt", 10, 5, 6, 7, 0, 8, 9, 10, 0), [
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
    assert [(round(b.error, 6) + 0.0, b.left, b.right, b.at_word_edge) for b in boundaries] == expected
    assert all(b.phones_paired for b in boundaries)


@pytest.mark.parametrize("side", ["ours", "reference"])
def test_a_pause_in_either_alignment_makes_two_boundaries(side: str) -> None:
    without_pause = ours("kæt sɪt", 0, 5, 6, 7, 0, 8, 9, 10, 0)
    with_pause = ours("kæt sɪt", 0, 5, 6, 5, 4, 6, 9, 10, 0)
    first, second = (with_pause, without_pause) if side == "ours" else (without_pause, with_pause)
    between = [b for b in compare_alignments(first, second) if b.at_word_edge][1:-1]
    sign = 1 if side == "ours" else -1
    assert [(round(b.error, 6), PAUSE in (b.left, b.right)) for b in between] == [
        (-0.02 * sign, True),
        (0.02 * sign, True),
    ]


def test_a_boundary_next_to_an_unpaired_phone_is_compared_only_at_word_edges() -> None:
    boundaries = compare_alignments(
        ours("ɔfᵊn", 0, 1, 1, 1, 1, 0), [word("AO F T AH N", 0.0, 0.01, 0.01, 0.0, 0.01, 0.01)]
    )
    assert [(b.left, b.right) for b in boundaries if not b.at_word_edge] == [("vowel", "fricative"), ("vowel", "nasal")]
    boundaries = compare_alignments(ours("æz", 0, 1, 1, 0), [word("EH Z", 0.0, 0.01, 0.01)])
    assert [(b.at_word_edge, b.phones_paired) for b in boundaries] == [(True, False), (True, True)]


def test_alignments_with_different_numbers_of_words_are_refused() -> None:
    with pytest.raises(UsageError, match="2 and 1 words"):
        compare_alignments(ours("ɑ ɑ", 0, 1, 0, 1, 0), [word("AA", 0.0, 1.0)])
