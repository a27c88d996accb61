from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tts_meta.errors import TtsMetaError
from tts_meta.text import BOUNDARIES, HibariPhonemizer, SymbolTable, load_phonemizer, split_symbols

PHONES = ["j", "u", "ˈu", "ˌA", "w", "ɪ", "ˈɪ", "l", "ʤ"]
PAUSES = [*BOUNDARIES, "-", "–", "(", ")", "“", '"']
strings = st.lists(st.sampled_from(PHONES + PAUSES), max_size=30).map("".join)
TABLE = SymbolTable.from_alphabet(PHONES)


@pytest.fixture(scope="module")
def hibari() -> HibariPhonemizer:
    return HibariPhonemizer()


def test_stress_and_vowel_are_one_symbol_and_so_is_each_boundary() -> None:
    assert split_symbols("jˈu, wɪl.") == ["^", "j", "ˈu", ",", "w", "ɪ", "l", ".", "$"]


@given(strings)
def test_a_sentence_is_marked_at_both_ends_and_nowhere_else(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    assert symbols[0] == "^" and symbols[-1] == "$"
    assert not {"^", "$"} & set(symbols[1:-1])


@given(strings)
def test_between_two_phones_stands_at_most_one_boundary(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    assert not any(a in BOUNDARIES and b in BOUNDARIES for a, b in pairwise(symbols))
    assert symbols[1] not in BOUNDARIES, "silence before speech belongs to ^"
    assert symbols[-2] != " ", "silence after speech belongs to $"


@given(strings)
def test_every_phone_is_kept_in_order(phonemes: str) -> None:
    kept = "".join(symbol for symbol in split_symbols(phonemes)[1:-1] if symbol not in BOUNDARIES)
    assert kept == "".join(character for character in phonemes if character not in PAUSES)


@given(strings)
def test_the_symbols_of_a_sentence_split_into_themselves(phonemes: str) -> None:
    symbols = split_symbols(phonemes)
    assert split_symbols("".join(symbols[1:-1])) == symbols


@given(st.lists(st.sampled_from(BOUNDARIES), min_size=1, max_size=5))
def test_the_strongest_boundary_between_two_words_is_kept(pauses: list[str]) -> None:
    assert split_symbols(f"j{''.join(pauses)}w") == ["^", "j", min(pauses, key=BOUNDARIES.index), "w", "$"]


@given(strings)
def test_numbers_decode_to_the_symbols_they_came_from(phonemes: str) -> None:
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
    ("phonemes", "character"), [("jˈu ж", "ж"), ("jˈwɪ", "ˈw"), ("j1", "1"), ("j^l", "^"), ("$j", "$")]
)
def test_an_unknown_symbol_is_named_with_its_sentence(phonemes: str, character: str) -> None:
    with pytest.raises(TtsMetaError) as error:
        TABLE.encode(phonemes, "You and I.")
    assert str(error.value).startswith(
        f"unknown symbol '{character}' in \"You and I.\"; the symbols of the model are: "
    )
    with pytest.raises(TtsMetaError) as error:
        TABLE.encode(phonemes)
    assert f'in "{phonemes}"' in str(error.value)


@pytest.mark.parametrize("phonemes", ["", "   ", ".", "?! …", "—", "()"])
def test_a_text_of_nothing_but_punctuation_is_refused_by_name(phonemes: str) -> None:
    with pytest.raises(TtsMetaError, match=r'^nothing to speak in "the text"'):
        TABLE.encode(phonemes, "the text")


def test_a_symbol_table_holds_no_symbol_twice() -> None:
    with pytest.raises(TtsMetaError, match="twice"):
        SymbolTable(["a", "b", "a"])


def test_pauses_and_sentence_marks_are_silent_and_nothing_else_is() -> None:
    mask = TABLE.kinds().silent
    assert mask.shape == (len(TABLE),) and not mask[0]
    silent = {TABLE.symbols[number - 1] for number in mask.nonzero().flatten().tolist()}
    assert silent == {"^", "$", *BOUNDARIES}


def test_vowels_are_vowels_whatever_their_stress(hibari: HibariPhonemizer) -> None:
    table = SymbolTable.from_alphabet(hibari.alphabet())
    kinds = table.kinds()
    vowels = {table.symbols[number - 1].lstrip("ˈˌ") for number in kinds.vowel.nonzero().flatten().tolist()}
    others = {symbol for symbol, vowel in zip(table.symbols, kinds.vowel[1:].tolist(), strict=True) if not vowel}
    assert {"i", "u", "ɪ", "ə", "æ", "ɑ", "ɛ", "A", "O"} <= vowels and not kinds.vowel[0]
    assert {"p", "ʃ", "h", "m", "ŋ", "l", "ɹ", "w", "j", "^", " ", ","} <= others and not vowels & others


def test_a_text_is_punctuated_as_it_was_said() -> None:
    tokens = TABLE.encode("j, j j j, j.")
    #                        ^  j  ,  j  _  j  _  j  ,  j  .  $
    durations = torch.tensor([3, 4, 2, 5, 9, 4, 8, 6, 5, 3, 0, 2])
    said = TABLE.mark_pauses(tokens, durations, 0.0116)
    assert TABLE.decode(said) == ["^", "j", " ", "j", ",", "j", " ", "j", ",", "j", ".", "$"]
    assert TABLE.decode(tokens)[2] == "," and torch.equal(TABLE.mark_pauses(said, durations, 0.0116), said)


def test_an_unknown_phonemizer_lists_those_there_are() -> None:
    with pytest.raises(TtsMetaError, match=r"unknown phonemizer 'espeek'; use one of: .*hibari"):
        load_phonemizer("espeek")
    assert load_phonemizer("hibari").name == "hibari"


def test_numbers_money_dates_and_titles_are_read_as_words(hibari: HibariPhonemizer) -> None:
    pairs = [
        ("I paid $5 for 3 of them.", "I paid five dollars for three of them."),
        ("Dr. Smith came.", "Doctor Smith came."),
        ("The 2nd of May.", "The second of May."),
    ]
    for written, spoken in pairs:
        assert hibari.phonemize(written) == hibari.phonemize(spoken)


def test_heteronyms_are_told_apart(hibari: HibariPhonemizer) -> None:
    assert hibari.phonemize("I read it yesterday.").split()[1] != hibari.phonemize("I will read it.").split()[2]


def test_every_kind_of_text_becomes_symbols_of_the_table(hibari: HibariPhonemizer) -> None:
    table = SymbolTable.from_alphabet(hibari.alphabet())
    texts = [
        "The birch canoe slid on the smooth planks.",
        "Where did you put the keys, and who has them now?",
        "“Well,” said she — (quite softly) — “it's 12:30; on 3/4/1999: 50% of $1,234.56!”",
        "A naïve café-owner in Zürich e-mailed J. R. R. Tolkien's M.P., etc…",
        "Zxqwv brrr hmm, shh! ÆTHER UPPER lower MiXeD 3rd 1st 22nd #1 & @home a_b x=y^2",
        "Her measure of the azure garage: genre, loch, uh-oh, button, bottle, rhythm.",
    ]
    for text in texts:
        symbols = table.decode(table.encode(hibari.phonemize(text), text))
        assert len(symbols) > 10
    assert "," in table.decode(table.encode(hibari.phonemize(texts[1])))
    assert table.decode(table.encode(hibari.phonemize(texts[1])))[-2:] == ["?", "$"]


@pytest.mark.parametrize("word", ["ai", "wp", "zxqwv", "mwvsnbmw", "ghghtsusch", "czcqbche", "jrswj", "tsugheauka"])
def test_stray_stress_marks_of_guessed_words_do_not_stop_a_sentence(hibari: HibariPhonemizer, word: str) -> None:
    table = SymbolTable.from_alphabet(hibari.alphabet())
    phonemes = hibari.phonemize(f"They call it {word} here.")
    assert len(table.encode(phonemes)) > 10 and phonemes.endswith("hˈɪɹ.")


def test_a_word_that_cannot_be_read_is_named_with_its_sentence(hibari: HibariPhonemizer) -> None:
    with pytest.raises(TtsMetaError, match=r"^cannot read '你好' in .Say 你好 to him\..;"):
        hibari.phonemize("It is late. Say 你好 to him.")
    assert hibari.phonemize("It costs 5 € — 😀 yes.").endswith("jˈɛs.")


def test_sentences_keep_every_word(hibari: HibariPhonemizer) -> None:
    sentences = list(hibari.sentences("It is  late. Mr. Jones left!\n\nDid he pay $3.50? Yes."))
    assert [sentence.text for sentence in sentences] == [
        "It is late.",
        "Mister Jones left!",
        "Did he pay three dollars and fifty cents?",
        "Yes.",
    ]
    assert [sentence.pause for sentence in sentences] == [0.25, 0.5, 0.25, 0.0]


def test_the_alphabet_names_each_symbol_once(hibari: HibariPhonemizer) -> None:
    alphabet = hibari.alphabet()
    assert len(set(alphabet)) == len(alphabet)
    assert not set(alphabet) & {"^", "$", *BOUNDARIES}
