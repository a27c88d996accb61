"""Languages of the text front end: the phonemizer of a language, and the language of a phonemizer."""

from __future__ import annotations

from tts_meta.corpus.languages import primary_language
from tts_meta.errors import UsageError, excerpt

ENGLISH = "en"
_ESPEAK = "espeak:"


def language_of_phonemizer(name: str) -> str:
    """Return the language that a phonemizer reads: "fr" for "espeak:fr-fr". Those without a language code read English.

    The code is one of Whisper too, except for languages that Whisper does not know.
    """
    return primary_language(name.removeprefix(_ESPEAK)) or ENGLISH if name.startswith(_ESPEAK) else ENGLISH


def phonemizer_of_language(language: str) -> str:
    """Return the name of the phonemizer of a language: "hibari" for English, "espeak:CODE" for another one.

    language: as `primary_language` takes it; a region such as that of "pt-br" is kept if eSpeak has it. Raises
    UsageError if it is not a language or eSpeak lacks it. Raises TtsMetaError if the extra is not installed.
    """
    primary = primary_language(language)
    if primary is None:
        raise UsageError(f"'{excerpt(language)}' is not a language; write a code such as de, es or fr")
    if primary == ENGLISH:
        return "hibari"
    from tts_meta.text.espeak import espeak_code

    return _ESPEAK + espeak_code(language, primary)
