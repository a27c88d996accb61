"""The ECAPA speaker encoder: centring, levels, files; and the shipped encoder separates voices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tts_meta.demo.speaker import NEW, RECORDED, HibariSpeaker
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate import METRICS, Scorer, Settings, cosine, voice_embedding
from tts_meta.models.ecapa_encoder import EcapaConfig, EcapaEncoder, log_mels, speech_at_level

SMALL = EcapaConfig(channels=16, groups=4, pooled=16, bottleneck=4, embedding=8)
RATE = 16_000


def tone(seconds: float = 1.5, pitch: float = 120.0) -> np.ndarray:
    """Harmonics with a slow vibrato."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * 3 * time))) / RATE
    harmonics = np.stack([np.sin(number * phase) / number for number in range(1, 20)])
    return (0.1 * harmonics.sum(0)).astype(np.float32)


def small_encoder() -> EcapaEncoder:
    torch.manual_seed(0)
    encoder = EcapaEncoder(SMALL).eval()
    encoder.cohort_mean.copy_(torch.linspace(-0.3, 0.4, 8))
    return encoder


@pytest.fixture(scope="module")
def shipped() -> EcapaEncoder:
    return EcapaEncoder.load()


@pytest.fixture(scope="module")
def sentences() -> tuple[list[np.ndarray], int]:
    """Sentences of the synthetic speaker of the demo."""
    speaker = HibariSpeaker()
    return [speaker.speak(text, seed) for seed, text in enumerate((*RECORDED[:2], *NEW[1:3]))], speaker.rate


def test_the_mean_of_the_cohort_is_subtracted_from_the_unit_embedding() -> None:
    encoder = small_encoder()
    mels = log_mels(torch.from_numpy(speech_at_level(tone()))[None])
    with torch.no_grad():
        expected = encoder(mels)[0].numpy() - np.linspace(-0.3, 0.4, 8)
    embedding = encoder.embed(tone(), RATE)
    np.testing.assert_allclose(embedding, expected / np.linalg.norm(expected), atol=1e-5)
    assert np.linalg.norm(encoder.embed_uncentred(tone(), RATE)) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gain", [1e-3, 3.0])
def test_the_level_of_a_waveform_does_not_change_its_embedding(shipped: EcapaEncoder, gain: float) -> None:
    expected = shipped.embed(tone(), RATE)
    assert cosine(expected, shipped.embed(tone() * np.float32(gain), RATE)) == pytest.approx(1, abs=1e-3)


def test_log_mels_have_mean_zero_and_follow_the_frequency() -> None:
    mels = log_mels(torch.from_numpy(np.stack([tone(), tone(pitch=200)])))
    assert mels.shape == (2, 151, 80)
    assert mels.mean(1).abs().max() < 1e-4
    assert (mels[0] - mels[1]).abs().max() > 0.5


def test_short_speech_has_an_embedding_and_silence_is_an_error() -> None:
    encoder = small_encoder()
    assert np.isfinite(encoder.embed(tone(0.05), RATE)).all()
    with pytest.raises(TtsMetaError, match="the waveform is silent"):
        encoder.embed(np.zeros(RATE, np.float32), RATE)


def test_a_saved_encoder_gives_the_same_embeddings(tmp_path: Path) -> None:
    encoder = small_encoder()
    encoder.save(tmp_path / "encoder", {"steps": 3})
    assert {path.name for path in (tmp_path / "encoder").iterdir()} == {
        "config.json",
        "model.safetensors",
        "state.json",
    }
    assert json.loads((tmp_path / "encoder" / "state.json").read_text())["steps"] == 3
    loaded = EcapaEncoder.load(folder=tmp_path / "encoder")
    assert cosine(loaded.embed(tone(), RATE), encoder.embed(tone(), RATE)) > 0.999  # half precision
    assert loaded.config == SMALL


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("state.json", '{"format": 9, "sha256": ""}', "an encoder of another format; this version reads format 1"),
        ("state.json", '{"format": 1, "sha256": "0"}', "the weights are not those that state.json names"),
        ("state.json", "{", "state.json: .*install tts-meta again"),
        ("config.json", '{"channels": 32}', r"weights that do not fit config.json \(cohort_mean is 8, not 128\)"),
        ("config.json", '{"channels": 30}', "channels is 30, not a multiple of groups"),
        ("model.safetensors", "", "model.safetensors: damaged header"),
    ],
)
def test_an_error_names_the_damaged_file_of_an_encoder(tmp_path: Path, file: str, content: str, message: str) -> None:
    small_encoder().save(tmp_path / "encoder", {})
    (tmp_path / "encoder" / file).write_text(content)
    with pytest.raises(TtsMetaError, match=message) as error:
        EcapaEncoder.load(folder=tmp_path / "encoder")
    assert "\n" not in str(error.value)


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    encoder = small_encoder()
    encoder.cohort_mean[0] = torch.nan
    with pytest.raises(TtsMetaError, match="cohort_mean contains values that are not finite"):
        encoder.save(tmp_path / "encoder", {})
    assert not (tmp_path / "encoder").exists()


def test_the_shipped_encoder_is_small() -> None:
    folder = Path(__file__).resolve().parents[1] / "checkpoints" / "speaker_verifier"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6


def test_the_metric_is_higher_for_the_own_voice_than_for_a_voice_with_other_formants(
    shipped: EcapaEncoder, sentences: tuple[list[np.ndarray], int]
) -> None:
    spoken, rate = sentences
    voice = voice_embedding(shipped, [(samples, rate) for samples in spoken[:2]])
    scorer = Scorer(["similarity_ecapa"])
    for samples in spoken[2:]:
        own = scorer.score(samples, rate, id="own", ecapa_voice=voice)["similarity_ecapa"]
        quiet = scorer.score(samples * np.float32(0.1), rate, id="quiet", ecapa_voice=voice)["similarity_ecapa"]
        # Played at 1.25 times the rate, the voice has higher formants and a higher pitch.
        other = scorer.score(samples, round(rate * 1.25), id="other", ecapa_voice=voice)["similarity_ecapa"]
        assert own == pytest.approx(quiet, abs=2e-3)
        assert own > other + 0.1


def test_the_metric_needs_its_voice_and_gives_silence_no_similarity(shipped: EcapaEncoder) -> None:
    scorer = Scorer(["similarity_ecapa"])
    voice = shipped.embed(tone(), RATE)
    assert scorer.score(0 * tone(), RATE, id="silence", ecapa_voice=voice)["similarity_ecapa"] == 0
    assert scorer.score(tone(), RATE, id="tone", ecapa_voice=voice)["similarity_ecapa"] == pytest.approx(1, abs=1e-5)
    assert scorer.score(tone(), RATE, id="tone", voice=voice).measures == {}


def test_the_identity_of_the_metric_contains_the_weights() -> None:
    metric = METRICS["similarity_ecapa"]
    assert metric.model(Settings()) in metric.identity(Settings()) and len(metric.model(Settings())) == 64
    assert metric.columns[0].title == "ECAPA similarity, centred ↑"
