"""A German corpus from its published layout to a voice that speaks German: `prepare`, `pretrain`, `clone`, `speak`.

The recordings are synthesised by eSpeak. The base is tiny and untrained, so the tests check texts, files and messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from commands import Result

from tts_meta.corpus import Manifest
from tts_meta.models.pretrained import Base, load_base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.synth import Synthesizer
from tts_meta.text import utterances

pytest.importorskip("phonemizer", reason="the extra `multilingual` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `multilingual` is not installed")

from german_speech import german_recipe, write_mls_german

RunCli = Callable[..., Result]
ENGLISH_ONLY = "θðɹ"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus, its manifest, a trained base `pretrain/base` and a voice `new.voice.safetensors`."""
    folder = tmp_path_factory.mktemp("german")
    corpus = write_mls_german(folder)
    _run("prepare", "mls", corpus, folder)
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(german_recipe(folder)), encoding="utf-8")
    _run("pretrain", folder / "pretrain.yaml")
    _run(*_clone(folder), "-o", folder / "new.voice.safetensors")
    return folder


def _clone(folder: Path) -> list[object]:
    """The command that clones the speaker of the split `test`, on which the base was not trained."""
    manifest = Manifest.load(folder / "manifest.jsonl").of_split("test")
    audio = [utterance.audio for utterance in manifest][:3]
    for utterance in manifest.utterances[:3]:
        utterance.audio.with_suffix(".txt").write_text(utterance.text, encoding="utf-8")
    return ["clone", *audio, "--base", folder / "pretrain" / "base", "--steps", "2"]


def _run(*arguments: object) -> None:
    from tts_meta.cli import main

    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def base(place: Path) -> Base:
    return load_base(place / "pretrain" / "base")


def test_the_language_of_the_manifest_chooses_the_phonemizer_which_is_saved_with_the_base(base: Base) -> None:
    assert base.folder is not None and base.language == "de"
    assert json.loads((base.folder / "config.json").read_text(encoding="utf-8"))["phonemizer"] == "espeak:de"
    assert base.state["phonemizer"].keys() == {"phonemizer-fork", "espeakng-loader"}


def test_inspect_names_the_language_of_the_base(base: Base, run_cli: RunCli) -> None:
    assert run_cli("inspect", base.folder, "--json").json["language"] == "de"


def test_the_symbols_of_the_base_are_those_of_its_texts(base: Base) -> None:
    symbols = set(base.symbols.symbols)
    assert {"ç", "ʃ", "ˈyː"[:2], "ø"} & symbols and len(symbols) < 90
    assert not set(ENGLISH_ONLY) & symbols, "no text of the corpus has these sounds"


def test_an_english_word_is_spoken_with_the_sounds_of_the_german_base(base: Base) -> None:
    phonemes = base.phonemizer.phonemize("Der Thriller war ein Highlight am Wochenende.")
    base.symbols.encode(phonemes)  # raises if a symbol is unknown
    assert not set(phonemes) & set(ENGLISH_ONLY + "()") and len(phonemes) > 30


def test_a_voice_speaks_german_sentences(place: Path, run_cli: RunCli, base: Base, tmp_path: Path) -> None:
    text = "Am 3. Oktober 2024 kamen z. B. 1.500 Gäste. Das war schön!"
    assert [sentence.text for sentence in base.phonemizer.sentences(text)] == [
        "Am dritten Oktober 2024 kamen zum Beispiel 1.500 Gäste.",
        "Das war schön!",
    ]
    arguments = [place / "new.voice.safetensors", text, "--base", base.folder, "--vocoder", "griffin-lim"]
    result = run_cli("speak", *arguments, "-o", tmp_path / "out.wav")
    assert result.status == 0, result.err
    assert (tmp_path / "out.wav").stat().st_size > 20_000


def test_a_german_text_streams_sentence_by_sentence(place: Path, base: Base) -> None:
    text = "Guten Morgen. Wie geht es dir?"
    synthesizer = Synthesizer(place / "new.voice.safetensors", base=base, vocoder=GriffinLim())
    speech = synthesizer.speak(text)
    parts = list(synthesizer.stream(text))
    assert len(parts) > 1 and abs(sum(map(len, parts)) - len(speech.samples)) < 0.1 * speech.rate
    assert len(list(utterances(base.phonemizer, text))) == 2


def test_a_voice_needs_the_base_of_its_language(
    place: Path, run_cli: RunCli, base_folder: Path, tmp_path: Path
) -> None:
    voice = place / "new.voice.safetensors"
    result = run_cli("speak", voice, "abc", "--base", base_folder, "-o", tmp_path / "out.wav")
    assert result.failed(1, str(voice), "was cloned with base", "use the base that it was cloned with")


def test_a_text_in_another_script_is_one_clear_line(place: Path, run_cli: RunCli, tmp_path: Path) -> None:
    base = place / "pretrain" / "base"
    arguments = ["speak", place / "new.voice.safetensors", "--base", base, "-o", tmp_path / "x.wav"]
    assert run_cli(*arguments, "Добрый день.").failed(1, "reads 'de'", "Latin", "Cyrillic")
    assert run_cli(*arguments, '<speak xml:lang="fr">Bonjour.</speak>').failed(1, "reads 'de'", "a base for 'fr'")


def test_transcripts_in_another_language_are_one_clear_line(place: Path, run_cli: RunCli, tmp_path: Path) -> None:
    audio = Manifest.load(place / "manifest.jsonl").utterances[0].audio
    listed = tmp_path / "list.txt"
    listed.write_text(f"{audio}|ann|fr|bonjour tout le monde\n", encoding="utf-8")
    command = ["clone", audio, "--transcripts", listed, "--base", place / "pretrain" / "base", "--steps", "1"]
    result = run_cli(*command, "-o", tmp_path / "x.voice.safetensors")
    assert result.failed(1, str(audio), "in 'fr'", "reads 'de'")


def test_evaluate_tells_whisper_the_language(place: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    languages = []

    class Heard:
        def __init__(self, model: object, device: str, language: str) -> None:
            languages.append(language)

        def __call__(self, waveform: object, rate: int) -> str:
            return "die züge fahren"

    monkeypatch.setattr("tts_meta.evaluate.wer.Transcriber", Heard)
    monkeypatch.setattr("tts_meta.evaluate.wer.whisper_identity", lambda model: "heard")
    arguments = [place / "manifest.jsonl", "--speaker", "101", "--sentences", "1", "--metric", "wer"]
    result = run_cli("evaluate", "base", *arguments, "--base", place / "pretrain" / "base", "--vocoder", "griffin-lim")
    assert result.status == 0, result.err
    assert languages == ["de"]


def test_an_english_base_refuses_a_german_manifest(place: Path, run_cli: RunCli, base_folder: Path) -> None:
    result = run_cli("evaluate", "base", place / "manifest.jsonl", "--speaker", "101", "--base", base_folder)
    assert result.failed(1, str(place / "manifest.jsonl"), "texts in 'de' (", "the base reads 'en'")
