"""`Lexicon`: pronunciation files, their use, and the errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_meta.errors import TtsMetaError
from tts_meta.text import HibariPhonemizer, Lexicon, SymbolTable

LEXICON = """# names
Nguyen\twˈɪn
tsk   /tˈɪsk/
Siobhan shivawn
New York\tnuw yawk
US\tjˌuˈɛs
C++\tsee plus plus   # a sign
"""


def test_the_pronunciations_of_a_lexicon_are_used(
    hibari: HibariPhonemizer, hibari_table: SymbolTable, tmp_path: Path
) -> None:
    path = tmp_path / "words.txt"
    path.write_text(LEXICON, encoding="utf-8")
    lexicon = Lexicon.load(path, hibari_table)
    assert hibari.phonemize("Mr. Nguyen left.", lexicon) == "mˈɪstəɹ wˈɪn lˈɛft."
    assert hibari.phonemize("NGUYEN's", lexicon) == "wˈɪnz"
    assert hibari.phonemize("nguyens", lexicon) == hibari.phonemize("nguyens")
    assert hibari.phonemize("Siobhan in New York", lexicon) == hibari.phonemize("shivawn in nuw yawk")
    assert hibari.phonemize("Give us C++.", lexicon) == hibari.phonemize("Give us see plus plus.")
    assert hibari.phonemize("in the US", lexicon).endswith("jˌuˈɛs")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Nguyen", "line 2: no pronunciation after 'Nguyen'"),
        ("Nguyen wˈɪnж", "line 2: unknown symbol 'ж' in 'wˈɪnж'"),
        ("one wˈʌn", "line 2: 'one' already has an entry"),
        ("3M θɹˈi", "line 2: '3M' holds a digit or sign"),
        ("++ plus", r"line 2: '\+\+' is not a word"),
        ("x //", "line 2: "),
    ],
)
def test_the_error_names_the_invalid_line_of_a_lexicon(
    hibari_table: SymbolTable, tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "words.txt"
    path.write_text(f"one wˈʌn\n{line}\n", encoding="utf-8")
    with pytest.raises(TtsMetaError, match=message) as error:
        Lexicon.load(path, hibari_table)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_lexicon_that_is_missing_or_not_text_is_refused(hibari_table: SymbolTable, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="cannot be read"):
        Lexicon.load(tmp_path / "none.txt", hibari_table)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(TtsMetaError, match="not UTF-8"):
        Lexicon.load(tmp_path / "bytes", hibari_table)
