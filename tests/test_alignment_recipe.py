"""The measurement in recipes/librispeech_mini: known speech is placed rightly, faults are planted as they are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.librispeech_mini import alignment_ours as recipe
from recipes.librispeech_mini import alignment_speech as speech
from recipes.librispeech_mini.alignment_ours import Measurer
from tts_meta.audio.io import Waveform
from tts_meta.corpus import Utterance
from tts_meta.evaluate.alignment import Compared, Word, compare, errors_of
from tts_meta.models.aligner import loudness
from tts_meta.models.pretrained import load_base

Spoken = tuple[Waveform, int, list[Word]]
TEXT = "the morning was cold and the road was empty, so they walked on"


@pytest.fixture(scope="module")
def measurer() -> Measurer:
    return recipe.Measurer(load_base())


@pytest.fixture(scope="module")
def spoken() -> Spoken:
    """Waveform of TEXT, its rate, and its words with the times at which they are truly said."""
    espeak = speech.Espeak()
    waveform, words = espeak.speak(TEXT)
    return waveform, espeak.rate, words


def test_words_are_those_of_a_dictionary() -> None:
    assert speech.plain_words("\"It’s Tom's -- 'tis, \" he said.") == ["it's", "tom's", "'tis", "he", "said"]


def test_what_espeak_says_lies_in_order_inside_its_sound(spoken: Spoken) -> None:
    waveform, rate, words = spoken
    assert len(words) == len(TEXT.split())
    phones = [phone for word in words for phone in word]
    assert all(phone.names for phone in phones)
    times = [time for phone in phones for time in (phone.start, phone.end)]
    assert times == sorted(times) and 0 < times[0] < times[-1] < len(waveform) / rate
    # The comma is a pause, and a pause is quiet.
    before, after = words[8][-1].end, words[9][0].start
    assert after - before > 0.1
    pause, said = (waveform[int(a * rate) : int(b * rate)] for a, b in ((before, after), (times[0], before)))
    assert np.abs(pause[len(pause) // 2 :]).mean() < 0.05 * np.abs(said).mean()


def test_the_aligner_places_known_speech_in_the_time_of_the_whole_recording(measurer: Measurer, spoken: Spoken) -> None:
    waveform, _, truth = spoken
    late = np.concatenate([np.random.default_rng(0).normal(0, 1e-4, 22050).astype(np.float32), waveform])
    for samples, shift in ((waveform, 0.0), (late, 1.0)):
        heard = measurer.prepare(samples)
        words = measurer.words(heard.mel, TEXT, heard.start - shift)
        errors = errors_of([Compared("a", "s", tuple(compare(words, truth)))], lambda boundary: boundary.edge)
        assert errors.median.mean < 40 and abs(errors.offset.mean) < 25


def test_what_is_far_below_the_loud_parts_of_a_sentence_is_quiet(measurer: Measurer, spoken: Spoken) -> None:
    mel = measurer.prepare(spoken[0]).mel
    quiet = loudness(mel) <= 0
    assert quiet.any() and quiet.float().mean() < 0.5
    assert mel[quiet].mean() < mel[~quiet].mean() - 1


def test_faults_are_planted_as_they_are_named() -> None:
    texts = [TEXT, "another sentence of about this length was never read by her", "and a short one"]
    utterances = [Utterance(str(n), "s", Path("none.wav"), 4.0, text) for n, text in enumerate(texts)]
    mel, words = torch.zeros(300, 80), len(TEXT.split())
    found = {fault: recipe.plant(fault, 0, utterances, mel, 256 / 22050) or (mel, "") for fault in recipe.FAULTS}
    assert found["none"] == (mel, TEXT)
    assert found["another sentence"][1] in texts[1:]
    assert found["another, nearest in length"][1] == texts[1]
    assert len(found["recording ends 1 s early"][0]) == 300 - 86
    changes = {"a word missing": -1, "three words missing": -3, "a word added": 1, "a word replaced": 0}
    for fault, change in changes.items():
        assert len(found[fault][1].split()) == words + change and found[fault][1] != TEXT
    assert recipe.plant("a word missing", 2, utterances, mel, 256 / 22050) is None


def test_a_transcript_of_something_else_fits_worse_by_every_measure(measurer: Measurer, spoken: Spoken) -> None:
    mel = measurer.prepare(spoken[0]).mel
    right = measurer.fit(measurer.example("a", "s", mel, TEXT))
    wrong = measurer.fit(measurer.example("b", "s", mel, "quick brown foxes never jump over any lazy dog in june"))
    assert (right.score, right.stretch, right.phones) > (wrong.score, wrong.stretch, wrong.phones)
    assert right.stretch > wrong.stretch and right.phones > wrong.phones
