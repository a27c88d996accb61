"""Metrics on real speech. Skipped if the corpus or a model is not available."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import METRICS, Scorer, Settings, SpeakerEncoder, cosine, find_whisper, voice_embedding
from tts_meta.models.ecapa_encoder import EcapaEncoder

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
SPEAKERS = 3
SENTENCES = 6

pytestmark = pytest.mark.skipif(not (CORPUS / "manifest.tsv").is_file(), reason=f"no corpus in {CORPUS}")


@pytest.fixture(scope="module")
def speech() -> dict[str, list[tuple[np.ndarray, int, str]]]:
    """A few short evaluation sentences (samples (S,), rate, text) of a few speakers."""
    with open(CORPUS / "manifest.tsv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row["split"] == "eval"]
    spoken: dict[str, list[tuple[np.ndarray, int, str]]] = {}
    for row in rows:
        mine = spoken.setdefault(row["speaker"], [])
        if len(mine) < SENTENCES and 3 < float(row["seconds"]) < 6:
            samples, rate = soundfile.read(CORPUS / row["file"], dtype="float32")
            mine.append((samples, rate, row["text"]))
    return dict(list(spoken.items())[:SPEAKERS])


def hiss(samples: np.ndarray) -> np.ndarray:
    """The speech with white noise of equal power."""
    level = float(np.sqrt(np.mean(samples**2)))
    return (samples + np.random.default_rng(0).normal(0, level, samples.shape)).astype(np.float32)


@pytest.mark.parametrize(("encoder_class", "least"), [(SpeakerEncoder, 0.75), (EcapaEncoder, 0.4)])
def test_a_sentence_is_more_similar_to_its_speaker_than_to_any_other(speech, encoder_class, least):
    encoder = encoder_class.load()
    voices = {name: voice_embedding(encoder, [(x, rate) for x, rate, _ in mine[1:]]) for name, mine in speech.items()}
    for name, mine in speech.items():
        embedding = encoder.embed(*mine[0][:2])
        assert max(voices, key=lambda other: cosine(embedding, voices[other])) == name
        assert cosine(embedding, voices[name]) > least


@pytest.mark.parametrize("name", ["distillmos", "dnsmos"])
def test_noise_lowers_the_predicted_naturalness_of_real_speech(speech, name, capfd):
    for package in METRICS[name].packages:
        pytest.importorskip(package, reason="the extra eval is not installed")
    scorer = Scorer([name])
    samples, rate, _ = next(iter(speech.values()))[0]
    real = scorer.score(samples, rate, id="real")[name]
    assert 2.5 < real <= 5
    assert scorer.score(hiss(samples), rate, id="hiss")[name] < real - 0.5
    assert capfd.readouterr() == ("", "")


def test_whisper_transcribes_the_words_and_prints_nothing(speech, capfd):
    pytest.importorskip("faster_whisper", reason="the extra eval is not installed")
    try:
        whisper = str(find_whisper())
    except TtsMetaError as error:
        pytest.skip(str(error))
    scorer = Scorer(["wer"], Settings(whisper=whisper))
    for samples, rate, text in (mine[0] for mine in speech.values()):
        scores = scorer.score(samples, rate, id="real", text=text)
        assert scores["cer"] < 0.1, (text, scores.notes["transcript"])
        assert scores.measures["cer"].weight > scores.measures["wer"].weight > 3
    samples, rate, _ = next(iter(speech.values()))[0]
    wrong = scorer.score(samples, rate, id="wrong", text="completely different words were expected here")
    assert wrong["wer"] > 0.8
    assert capfd.readouterr() == ("", "")


def test_noise_and_another_sentence_have_a_larger_distance_than_the_recording(speech):
    mine = next(iter(speech.values()))
    samples, rate, _ = mine[0]
    scorer = Scorer(["mcd"])
    itself, noisy, other = (
        scorer.score(x, rate, id="x", reference=samples) for x in (0.5 * samples, hiss(samples), mine[1][0])
    )
    assert itself["mcd"] < 0.1 < noisy["mcd"]
    assert itself["mcd"] < 0.1 < other["mcd"]
    assert itself["f0_rmse"] < 1 < other["f0_rmse"]
