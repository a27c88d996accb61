from __future__ import annotations

import pytest

from tts_meta.errors import TtsMetaError, UsageError, one_line, printable


@pytest.mark.parametrize("kind", [TtsMetaError, UsageError])
def test_a_message_is_one_printable_line_whatever_it_quotes(kind: type[TtsMetaError]) -> None:
    name = "a\x1b]0;title\x07\n\u202eb\u2028c\x9bd\ud800"
    assert str(kind(f"{name}: no such file")) == "a\\x1b]0;title\\x07 \\u202eb c\\x9bd\\ud800: no such file"


def test_text_of_any_script_stays_as_it_is() -> None:
    text = "Zoë, 日本 σ²\u00a0= “0.5”"
    assert printable(text) == text and one_line(f" {text}\n") == " ".join(text.split())


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    line = str(TtsMetaError("start " + "x" * 100_000 + " end"))
    assert len(line) < 1600 and line.startswith("start xx") and line.endswith("xx end") and " ... " in line
