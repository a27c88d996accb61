"""Phonemes of any language that eSpeak NG speaks (extra `multilingual`)."""

from __future__ import annotations

import re

from tts_meta.errors import TtsMetaError

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_IPA = "abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɓɔɕɖɗəɚɛɜɝɟɡɣɤɥɦɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘʙʛʜʝʟβθχᵻ"
_MODIFIERS = "ʰʲʷˠˤ\u0303\u0329\u032a\u0361ːˑ"


class EspeakPhonemizer:
    """International phonetic alphabet by eSpeak NG through `phonemizer-fork`; `language` is its code, such as `fr-fr`.

    Stress marks go with the character after them, length and other modifiers are symbols of their own. Raises
    TtsMetaError where the extra is not installed or the language is unknown.
    """

    def __init__(self, language: str) -> None:
        try:
            import espeakng_loader
            from phonemizer.backend import EspeakBackend
            from phonemizer.backend.espeak.wrapper import EspeakWrapper
        except ImportError as error:
            raise TtsMetaError("eSpeak is not installed; pip install 'tts_meta[multilingual]'") from error
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        if language not in EspeakBackend.supported_languages():
            raise TtsMetaError(f"eSpeak knows no language '{language}'; use a code such as fr-fr, de or es")
        self.name = f"espeak:{language}"
        self._backend = EspeakBackend(language, preserve_punctuation=True, with_stress=True)

    def alphabet(self) -> list[str]:
        """Every symbol with and without stress marks: eSpeak may put one before any sound."""
        return [stress + sound for sound in _IPA for stress in ("", "ˈ", "ˌ")] + list(_MODIFIERS)

    def sentences(self, text: str) -> list[str]:
        """Split at sentence marks and line ends."""
        return [" ".join(part.split()) for part in _SENTENCE_END.split(text) if part.strip()]

    def phonemize(self, text: str) -> str:
        """Phonemes of the whole text, words apart by spaces, punctuation kept."""
        return " ".join(self._backend.phonemize([" ".join(text.split())], strip=True))
