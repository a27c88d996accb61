"""The evaluation of the aligner: speech of known times is aligned well, and planted faults are those that they name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.librispeech_mini.alignment_base import BaseAligner
from recipes.librispeech_mini.alignment_boundaries import ComparedSentence, Word, compare_alignments
from recipes.librispeech_mini.alignment_errors import boundary_errors
from recipes.librispeech_mini.alignment_espeak import EspeakSpeaker
from recipes.librispeech_mini.alignment_faults import FAULTS, plant_fault
from recipes.librispeech_mini.alignment_pocketsphinx import dictionary_words
from tts_meta.audio.io import Waveform
from tts_meta.corpus import Utterance
from tts_meta.models.aligner import loudness
from tts_meta.models.pretrained import load_base

EspeakSpeech = tuple[Waveform, int, list[Word]]
TEXT = "the morning was cold and the road was empty, so they walked on"


@pytest.fixture(scope="module")
def aligner() -> BaseAligner:
    return BaseAligner(load_base())


@pytest.fixture(scope="module")
def speech() -> EspeakSpeech:
    """Waveform of TEXT, its sample rate, and its words with their true times."""
    espeak = EspeakSpeaker()
    waveform, words = espeak.speak(TEXT)
    return waveform, espeak.rate, words


def test_words_are_written_as_in_a_dictionary() -> None:
    assert dictionary_words("\"It’s Tom's -- 'tis, \" he said.") == ["it's", "tom's", "'tis", "he", "said"]


def test_the_phones_of_espeak_are_in_order_inside_its_waveform(speech: EspeakSpeech) -> None:
    waveform, rate, words = speech
    assert len(words) == len(TEXT.split())
    phones = [phone for word in words for phone in word]
    assert all(phone.names for phone in phones)
    times = [time for phone in phones for time in (phone.start, phone.end)]
    assert times == sorted(times) and 0 < times[0] < times[-1] < len(waveform) / rate
    # The comma is a pause, and a pause is quiet.
    pause_start, pause_end = words[8][-1].end, words[9][0].start
    assert pause_end - pause_start > 0.1
    spans = ((pause_start, pause_end), (times[0], pause_start))
    pause, before = (waveform[int(start * rate) : int(end * rate)] for start, end in spans)
    assert np.abs(pause[len(pause) // 2 :]).mean() < 0.05 * np.abs(before).mean()


def test_times_of_words_count_from_the_start_of_the_untrimmed_recording(
    aligner: BaseAligner, speech: EspeakSpeech
) -> None:
    waveform, _, truth = speech
    late = np.concatenate([np.random.default_rng(0).normal(0, 1e-4, 22050).astype(np.float32), waveform])
    for samples, shift in ((waveform, 0.0), (late, 1.0)):
        recording = aligner.prepare(samples)
        words = aligner.words(recording.mel, TEXT, recording.start - shift)
        compared = ComparedSentence("a", "s", tuple(compare_alignments(words, truth)))
        errors = boundary_errors([compared], lambda boundary: boundary.at_word_edge)
        assert errors.median.mean < 40 and abs(errors.signed_median.mean) < 25


def test_quiet_frames_are_far_below_the_loud_frames_of_a_sentence(aligner: BaseAligner, speech: EspeakSpeech) -> None:
    mel = aligner.prepare(speech[0]).mel
    quiet = loudness(mel) <= 0
    assert quiet.any() and quiet.float().mean() < 0.5
    assert mel[quiet].mean() < mel[~quiet].mean() - 1


def test_planted_faults_are_those_that_they_name() -> None:
    texts = [TEXT, "another sentence of about this length was never read by her", "and a short one"]
    utterances = [Utterance(str(n), "s", Path("none.wav"), 4.0, text) for n, text in enumerate(texts)]
    mel, word_count = torch.zeros(300, 80), len(TEXT.split())
    planted = {fault: plant_fault(fault, 0, utterances, mel, 256 / 22050) or (mel, "") for fault in FAULTS}
    assert planted["none"] == (mel, TEXT)
    assert planted["another sentence"][1] in texts[1:]
    assert planted["another, nearest in length"][1] == texts[1]
    assert len(planted["recording ends 1 s early"][0]) == 300 - 86
    changes = {"a word missing": -1, "three words missing": -3, "a word added": 1, "a word replaced": 0}
    for fault, change in changes.items():
        assert len(planted[fault][1].split()) == word_count + change and planted[fault][1] != TEXT
    assert plant_fault("a word missing", 2, utterances, mel, 256 / 22050) is None


def test_a_wrong_transcript_fits_worse_by_every_measure(aligner: BaseAligner, speech: EspeakSpeech) -> None:
    mel = aligner.prepare(speech[0]).mel
    right = aligner.fit(aligner.example("a", "s", mel, TEXT))
    wrong = aligner.fit(aligner.example("b", "s", mel, "quick brown foxes never jump over any lazy dog in june"))
    assert right.mean_score > wrong.mean_score
    assert right.worst_stretch > wrong.worst_stretch and right.worst_phones > wrong.worst_phones
