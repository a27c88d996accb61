"""Errors that a user can act on: one line that says what is wrong and what to do."""

from __future__ import annotations

import math
import numbers
import unicodedata

SEEDS = 2**62
"""Seeds lie between this and its negative: torch's generators take 64 bits, and sentences count on from a seed."""
_LONGEST = 1500


def printable(text: str) -> str:
    """The text with every control and format character as its escape, such as `\\\\x1b`.

    Names of files, headers of voices and texts come from others: a terminal would obey what they hold.
    """
    return "".join(one if _is_shown(one) else one.encode("unicode_escape").decode("ascii") for one in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def one_line(text: str) -> str:
    """The text on one printable line, without its middle where it is longer than a screen."""
    line = printable(" ".join(text.split()))
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]} ... {line[-half:]}"


class TtsMetaError(Exception):
    """The work could not be done. The message is one line; the command line prints it and exits with status 1."""

    exit_status = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class TtsMetaWarning(UserWarning):
    """Something that a user should know and may act on; the message is one line, and the work goes on."""


class UsageError(TtsMetaError):
    """The call itself is wrong (an option, a name, a combination); the command line exits with status 2."""

    exit_status = 2


def check_number(
    name: str, value: object, low: float = -math.inf, high: float = math.inf, unit: str = "", whole: bool = False
) -> None:
    """Raise UsageError where the value of an argument is not a number from `low` to `high`, or not a whole one."""
    kind = numbers.Integral if whole else numbers.Real
    if not isinstance(value, kind) or isinstance(value, bool):
        what = "a whole number" if whole else "a number"
        raise UsageError(f"{name} must be {what}, not {type(value).__name__} {value!r}")
    if not low <= float(value) <= high:
        if math.isfinite(low) and math.isfinite(high):
            raise UsageError(f"{name} must be from {low:g} to {high:g}{unit}, not {value}")
        raise UsageError(f"{name} must be {low:g} or more, not {value}")
