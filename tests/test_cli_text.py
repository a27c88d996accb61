"""Pauses, pronunciations and emoji in texts: their effect on the synthesised audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import write_base, write_recordings
from helpers import tiny_config

from tts_meta.adapt import CloneSettings, clone
from tts_meta.audio.writing import Waveform
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.synth import Synthesizer, speak_text, stream_text
from tts_meta.text import SymbolTable, load_phonemizer

GRIFFIN_LIM = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base with the phonemizer of plain letters."""
    return write_base(tmp_path_factory.mktemp("text") / "base")


@pytest.fixture(scope="module")
def english() -> Base:
    """A tiny base with the phonemizer of English."""
    torch.manual_seed(0)
    symbols = SymbolTable.from_alphabet(load_phonemizer("hibari").alphabet())
    base = Base.create(tiny_config(phonemizer="hibari"), symbols, ("ann",))
    with torch.no_grad():
        base.acoustic.mel_mean.fill_(-5.0)
        base.acoustic.duration.output.bias.fill_(1.0)
    base.acoustic.eval().requires_grad_(False)
    return base


def synthesize(base: Base, text: str) -> Waveform:
    return speak_text(base, base.acoustic, GriffinLim(iterations=1), text).samples


def test_a_break_is_silence_of_its_duration(english: Base) -> None:
    parts = [synthesize(english, text) for text in ("Hello", "there.")]
    for text, seconds in {
        '<speak>Hello <break time="1s"/> there.</speak>': 1.0,
        'Hello<break time="250ms"/>there.': 0.25,
        "Hello\n\nthere.": 0.5,
    }.items():
        expected = np.concatenate([parts[0], np.zeros(round(22050 * seconds), np.float32), parts[1]])
        np.testing.assert_allclose(synthesize(english, text), expected, atol=1e-5)
        streamed = list(stream_text(english, english.acoustic, GriffinLim(iterations=1), text))
        assert sum(map(len, streamed)) == len(expected)


def test_a_break_before_or_after_the_text_is_silence(english: Base) -> None:
    samples = synthesize(english, '<break time="100ms"/>Hello.<break time="200ms"/>')
    without_breaks = synthesize(english, "Hello.")
    assert len(samples) == 2205 + len(without_breaks) + 4410
    assert not samples[:2205].any() and not samples[-4410:].any()


def test_the_notice_of_speech_names_the_emoji(english: Base) -> None:
    speech = speak_text(english, english.acoustic, GriffinLim(iterations=1, notice="metallic"), "Good 😀 morning.")
    assert speech.notice == "metallic; emoji are not spoken: 😀"
    assert len(speech.samples) == len(synthesize(english, "Good morning."))


def test_a_long_sentence_is_synthesised_in_chunks(english: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    generate = type(english.acoustic).generate_batch

    def generate_batch(model, sentences, *arguments):
        sizes.append(max(len(sentence) for sentence in sentences))
        return generate(model, sentences, *arguments)

    monkeypatch.setattr(type(english.acoustic), "generate_batch", generate_batch)
    synthesize(english, "word and " * 500)
    assert max(sizes) <= 402


def test_speak_uses_the_pronunciations_of_the_lexicon(run_cli, base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("abc\thhh ab\n", encoding="utf-8")
    base = ("--base", base_folder, *GRIFFIN_LIM)
    assert (
        run_cli("speak", "base", "ABC de", *base, "--lexicon", tmp_path / "words.txt", "-o", tmp_path / "a.wav").status
        == 0
    )
    assert run_cli("speak", "base", "hhh ab de", *base, "-o", tmp_path / "b.wav").status == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    synthesizer = Synthesizer(base=base_folder, vocoder="griffin-lim")
    speech = synthesizer.speak("abc de", lexicon=tmp_path / "words.txt")
    assert np.array_equal(speech.samples, synthesizer.speak("hhh ab de").samples)
    assert not np.array_equal(speech.samples, synthesizer.speak("abc de").samples)


def test_clone_uses_the_pronunciations_of_the_lexicon(base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("xyz\tabc\n", encoding="utf-8")
    audio = write_recordings(tmp_path, 2)
    texts = [path.with_suffix(".txt").read_text(encoding="utf-8") for path in audio]
    settings = CloneSettings(steps=2, learning_rate=0.1)
    word = texts[0].split()[0].strip(".,")
    (tmp_path / "word.txt").write_text(f"qqq\t{word}\n", encoding="utf-8")
    changed = [texts[0].replace(word, "qqq", 1), texts[1]]
    expected = clone(audio, transcripts=texts, base=base_folder, settings=settings)
    voice = clone(audio, transcripts=changed, base=base_folder, settings=settings, lexicon=tmp_path / "word.txt")
    assert all(torch.equal(delta, voice.deltas[name]) for name, delta in expected.deltas.items())


def test_an_error_in_the_lexicon_is_one_line(run_cli, base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("abc\n", encoding="utf-8")
    options = ("--base", base_folder, "--lexicon", tmp_path / "words.txt", "-o", tmp_path / "a.wav")
    assert run_cli("speak", "base", "abc", *options).failed(1, "words.txt, line 1: no pronunciation after 'abc'")
    assert run_cli("speak", "base", "abc", "--phonemes", *options).failed(2, "--lexicon does not apply to --phonemes")
    assert not (tmp_path / "a.wav").exists()
