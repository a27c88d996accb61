"""Errors that a user can act on: one line that names the cause and the remedy."""

from __future__ import annotations

import math
import numbers
import unicodedata

SEEDS = 2**62
"""Seeds are from -SEEDS to SEEDS: torch's generators take 64 bits, and each sentence adds its number to the seed."""
_MAX_MESSAGE = 1500
"""Largest number of characters of a message; the middle of a longer message is removed."""
_MAX_EXCERPT = 200
"""Largest number of characters that a message quotes of a name or of another library's message."""


def printable(text: str) -> str:
    """Return the text with every control and format character replaced by its escape, such as `\\\\x1b`.

    File names, headers of voices and texts are not trusted. A terminal would execute control characters in them.
    """
    return "".join(
        character if _is_shown(character) else character.encode("unicode_escape").decode("ascii") for character in text
    )


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def one_line(text: str) -> str:
    """Return the text on one printable line, without the middle of a text of more than 1,500 characters."""
    line = _on_one_line(text)
    half = _MAX_MESSAGE // 2
    return line if len(line) <= _MAX_MESSAGE else f"{line[:half]} ... {line[-half:]}"


def excerpt(text: str, max_length: int = _MAX_EXCERPT) -> str:
    """Return the text on one printable line of at most `max_length` characters, to quote it in a message."""
    line = _on_one_line(text)
    return line if len(line) <= max_length else line[: max_length - 1] + "…"


def _on_one_line(text: str) -> str:
    return printable(" ".join(text.split()))


class TtsMetaError(Exception):
    """An operation failed. The message is one line; the command line prints it and exits with status 1."""

    exit_status = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class TtsMetaWarning(UserWarning):
    """A user should know about a problem and may act on it; the operation continues. The message is one line."""


class UsageError(TtsMetaError):
    """The call is wrong (an option, a name or a combination); the command line exits with status 2."""

    exit_status = 2


def check_number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, unit: str = "", integer: bool = False
) -> None:
    """Raise UsageError if the argument `name` is not a number (or not an integer) from `low` to `high`."""
    number_type = numbers.Integral if integer else numbers.Real
    if not isinstance(value, number_type) or isinstance(value, bool):
        expected = "a whole number" if integer else "a number"
        raise UsageError(f"{name} must be {expected}, not {type(value).__name__} {value!r}")
    if not low <= float(value) <= high:
        if math.isfinite(low) and math.isfinite(high):
            raise UsageError(f"{name} must be from {low:g} to {high:g}{unit}, not {value}")
        raise UsageError(f"{name} must be {low:g} or more, not {value}")
