"""Languages of texts: codes and names as corpora write them, and the lines of a manifest in one language."""

from __future__ import annotations

import re
import warnings
from collections import Counter

from tts_meta.corpus.manifest import Manifest
from tts_meta.errors import TtsMetaError, TtsMetaWarning

_NAMES = {
    "ar": "ara arabic", "bg": "bul bulgarian", "ca": "cat catalan", "cs": "ces cze czech", "cy": "cym welsh",
    "da": "dan danish", "de": "deu ger german", "el": "ell gre greek", "en": "eng english", "eo": "epo esperanto",
    "es": "spa spanish", "et": "est estonian", "eu": "eus baq basque", "fa": "fas per persian", "fi": "fin finnish",
    "fr": "fra fre french", "ga": "gle irish", "he": "heb hebrew iw", "hi": "hin hindi", "hu": "hun hungarian",
    "id": "ind indonesian in", "it": "ita italian", "ja": "jpn japanese", "ka": "kat geo georgian", "ko": "kor korean",
    "lt": "lit lithuanian", "lv": "lav latvian", "nl": "nld dut dutch", "no": "nor nb nob nn nno norwegian",
    "pl": "pol polish", "pt": "por portuguese", "ro": "ron rum romanian", "ru": "rus russian", "sk": "slk slo slovak",
    "sl": "slv slovenian", "sv": "swe swedish", "sw": "swa swahili", "tl": "tgl fil tagalog", "tr": "tur turkish",
    "uk": "ukr ukrainian", "vi": "vie vietnamese", "zh": "zho chi cmn chinese mandarin",
}  # fmt: skip
"""Other names of a language: ISO 639-2 and 639-3 codes, old codes, and the English name."""
_CODES = {name: code for code, names in _NAMES.items() for name in (code, *names.split())}
_CODE = re.compile(r"[a-z]{2,3}")
_UNKNOWN = frozenset(("auto", "und", "mul", "unknown", "none"))


def primary_language(code: str | None) -> str | None:
    """Return the language of a code or an English name, without its region; None if it names no language.

    "de-DE", "deu" and "German" give "de"; "all_zh" gives "zh". A code that is not in the table keeps its first part.
    """
    parts = re.split(r"[-_.\s]", (code or "").strip().lower())
    first = parts[1] if parts[0] == "all" and len(parts) > 1 else parts[0]
    if first in _UNKNOWN:
        return None
    return _CODES.get(first) or (first if _CODE.fullmatch(first) else None)


def in_language(manifest: Manifest, language: str, source: object) -> Manifest:
    """Return the lines whose text is in a language, and those without a language; `source` names them in messages.

    language: that of a base. Warns with the number of other lines. Raises TtsMetaError in one line if no line is left.
    """
    lines = [line for line in manifest if primary_language(line.language) in (None, language)]
    if len(lines) == len(manifest):
        return manifest
    counts = Counter(name for line in manifest if (name := primary_language(line.language)) not in (None, language))
    found = ", ".join(f"'{name}' ({count} lines)" for name, count in counts.most_common())
    if not lines:
        raise TtsMetaError(
            f"{source} has texts in {found}, but the base reads '{language}'; "
            f"give texts in '{language}', or a base for '{counts.most_common(1)[0][0]}'"
        )
    warnings.warn(TtsMetaWarning(f"{source}: lines in {found} are not used; the base reads '{language}'"), stacklevel=2)
    return Manifest(tuple(lines))
