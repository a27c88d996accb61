"""The language of a training run: from the recipe or the manifest, and the lines, symbols and sentences it selects."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Letters, tiny_config

from tts_meta.config import parse_config
from tts_meta.corpus import Manifest, Utterance
from tts_meta.corpus.languages import in_language, primary_language
from tts_meta.errors import TtsMetaError, TtsMetaWarning, UsageError
from tts_meta.models.pretrained import Base
from tts_meta.models.warm_start import start_from
from tts_meta.text import SymbolTable
from tts_meta.train.language import ENGLISH_SENTENCES, choose_language, training_symbols
from tts_meta.train.pretrain import PretrainConfig


def lines(*languages: str | None) -> Manifest:
    """A manifest with one utterance in each of these languages."""
    return Manifest(
        tuple(
            Utterance(f"u{number}", "ann", Path("a.wav"), 1.0, f"text {number}", language=language)
            for number, language in enumerate(languages)
        )
    )


def recipe(**changes: object) -> PretrainConfig:
    part = {"steps": 1, "frames_per_batch": 100, "learning_rate": 1e-3}
    data = {"manifest": "m.jsonl", "output": "out", "aligner": part, "acoustic": part, **changes}
    return parse_config(data, PretrainConfig, "recipe")


@pytest.mark.parametrize(
    ("written", "code"),
    [
        *(("de", "de"), ("DE-at", "de"), ("deu", "de"), ("German", "de"), ("all_zh", "zh"), ("zh-CN", "zh")),
        *(("sv_SE", "sv"), ("nb", "no"), ("yue", "yue"), ("auto", None), ("", None), (None, None), ("x", None)),
    ],
)
def test_codes_and_names_of_corpora_have_one_form(written: str | None, code: str | None) -> None:
    assert primary_language(written) == code


@pytest.mark.parametrize(
    ("languages", "changes", "phonemizer"),
    [
        ((None, None), {}, "hibari"),
        (("en", "en-GB"), {}, "hibari"),
        (("de", None), {}, "espeak:de"),
        (("fr-FR",), {}, "espeak:fr-fr"),
        ((None,), {"language": "es"}, "espeak:es"),
        (("de", "fr"), {"language": "fr"}, "espeak:fr-fr"),
        (("de", "en"), {"base": {"phonemizer": "espeak:de"}}, "espeak:de"),
        (("pt",), {"language": "pt-BR"}, "espeak:pt-br"),
    ],
)
@pytest.mark.filterwarnings("ignore:m.jsonl. lines in")
def test_the_recipe_or_the_manifest_chooses_the_phonemizer(
    languages: tuple[str | None, ...], changes: dict[str, object], phonemizer: str
) -> None:
    pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
    config, _ = choose_language(recipe(**changes), lines(*languages))
    assert config.base.phonemizer == phonemizer
    again, _ = choose_language(config, lines(*languages))
    assert again == config, "the resolved configuration stands for itself"


def test_a_manifest_of_two_languages_needs_a_choice_in_one_line() -> None:
    with pytest.raises(
        TtsMetaError, match=r"^m.jsonl has texts in 'de' \(2 lines\), 'fr' \(1 lines\), but a base has one"
    ):
        choose_language(recipe(), lines("de", "fr", "de", None))


def test_with_a_choice_only_the_lines_in_the_language_are_used() -> None:
    pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
    with pytest.warns(TtsMetaWarning, match=r"m.jsonl: lines in 'fr' \(1 lines\) are not used; the base reads 'de'"):
        config, manifest = choose_language(recipe(language="de"), lines("de", "fr", None))
    assert [line.id for line in manifest] == ["u0", "u2"] and config.language == "de"
    assert config.sentences == ["text 0", "text 2"], "sentences of the log are in the language"


def test_english_has_two_sentences_for_the_log_and_given_ones_stay() -> None:
    assert choose_language(recipe(), lines(None))[0].sentences == list(ENGLISH_SENTENCES)
    assert choose_language(recipe(sentences=[]), lines(None))[0].sentences == []


def test_a_manifest_without_a_line_in_the_language_is_one_clear_error() -> None:
    with pytest.raises(
        TtsMetaError, match=r"m.jsonl has texts in 'de' \(2 lines\), but the base reads 'en'; give texts"
    ):
        in_language(lines("de", "deu"), "en", "m.jsonl")


def test_a_phonemizer_of_another_language_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match=r"base\.phonemizer hibari reads 'en', not 'de'; remove"):
        choose_language(recipe(language="de", base={"phonemizer": "hibari"}), lines("de"))


def test_symbols_of_lines_in_phonemes_are_in_the_table_of_espeak_only() -> None:
    line = Utterance("u", "ann", Path("a.wav"), 1.0, "abc", phonemes="ʘb")
    assert "ʘ" not in training_symbols(Letters(), Manifest((line,))).symbols
    pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
    from tts_meta.text import load_phonemizer

    symbols = training_symbols(load_phonemizer("espeak:de"), Manifest((line, *lines("de")))).symbols
    assert "ʘ" in symbols and "t" in symbols


def test_a_base_starts_from_one_of_another_language_with_the_symbols_of_both() -> None:
    german, spanish = (
        Base.create(tiny_config(phonemizer=f"espeak:{code}"), SymbolTable.from_alphabet(alphabet), ("ann",))
        for code, alphabet in (("de", ["a", "ç"]), ("es", ["a", "ʝ"]))
    )
    own = spanish.acoustic.encoder.embedding.weight.clone()
    start_from(spanish, german)
    rows = spanish.acoustic.encoder.embedding.weight
    assert (rows[-2] == german.acoustic.encoder.embedding.weight[-2]).all(), "a sound of both languages"
    assert (rows[-1] == own[-1]).all(), "a sound of Spanish alone"
    assert (spanish.acoustic.decoder.output.weight == german.acoustic.decoder.output.weight).all()


def test_a_manifest_without_a_language_that_seems_not_to_be_english_needs_a_choice() -> None:
    texts = ["der mann ging durch den wald und war nicht müde", "die katze ist auf dem dach und sie schläft"]
    manifest = Manifest(tuple(Utterance(text[:3], "ann", Path("a.wav"), 1.0, text) for text in texts))
    with pytest.raises(TtsMetaError, match=r"^m\.jsonl names no language, and its texts seem to be in 'de'; set `lang"):
        choose_language(recipe(), manifest)
    assert choose_language(recipe(language="en"), manifest)[0].base.phonemizer == "hibari"
