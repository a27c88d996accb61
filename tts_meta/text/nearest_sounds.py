"""`nearest_symbol`: the sound of a base that replaces a sound which the base was not trained on.

An English word in a German sentence has sounds such as "θ" that German lacks. A base without them in its training texts
has no usable embedding of them. The table lists similar sounds by place, manner and voicing (consonants), and by
height, backness and rounding (vowels).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

STRESSES = ("ˈ", "ˌ")
_SIMILAR = {
    # Vowels, front to back and close to open.
    "i": "ɪye", "y": "ʏiu", "ɨ": "ɪiʉ", "ʉ": "uyɨ", "ɯ": "uɨ", "u": "ʊo", "ɪ": "ieɛ", "ʏ": "yɪø", "ʊ": "uo", "ᵻ": "ɪɨə",
    "e": "ɛɪə", "ø": "œe", "ɘ": "əe", "ɵ": "øə", "ɤ": "oʌ", "o": "ɔʊu", "ə": "ɐɜɛea", "ɛ": "eæə", "œ": "øɛ",
    "ɜ": "əɐɛœ", "ɞ": "œə", "ʌ": "aɐɑə", "ɔ": "oɒʌ", "æ": "ɛa", "ɐ": "əaɜʌ", "a": "ɑɐæ", "ɶ": "aœ", "ɑ": "aɒɔ",
    "ɒ": "ɔɑo", "ɚ": "ɜəɐ", "ɝ": "ɜɚə",
    # Plosives, nasals, trills and taps.
    "p": "b", "b": "p", "t": "d", "d": "t", "ʈ": "t", "ɖ": "d", "c": "kt", "ɟ": "ɡd", "k": "ɡ", "ɡ": "kɣ", "q": "k",
    "ɢ": "ɡ", "g": "ɡ", "m": "n", "ɱ": "m", "n": "m", "ɳ": "n", "ɲ": "nj", "ŋ": "n", "ɴ": "ŋn", "ʙ": "b",
    "r": "ɾʁɹl", "ʀ": "ʁr", "ɾ": "rɹdl", "ɽ": "ɾr", "ɺ": "ɾl",
    # Fricatives, approximants and laterals.
    "ɸ": "f", "β": "bv", "f": "v", "v": "fw", "θ": "stf", "ð": "dz", "s": "zθ", "z": "s", "ʃ": "ʂɕs", "ʒ": "ʐʃz",
    "ʂ": "ʃs", "ʐ": "ʒz", "ɕ": "ʃç", "ʑ": "ʒ", "ç": "ʃxh", "ʝ": "jɡ", "x": "χhk", "ɣ": "ɡx", "χ": "xh", "ʁ": "ʀrɾɹ",
    "ħ": "hx", "ʕ": "ʁ", "h": "ɦx", "ɦ": "h", "ɬ": "l", "ɮ": "l", "ʋ": "vw", "ɹ": "ɾrʁl", "ɻ": "ɹɾ", "j": "i",
    "ɰ": "ɣw", "w": "vu", "ɥ": "jwy", "l": "ɫ", "ɫ": "l", "ɭ": "l", "ʎ": "lj", "ʟ": "l",
}  # fmt: skip


def nearest_symbol(symbol: str, known: Collection[str]) -> str:
    """Return the symbol of `known` that sounds most like `symbol`: itself, if it is there; "" if none is similar.

    The same sound with another stress comes first, then similar sounds, preferably with the same stress.
    """
    stress = symbol[0] if symbol[:1] in STRESSES and len(symbol) > 1 else ""
    stresses = dict.fromkeys((stress, "", *STRESSES))
    for sound in _similar_sounds(symbol.removeprefix(stress)):
        for mark in stresses:
            if mark + sound in known:
                return mark + sound
    return ""


def _similar_sounds(sound: str) -> Iterator[str]:
    """Yield a sound, those of its row, those of their rows, and so on."""
    seen = {sound: None}
    queue = [sound]
    for current in queue:
        yield current
        new = [similar for similar in _SIMILAR.get(current, "") if similar not in seen]
        seen |= dict.fromkeys(new)
        queue += new
