"""The language of a training run: its phonemizer, its part of the manifest, its symbols, and its sample sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.languages import in_language, primary_language
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.text import BOUNDARIES, Phonemizer, SymbolTable, split_symbols
from tts_meta.text.language_guess import guess_language
from tts_meta.text.languages import ENGLISH, language_of_phonemizer, phonemizer_of_language

if TYPE_CHECKING:
    from tts_meta.train.pretrain import PretrainConfig

MAX_SCANNED = 20_000
"""The symbols of a base are counted in about this many texts of its corpus, evenly spread."""
_MAX_GUESSED = 200
"""The language of a manifest that names none is guessed from about this many texts."""
ENGLISH_SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Where did you put the keys, and who has them now?",
)


def choose_language(config: PretrainConfig, manifest: Manifest) -> tuple[PretrainConfig, Manifest]:
    """Return the configuration with language, phonemizer and sample sentences, and the lines in the language.

    The language is `config.language`, otherwise that of an explicit `base.phonemizer`, otherwise the only one of the
    manifest, otherwise English. Raises TtsMetaError for a manifest of several languages without such a setting, and as
    `in_language`. Raises UsageError if the phonemizer reads another language.
    """
    phonemizer = config.base.phonemizer if "phonemizer" in config.base.model_fields_set else None
    if config.language is not None:
        phonemizer = phonemizer or phonemizer_of_language(config.language)
        if (reads := language_of_phonemizer(phonemizer)) != primary_language(config.language):
            raise UsageError(
                f"base.phonemizer {phonemizer} reads '{reads}', not '{config.language}'; "
                "remove `phonemizer` or `language` from the recipe"
            )
    elif phonemizer is None:
        phonemizer = phonemizer_of_language(_only_language(manifest, config.manifest))
    language = language_of_phonemizer(phonemizer)
    manifest = in_language(manifest, language, config.manifest)
    update = {
        "language": language,
        "base": config.base.model_copy(update={"phonemizer": phonemizer}),
        "sentences": sample_sentences(config.sentences, language, manifest.utterances),
    }
    return config.model_copy(update=update), manifest


def _only_language(manifest: Manifest, source: Path) -> str:
    """Return the language of all lines that have one, or English.

    Raises TtsMetaError if there are several, or if there is none and the texts seem not to be English.
    """
    counts = Counter(primary_language(line.language) for line in manifest)
    del counts[None]
    if len(counts) > 1:
        found = ", ".join(f"'{name}' ({count} lines)" for name, count in counts.most_common())
        raise TtsMetaError(
            f"{source} has texts in {found}, but a base has one language; "
            f"choose one, such as `language: {counts.most_common(1)[0][0]}`"
        )
    if counts:
        return str(next(iter(counts)))
    texts = [line.text for line in manifest.utterances[:: max(1, len(manifest) // _MAX_GUESSED)]]
    if guess := guess_language(texts, ENGLISH):
        raise TtsMetaError(
            f"{source} names no language, and its texts seem to be in '{guess}'; set `language: {guess}`, "
            f"or `language: {ENGLISH}` if they are English"
        )
    return ENGLISH


def sample_sentences(given: Sequence[str] | None, language: str, utterances: Sequence[Utterance]) -> list[str]:
    """Return the sentences that a run synthesises for its log: the given ones, or two in the language."""
    if given is not None:
        return list(given)
    if language == ENGLISH:
        return list(ENGLISH_SENTENCES)
    return [utterance.text for utterance in utterances[:2]]


def training_symbols(phonemizer: Phonemizer, manifest: Manifest) -> SymbolTable:
    """Return the symbol table of a base that is trained on a manifest: see `Phonemizer.alphabet`.

    Symbols of lines that are written in phonemes are added. At most about `MAX_SCANNED` texts are read.
    """
    scanned = manifest.utterances[:: max(1, len(manifest) // MAX_SCANNED)]
    alphabet = phonemizer.alphabet(utterance.text for utterance in scanned if utterance.phonemes is None)
    written = {symbol for utterance in scanned for symbol in split_symbols(utterance.phonemes or "")[1:-1]} - {
        *BOUNDARIES,
        *alphabet,
    }
    if phonemizer.name.startswith("espeak:"):
        alphabet = [*alphabet, *sorted(written)]
    return SymbolTable.from_alphabet(alphabet)
