"""`EspeakPhonemizer`: phonemes of every language of eSpeak NG (extra `multilingual`)."""

from __future__ import annotations

from collections.abc import Iterator

from tts_meta.errors import TtsMetaError
from tts_meta.text.lexicon import Lexicon
from tts_meta.text.normalize import Sentence, sentences_of

_IPA = "abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɓɔɕɖɗəɚɛɜɝɟɡɣɤɥɦɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘʙʛʜʝʟβθχᵻ"
_MODIFIERS = "ʰʲʷˠˤ\u0303\u0329\u032a\u0361ːˑ"


class EspeakPhonemizer:
    """Phonemes in the International Phonetic Alphabet by eSpeak NG, through `phonemizer-fork`.

    language: a code of eSpeak, such as `fr-fr`. A stress mark and the character after it are one symbol; length marks
    and other modifiers are separate symbols. Raises TtsMetaError if the extra is not installed or the language is
    unknown.
    """

    def __init__(self, language: str) -> None:
        try:
            import espeakng_loader
            from phonemizer.backend import EspeakBackend
            from phonemizer.backend.espeak.wrapper import EspeakWrapper
        except ImportError as error:
            raise TtsMetaError("eSpeak is not installed; install it with: pip install '.[multilingual]'") from error
        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        if language not in EspeakBackend.supported_languages():
            raise TtsMetaError(f"eSpeak has no language '{language}'; use a code such as fr-fr, de or es")
        self.name = f"espeak:{language}"
        self.language = language
        self._backend = EspeakBackend(
            language, preserve_punctuation=True, with_stress=True, language_switch="remove-flags"
        )

    def alphabet(self) -> list[str]:
        """Return every symbol with and without a stress mark, because eSpeak may put one before any phone."""
        return [stress + sound for sound in _IPA for stress in ("", "ˈ", "ˌ")] + list(_MODIFIERS)

    def sentences(self, text: str, lexicon: Lexicon | None = None) -> Iterator[Sentence]:
        return sentences_of(text, self.language, None if lexicon is None else lexicon.respell)

    def phonemize(self, text: str, lexicon: Lexicon | None = None) -> str:
        return " ".join(self.phonemize_sentence(sentence.text, lexicon) for sentence in self.sentences(text, lexicon))

    def phonemize_sentence(self, sentence: str, lexicon: Lexicon | None = None) -> str:
        pronunciations: list[str] = []

        def mark(word: str, phonemes: str) -> str:
            pronunciations.append(phonemes)
            return "\x00"

        parts = (sentence if lexicon is None else lexicon.pronounce(sentence, mark)).split("\x00")
        first, *others = [self._phonemes(part) for part in parts]
        return first + "".join(given + part for given, part in zip(pronunciations, others, strict=True))

    def _phonemes(self, text: str) -> str:
        """Return the phonemes of a text; a space before or after the text is kept."""
        if not text.strip():
            return text
        phonemes = self._backend.phonemize([" ".join(text.split())], strip=True)[0]
        return f"{' ' if text[0] == ' ' else ''}{phonemes}{' ' if text[-1] == ' ' else ''}"
