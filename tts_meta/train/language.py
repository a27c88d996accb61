"""The language of a training run: its phonemizer, its part of the manifest, its symbols, and its sample sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.languages import primary_language
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.text import BOUNDARIES, Phonemizer, SymbolTable, split_symbols
from tts_meta.text.languages import ENGLISH, language_of_phonemizer, phonemizer_of_language

if TYPE_CHECKING:
    from tts_meta.train.pretrain import PretrainConfig

MAX_SCANNED = 20_000
"""The symbols of a base are counted in about this many texts of its corpus, evenly spread."""
ENGLISH_SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Where did you put the keys, and who has them now?",
)


def choose_language(
    config: PretrainConfig, manifest: Manifest, report: Callable[[str], None]
) -> tuple[PretrainConfig, Manifest]:
    """Return the configuration with language, phonemizer and sample sentences, and the lines in the language.

    The language is `config.language`, otherwise that of an explicit `base.phonemizer`, otherwise the only one of the
    manifest, otherwise English. Raises TtsMetaError for a manifest of several languages without `language`, and for
    a manifest without a line in the language. Raises UsageError if the phonemizer reads another language.
    """
    counts = Counter(primary_language(utterance.language) for utterance in manifest)
    unnamed = counts.pop(None, 0)
    found = ", ".join(f"{name} ({count} lines)" for name, count in counts.most_common())
    phonemizer = config.base.phonemizer if "phonemizer" in config.base.model_fields_set else None
    if config.language is not None:
        language = primary_language(config.language)
    elif phonemizer is not None:
        language = language_of_phonemizer(phonemizer)
    elif len(counts) > 1:
        raise TtsMetaError(
            f"{config.manifest} has texts in {found}, and a base has one language; "
            f"set one with `language: {counts.most_common(1)[0][0]}`"
        )
    else:
        language = next(iter(counts), None) or ENGLISH
    phonemizer_name = phonemizer or phonemizer_of_language(config.language or language or ENGLISH)
    if language_of_phonemizer(phonemizer_name) != language:
        raise UsageError(
            f"base.phonemizer {phonemizer_name} does not read '{config.language}'; remove `phonemizer` or `language`"
        )
    if counts and not unnamed and language not in counts:
        raise TtsMetaError(
            f"{config.manifest} has texts in {found}, but none in '{language}', which {phonemizer_name} reads; "
            f"set `language: {counts.most_common(1)[0][0]}` and no `phonemizer`"
        )
    lines = [line for line in manifest if primary_language(line.language) in (None, language)]
    if len(lines) < len(manifest):
        report(f"{len(manifest) - len(lines)} utterances in other languages than '{language}' are not used")
        manifest = Manifest(tuple(lines))
    base = config.base.model_copy(update={"phonemizer": phonemizer_name})
    sentences = sample_sentences(config.sentences, language, manifest)
    return config.model_copy(update={"language": language, "base": base, "sentences": sentences}), manifest


def sample_sentences(given: Sequence[str] | None, language: str, utterances: Manifest | Sequence[Utterance]) -> list[str]:
    """Return the sentences that a run synthesises for its log: the given ones, or two in the language."""
    if given is not None:
        return list(given)
    if language == ENGLISH:
        return list(ENGLISH_SENTENCES)
    return [utterance.text for utterance in list(utterances)[:2]]


def training_symbols(phonemizer: Phonemizer, manifest: Manifest) -> SymbolTable:
    """Return the symbol table of a base that is trained on a manifest: see `Phonemizer.alphabet`.

    Symbols of lines that are written in phonemes are added. At most about `MAX_SCANNED` texts are read.
    """
    scanned = manifest.utterances[:: max(1, len(manifest) // MAX_SCANNED)]
    alphabet = phonemizer.alphabet(utterance.text for utterance in scanned if utterance.phonemes is None)
    written = {
        symbol for utterance in scanned for symbol in split_symbols(utterance.phonemes or "")[1:-1]
    } - {*BOUNDARIES, *alphabet}
    if phonemizer.name.startswith("espeak:"):
        alphabet = [*alphabet, *sorted(written)]
    return SymbolTable.from_alphabet(alphabet)
