"""Speaking: sentences and pauses, options, streams, phonemes, and refusals."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import tiny_source_filter

from tts_meta.adapt import Voice
from tts_meta.errors import TtsMetaError, UsageError
from tts_meta.models.pretrained import Base
from tts_meta.models.synthesis_options import SynthesisOptions
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.synth import Speech, speak, speak_text, stream_text
from tts_meta.text.normalize import SENTENCE_PAUSE

TEXT = "Abc de fgh. Head bed,\n cab? Gab!"
LONG = "Abc de fgh head bed cab gab abc de fgh head bed cab gab abc de fgh. Gab!"
SENTENCES = ["Abc de fgh.", "Head bed, cab?", "Gab!"]


@pytest.fixture(scope="module")
def vocoder() -> GriffinLim:
    return GriffinLim(iterations=1, notice="metallic")


def say(base: Base, vocoder: GriffinLim, text: str, **options: float) -> Speech:
    return speak_text(base, base.acoustic, vocoder, text, options=SynthesisOptions(**options))  # pyright: ignore[reportArgumentType]


def test_a_long_text_is_split_at_sentences_with_a_pause_between(base: Base, vocoder: GriffinLim) -> None:
    speech = say(base, vocoder, TEXT)
    parts = [say(base, vocoder, sentence) for sentence in SENTENCES]
    assert [len(mel) for mel in speech.mels] == [len(part.mels[0]) for part in parts]
    pause = np.zeros(round(SENTENCE_PAUSE * speech.rate), np.float32)
    pieces = [parts[0].samples, pause, parts[1].samples, pause, parts[2].samples]
    np.testing.assert_allclose(speech.samples, np.concatenate(pieces), atol=1e-5)
    assert speech.seconds == pytest.approx(len(speech.samples) / 22050) and speech.rate == 22050


def test_many_sentences_keep_their_order(base: Base, vocoder: GriffinLim) -> None:
    texts = [" ".join(["Abc de fgh"] * (1 + number % 4)) + "." for number in range(11)]
    for prenet_dropout in (0.0, 0.5):
        mels = say(base, vocoder, " ".join(texts), prenet_dropout=prenet_dropout, seed=5).mels
        for number in (0, 3, 10):
            (single,) = say(base, vocoder, texts[number], prenet_dropout=prenet_dropout, seed=5 + number).mels
            torch.testing.assert_close(mels[number], single, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_samples(base: Base, vocoder: GriffinLim) -> None:
    one, two, other = (say(base, vocoder, TEXT, prenet_dropout=0.5, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)


def test_samples_match_the_frames_and_stay_within_full_scale(base: Base, vocoder: GriffinLim) -> None:
    speech = say(base, vocoder, SENTENCES[0])
    assert speech.samples.dtype == np.float32 and np.abs(speech.samples).max() <= 1
    assert len(speech.samples) == vocoder.hop * len(speech.mels[0])
    assert speech.mels[0].shape[1] == 80 and speech.notice == "metallic"


@pytest.mark.parametrize("light", [False, True])
def test_a_stream_gives_the_samples_of_the_full_text(base: Base, vocoder: GriffinLim, light: bool) -> None:
    used = SourceFilterVocoder(tiny_source_filter()) if light else vocoder
    expected = speak_text(base, base.acoustic, used, LONG).samples
    parts = [*stream_text(base, base.acoustic, used, LONG)]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4)
    assert len(parts) > 3 if light else len(parts) == 3


def test_the_shortest_sentence_is_spoken(base: Base, vocoder: GriffinLim) -> None:
    assert len(say(base, vocoder, "a", speed=4.0).samples) >= vocoder.hop
    for frames in range(1, 5):
        samples = vocoder(torch.full((1, frames, 80), -4.0))
        assert samples.shape == (1, frames * vocoder.hop) and torch.isfinite(samples).all()


def test_a_speed_of_2_halves_the_frames(base: Base, vocoder: GriffinLim) -> None:
    normal, fast = (sum(len(m) for m in say(base, vocoder, TEXT, speed=speed).mels) for speed in (1.0, 2.0))
    assert normal > 60 and abs(fast - normal / 2) <= len(SENTENCES)


@pytest.mark.parametrize("text", ["", "  \n ", "...", "?! — ,", "()"])
def test_a_text_without_a_word_is_refused(base: Base, vocoder: GriffinLim, text: str) -> None:
    with pytest.raises(TtsMetaError, match=r"nothing to speak in .*; give at least one word"):
        say(base, vocoder, text)


def test_punctuation_between_sentences_is_not_a_sentence(base: Base, vocoder: GriffinLim) -> None:
    assert len(say(base, vocoder, "Abc. ... Head! ?").mels) == 2


def test_an_unknown_character_is_reported_with_its_sentence_before_synthesis(base: Base, vocoder: GriffinLim) -> None:
    done: list[tuple[int, int]] = []
    with pytest.raises(TtsMetaError, match="unknown symbol 'z' in \"Zab!\""):
        speak_text(base, base.acoustic, vocoder, "Abc. Zab!", report=lambda *progress: done.append(progress))
    assert done == []


def test_phonemes_are_used_unchanged_with_one_sentence_per_line(base: Base, vocoder: GriffinLim) -> None:
    speech = speak_text(base, base.acoustic, vocoder, "abc de fgh.\n\nhead bed, cab?", phonemes=True)
    from_text = say(base, vocoder, "Abc de fgh. Head bed, cab?")
    assert np.array_equal(speech.samples, from_text.samples)
    with pytest.raises(TtsMetaError, match="unknown symbol 'A'"):
        speak_text(base, base.acoustic, vocoder, "Abc", phonemes=True)


def test_every_sentence_is_reported_and_every_stage_timed(base: Base, vocoder: GriffinLim) -> None:
    done: list[tuple[int, int]] = []
    speech = speak_text(base, base.acoustic, vocoder, TEXT, report=lambda *progress: done.append(progress))
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert speech.timings.keys() == {"text", "acoustic", "vocoder"} and min(speech.timings.values()) > 0


def test_training_speakers_and_the_mean_voice_sound_different(base: Base, vocoder: GriffinLim) -> None:
    mels = [speak_text(base, base.acoustic, vocoder, SENTENCES[0], speaker=speaker).mels[0] for speaker in (-1, 0, 1)]
    assert len({float(mel.mean()) for mel in mels}) == 3


def test_a_voice_in_memory_and_its_file_speak_the_same(base: Base, tmp_path: Path) -> None:
    delta = 0.5 * torch.randn(6, generator=torch.Generator().manual_seed(0))
    voice = Voice({"speaker.mean": delta.half().float()}, base.hash, ("speaker.mean",), 1)
    voice.save(tmp_path / "a.voice.safetensors")
    options = {"base": base, "vocoder": "griffin-lim"}
    one = speak(voice, "Abc.", **options)
    two = speak(tmp_path / "a.voice.safetensors", "Abc.", **options)
    mean = speak("base", "Abc.", **options)
    assert np.array_equal(one.samples, two.samples)
    assert len(mean.samples) != len(one.samples) or not np.allclose(mean.samples, one.samples)
    one.save(tmp_path / "a.wav")
    read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == one.rate and np.abs(read - one.samples).max() < 1e-4


def test_the_base_can_be_a_folder(base: Base) -> None:
    speech = speak("base", "Abc.", base=base.folder, vocoder="griffin-lim")
    assert len(speech.samples) == 256 * len(speech.mels[0])


@pytest.mark.parametrize(
    ("option", "values", "allowed"),
    [
        ("speed", [0.0, 0.2, 4.1, -1.0, math.nan, math.inf], "0.25 to 4"),
        ("pitch", [-12.5, 13, math.nan], "-12 to 12 semitones"),
        ("pitch_range", [-0.1, 3.1, math.nan], "0 to 3"),
        ("prenet_dropout", [-0.1, 0.95, math.nan], "0 to 0.9"),
        ("postfilter", [-0.1, 2.1, math.nan], "0 to 2"),
    ],
)
def test_an_option_out_of_range_is_refused(option: str, values: list[float], allowed: str) -> None:
    for value in values:
        with pytest.raises(UsageError, match=f"{option} must be from {re.escape(allowed)}, not"):
            SynthesisOptions(**{option: value})  # pyright: ignore[reportArgumentType]


def test_pitch_and_pitch_range_change_the_audio(base: Base, vocoder: GriffinLim) -> None:
    default = say(base, vocoder, TEXT)
    for changed in (say(base, vocoder, TEXT, pitch=4.0), say(base, vocoder, TEXT, pitch_range=0.0)):
        assert changed.samples.shape == default.samples.shape and not np.array_equal(changed.samples, default.samples)
