"""`SymbolTable` and `split_symbols`: phoneme strings to symbols and ids."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.errors import TtsMetaError
from tts_meta.text import BOUNDARIES, SymbolTable, split_symbols

PHONES = ["j", "u", "ˈu", "ˌA", "w", "ɪ", "ˈɪ", "l", "ʤ"]
PUNCTUATION = [*BOUNDARIES, "-", "–", "(", ")", "“", '"']
strings = st.lists(st.sampled_from(PHONES + PUNCTUATION), max_size=30).map("".join)
TABLE = SymbolTable.from_alphabet(PHONES)


def test_a_stressed_vowel_and_each_boundary_are_one_symbol() -> None:
    assert split_symbols("jˈu, wɪl.") == ["^", "j", "ˈu", ",", "w", "ɪ", "l", ".", "$"]


@given(strings)
def test_a_sentence_has_marks_only_at_both_ends(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    assert symbols[0] == "^" and symbols[-1] == "$"
    assert not {"^", "$"} & set(symbols[1:-1])


@given(strings)
def test_two_phones_have_at_most_one_boundary_between_them(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    assert not any(a in BOUNDARIES and b in BOUNDARIES for a, b in pairwise(symbols))
    assert symbols[1] not in BOUNDARIES, "silence before speech belongs to ^"
    assert symbols[-2] != " ", "silence after speech belongs to $"


@given(strings)
def test_every_phone_is_kept_in_order(phonemes: str) -> None:
    kept = "".join(symbol for symbol in split_symbols(phonemes)[1:-1] if symbol not in BOUNDARIES)
    assert kept == "".join(character for character in phonemes if character not in PUNCTUATION)


@given(strings)
def test_splitting_the_joined_symbols_gives_the_same_symbols(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    assert split_symbols("".join(symbols[1:-1])) == symbols


@given(st.lists(st.sampled_from(BOUNDARIES), min_size=1, max_size=5))
def test_the_strongest_boundary_between_two_words_is_kept(boundaries: list[str]) -> None:
    assert split_symbols(f"j{''.join(boundaries)}w") == ["^", "j", min(boundaries, key=BOUNDARIES.index), "w", "$"]


@given(strings)
def test_decoding_the_ids_gives_the_symbols(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    if all(symbol in (*BOUNDARIES, "^", "$") for symbol in symbols):
        with pytest.raises(TtsMetaError, match="nothing to speak"):
            TABLE.encode(phonemes)
        return
    tokens = TABLE.encode(phonemes)
    assert tokens.dtype == torch.int64 and TABLE.decode(tokens) == symbols
    assert int(tokens.min()) >= 1 and int(tokens.max()) < len(TABLE)
    assert TABLE.decode(torch.cat([tokens, torch.zeros(3, dtype=torch.int64)])) == symbols, "0 is padding"


@pytest.mark.parametrize(
    ("phonemes", "symbol"), [("jˈu ж", "ж"), ("jˈwɪ", "ˈw"), ("j1", "1"), ("j^l", "^"), ("$j", "$")]
)
def test_the_error_for_an_unknown_symbol_names_it_and_the_sentence(phonemes: str, symbol: str) -> None:
    with pytest.raises(TtsMetaError) as error:
        TABLE.encode(phonemes, "You and I.")
    assert str(error.value).startswith(f"unknown symbol '{symbol}' in \"You and I.\"; the symbols of the model are: ")
    with pytest.raises(TtsMetaError) as error:
        TABLE.encode(phonemes)
    assert f'in "{phonemes}"' in str(error.value)


@pytest.mark.parametrize("phonemes", ["", "   ", ".", "?! …", "—", "()"])
def test_a_text_with_only_punctuation_is_refused(phonemes: str) -> None:
    with pytest.raises(TtsMetaError, match=r'^nothing to speak in "the text"'):
        TABLE.encode(phonemes, "the text")


def test_a_table_with_a_repeated_symbol_is_refused() -> None:
    with pytest.raises(TtsMetaError, match="twice"):
        SymbolTable(["a", "b", "a"])


def test_only_boundaries_and_sentence_marks_are_silent() -> None:
    mask = TABLE.kinds().silent
    assert mask.shape == (len(TABLE),) and not mask[0]
    silent = {TABLE.symbols[index - 1] for index in mask.nonzero().flatten().tolist()}
    assert silent == {"^", "$", *BOUNDARIES}


def test_stressed_and_unstressed_vowels_are_vowels(hibari_table: SymbolTable) -> None:
    kinds = hibari_table.kinds()
    vowels = {hibari_table.symbols[index - 1].lstrip("ˈˌ") for index in kinds.vowel.nonzero().flatten().tolist()}
    others = {symbol for symbol, vowel in zip(hibari_table.symbols, kinds.vowel[1:].tolist(), strict=True) if not vowel}
    assert {"i", "u", "ɪ", "ə", "æ", "ɑ", "ɛ", "A", "O"} <= vowels and not kinds.vowel[0]
    assert {"p", "ʃ", "h", "m", "ŋ", "l", "ɹ", "w", "j", "^", " ", ","} <= others and not vowels & others


def test_commas_follow_the_pauses_of_the_speaker() -> None:
    tokens = TABLE.encode("j, j j j, j.")
    #                        ^  j  ,  j  _  j  _  j  ,  j  .  $
    durations = torch.tensor([3, 4, 2, 5, 9, 4, 8, 6, 5, 3, 0, 2])
    marked = TABLE.mark_pauses(tokens, durations, 0.0116)
    assert TABLE.decode(marked) == ["^", "j", " ", "j", ",", "j", " ", "j", ",", "j", ".", "$"]
    assert TABLE.decode(tokens)[2] == "," and torch.equal(TABLE.mark_pauses(marked, durations, 0.0116), marked)
