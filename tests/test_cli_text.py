"""What the options for texts do to the sound: pauses, pronunciations, pictures."""

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

LAST_RESORT = ("--vocoder", "griffin-lim")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    write_base(folder / "base")
    return folder


@pytest.fixture(scope="module")
def english() -> Base:
    torch.manual_seed(0)
    symbols = SymbolTable.from_alphabet(load_phonemizer("hibari").alphabet())
    base = Base.create(tiny_config(phonemizer="hibari"), symbols, ("ann",))
    with torch.no_grad():
        base.acoustic.mel_mean.fill_(-5.0)
        base.acoustic.duration.output.bias.fill_(1.0)
    base.acoustic.eval().requires_grad_(False)
    return base


def say_in(base: Base, text: str) -> Waveform:
    return speak_text(base, base.acoustic, GriffinLim(iterations=1), text).samples


def test_a_break_is_silence_of_its_length(english: Base) -> None:
    parts = [say_in(english, text) for text in ("Hello", "there.")]
    for text, seconds in {
        '<speak>Hello <break time="1s"/> there.</speak>': 1.0,
        'Hello<break time="250ms"/>there.': 0.25,
        "Hello\n\nthere.": 0.5,
    }.items():
        expected = np.concatenate([parts[0], np.zeros(round(22050 * seconds), np.float32), parts[1]])
        np.testing.assert_allclose(say_in(english, text), expected, atol=1e-5)
        streamed = list(stream_text(english, english.acoustic, GriffinLim(iterations=1), text))
        assert sum(map(len, streamed)) == len(expected)


def test_a_pause_before_and_after_is_silence_too(english: Base) -> None:
    said = say_in(english, '<break time="100ms"/>Hello.<break time="200ms"/>')
    alone = say_in(english, "Hello.")
    assert len(said) == 2205 + len(alone) + 4410
    assert not said[:2205].any() and not said[-4410:].any()


def test_pictures_that_are_left_out_are_told(english: Base) -> None:
    speech = speak_text(english, english.acoustic, GriffinLim(iterations=1, notice="metallic"), "Good 😀 morning.")
    assert speech.notice == "metallic; emoji are not spoken: 😀"
    assert len(speech.samples) == len(say_in(english, "Good morning."))


def test_a_long_sentence_takes_the_memory_of_a_short_one(english: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    made = type(english.acoustic).generate_batch

    def generate_batch(model, sentences, *arguments):
        sizes.append(max(len(sentence) for sentence in sentences))
        return made(model, sentences, *arguments)

    monkeypatch.setattr(type(english.acoustic), "generate_batch", generate_batch)
    say_in(english, "word and " * 500)
    assert max(sizes) <= 402


def test_speak_reads_words_as_the_lexicon_says(run_cli, place: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("abc\thhh ab\n", encoding="utf-8")
    base = ("--base", place / "base", *LAST_RESORT)
    assert (
        run_cli("speak", "base", "ABC de", *base, "--lexicon", tmp_path / "words.txt", "-o", tmp_path / "a.wav").status
        == 0
    )
    assert run_cli("speak", "base", "hhh ab de", *base, "-o", tmp_path / "b.wav").status == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    synthesizer = Synthesizer(base=place / "base", vocoder="griffin-lim")
    one = synthesizer.speak("abc de", lexicon=tmp_path / "words.txt")
    assert np.array_equal(one.samples, synthesizer.speak("hhh ab de").samples)
    assert not np.array_equal(one.samples, synthesizer.speak("abc de").samples)


def test_clone_reads_transcripts_as_the_lexicon_says(place: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("xyz\tabc\n", encoding="utf-8")
    audio = write_recordings(tmp_path, 2)
    texts = [path.with_suffix(".txt").read_text(encoding="utf-8") for path in audio]
    settings = CloneSettings(steps=2, learning_rate=0.1)
    word = texts[0].split()[0].strip(".,")
    (tmp_path / "own.txt").write_text(f"qqq\t{word}\n", encoding="utf-8")
    changed = [texts[0].replace(word, "qqq", 1), texts[1]]
    one = clone(audio, transcripts=texts, base=place / "base", settings=settings)
    two = clone(audio, transcripts=changed, base=place / "base", settings=settings, lexicon=tmp_path / "own.txt")
    assert all(torch.equal(delta, two.deltas[name]) for name, delta in one.deltas.items())


def test_a_fault_in_the_lexicon_is_one_line(run_cli, place: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("abc\n", encoding="utf-8")
    options = ("--base", place / "base", "--lexicon", tmp_path / "words.txt", "-o", tmp_path / "a.wav")
    assert run_cli("speak", "base", "abc", *options).failed(1, "words.txt, line 1: no pronunciation after 'abc'")
    assert run_cli("speak", "base", "abc", "--phonemes", *options).failed(2, "--lexicon does not apply to --phonemes")
    assert not (tmp_path / "a.wav").exists()
