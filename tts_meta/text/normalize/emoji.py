"""Emoji and pictographs, which are not spoken: removal, and the notice that names them."""

from __future__ import annotations

import re
import unicodedata

from tts_meta.text.normalize.special_characters import SIGN_WORDS

_MAX_SHOWN = 10
_SPACES = re.compile(r"\s+")


def remove_emoji(text: str) -> str:
    """Return the text without emoji and repeated spaces; other signs are kept for the phonemizer."""
    if not text.isascii():
        text = "".join([" " if character > "\u2000" and _is_emoji(character) else character for character in text])
    return _SPACES.sub(" ", text).strip()


def omitted_emoji(text: str) -> str | None:
    """Return a notice that names the emoji of a text, which are not spoken; None if there are none."""
    if text.isascii():
        return None
    emoji = [character for character in dict.fromkeys(text) if character > "\u2000" and _is_emoji(character)]
    if not emoji:
        return None
    more = f" and {len(emoji) - _MAX_SHOWN} more" if len(emoji) > _MAX_SHOWN else ""
    return f"emoji are not spoken: {' '.join(emoji[:_MAX_SHOWN])}{more}"


def is_emoji_block(character: str) -> bool:
    """Return whether the code point is in the blocks of emoji, even if this version of Python has no name for it."""
    return 0x1F000 <= ord(character) <= 0x1FAFF


def _is_emoji(character: str) -> bool:
    if is_emoji_block(character):
        return True
    category = unicodedata.category(character)
    return category in ("So", "Co") and character not in SIGN_WORDS and not 0x2500 <= ord(character) <= 0x25FF
