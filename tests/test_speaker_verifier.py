"""Training of the ECAPA speaker encoder: both losses by hand, crops, and a run at miniature size."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tts_meta.audio import write_wav
from tts_meta.corpus import Manifest, Utterance
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.verification import cohort_mean, pair_error_rate
from tts_meta.models.ecapa_encoder import EcapaEncoder
from tts_meta.train.speaker_crops import AugmentationConfig, SpeakerCrops, augment, change_speed, load_speech
from tts_meta.train.speaker_verifier import (
    VerifierConfig,
    aam_logits,
    embed_speech,
    mask_bands,
    prototypical_loss,
    train_verifier,
)

RATE = 16_000
PLAIN = AugmentationConfig(noise=0, low_pass=0, filter_db=0, echo=0)


def speech(formant: float, seed: int, seconds: float = 2.0) -> np.ndarray:
    """Two vowels in turn, with a formant of `formant` Hz and of 1.7 times as much, and with random pitch."""
    draw = np.random.default_rng(seed)
    pitch = np.interp(np.arange(int(seconds * RATE)), np.linspace(0, seconds * RATE, 12), draw.uniform(90, 220, 12))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    samples, times = np.zeros(len(phase)), np.arange(len(phase)) / RATE
    formants = formant * np.where(times % 0.4 < 0.2, 1.0, 1.7)
    for harmonic in range(1, 40):
        samples += np.sin(harmonic * phase) / (1 + ((harmonic * pitch - formants) / 150) ** 2)
    return (0.2 * samples / np.abs(samples).max()).astype(np.float32)


def separation(embeddings: dict[str, np.ndarray]) -> float:
    """Mean cosine of two sentences of a speaker minus the mean cosine of two sentences of two speakers."""
    first, second = embeddings.values()
    own = [float(rows[a] @ rows[b]) for rows in (first, second) for a in range(len(rows)) for b in range(a)]
    return float(np.mean(own) - (first @ second.T).mean())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of eight speakers that differ in their formant, with three sentences each."""
    folder = tmp_path_factory.mktemp("speakers")
    utterances = []
    for number in range(8):
        for sentence in range(3):
            path = folder / f"{number}-{sentence}.wav"
            write_wav(path, speech(500 + 350 * number, 10 * number + sentence), RATE)
            utterances.append(Utterance(path.stem, f"s{number}", path, 2.0, "a", split="train"))
    Manifest(tuple(utterances)).save(folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def config(corpus: Path, output: Path, **changes: object) -> VerifierConfig:
    settings: dict[str, object] = {
        **{"manifest": corpus, "splits": ["train"], "output": output, "device": "cpu", "crop_seconds": (0.5, 0.7)},
        **{"held_out_speakers": ["s2", "s5"], "validation_speakers": ["s2", "s5"], "speakers_per_batch": 6},
        "encoder": {"channels": 16, "groups": 4, "pooled": 16, "bottleneck": 4, "embedding": 8},
        "optimiser": {"steps": 40, "learning_rate": 5e-3, "warmup": 5},
        **{"sample_every": 40, "ema_decay": 0.9, "log_every": 10, "augmentation": PLAIN},
    }
    return VerifierConfig.model_validate(settings | changes)


def test_a_trained_encoder_separates_new_speakers_and_stores_the_mean_of_its_cohort(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = config(corpus, tmp_path / "run")
    folder = train_verifier(recipe)
    encoder = EcapaEncoder.load(folder=folder)
    recorded = load_speech(Manifest.load(corpus))
    new = {name: recorded[name] for name in recipe.held_out_speakers}
    torch.manual_seed(recipe.seed)
    untrained = EcapaEncoder(recipe.encoder).eval()
    embeddings, before = (embed_speech(model, new, 3) for model in (encoder, untrained))
    assert pair_error_rate(embeddings) < 0.2
    assert separation(embeddings) > separation(before) + 0.2
    assert "step 40: equal error rate of the validation speakers 0." in capsys.readouterr().out
    training = {name: rows for name, rows in recorded.items() if name not in new}
    mean = cohort_mean(embed_speech(encoder, training, recipe.cohort_utterances))
    np.testing.assert_allclose(encoder.cohort_mean.numpy(), mean, atol=5e-3)
    state = json.loads((folder / "state.json").read_text())
    assert state["speakers"] == ["s0", "s1", "s3", "s4", "s6", "s7"] and state["steps"] == 40


def test_the_same_seed_trains_the_same_encoder(corpus: Path, tmp_path: Path) -> None:
    short = {"optimiser": {"steps": 2}, "augmentation": AugmentationConfig()}
    first, again = (train_verifier(config(corpus, tmp_path / name, **short)) for name in ("a", "b"))
    other = train_verifier(config(corpus, tmp_path / "c", seed=1, **short))
    files = [(folder / "model.safetensors").read_bytes() for folder in (first, again, other)]
    assert files[0] == files[1] != files[2]


def test_a_validation_speaker_must_be_held_out(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TtsMetaError, match="validation_speakers: s1 is a training speaker; add it to held_out"):
        train_verifier(config(corpus, tmp_path, validation_speakers=["s1"]))


def test_the_margin_is_added_to_the_angle_of_the_own_class() -> None:
    angles = torch.tensor([[0.5, 1.2], [0.3, 3.1]])
    logits = aam_logits(angles.cos(), torch.tensor([0, 1]), margin=0.2, scale=10.0)
    assert logits[0].tolist() == pytest.approx([10 * math.cos(0.7), 10 * math.cos(1.2)], abs=1e-4)
    # The angle 3.3 exceeds π, so the linear continuation is used.
    assert logits[1].tolist() == pytest.approx(
        [10 * math.cos(0.3), 10 * (math.cos(3.1) - 0.2 * math.sin(0.2))], abs=1e-4
    )


def test_the_first_crop_is_assigned_to_the_prototype_of_the_others() -> None:
    crops = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    loss = prototypical_loss(crops, torch.tensor(2.0), torch.tensor(-1.0))
    half = 0.5**0.5
    expected = [math.log(1 + math.exp(-2 * half)), math.log(1 + math.exp(2 * (half - 1)))]
    assert float(loss) == pytest.approx(sum(expected) / 2, abs=1e-5)


def test_masked_bands_are_adjacent_and_at_most_the_given_number() -> None:
    torch.manual_seed(0)
    masked = mask_bands(torch.ones(200, 3, 20), 5) == 0
    assert (masked.all(1) == masked.any(1)).all()
    counts = masked[:, 0].sum(1)
    assert set(counts.tolist()) == {0, 1, 2, 3, 4, 5}
    edges = masked[:, 0].int().diff(dim=1).abs().sum(1)
    assert edges.max() <= 2
    assert (mask_bands(torch.ones(4, 3, 20), 0) == 1).all()


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1])
def test_another_speed_changes_the_frequency_and_not_the_level(speed: float) -> None:
    length = 16_000
    sine = np.sin(2 * np.pi * 1000 * np.arange(round(length * speed)) / RATE).astype(np.float32)
    spectrum = change_speed(sine, length)
    assert int(np.abs(spectrum).argmax()) == round(1000 * speed)
    assert np.abs(spectrum).max() == pytest.approx(length / 2, rel=1e-3)


@pytest.mark.parametrize("config", [PLAIN, AugmentationConfig(), AugmentationConfig(noise=0.999, echo=0.999)])
def test_a_changed_crop_is_finite_has_the_level_of_the_encoder_and_follows_the_seed(config: AugmentationConfig) -> None:
    spectrum = change_speed(speech(800, 0, 1.0), RATE)
    first, again = (augment(spectrum, config, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (RATE,) and np.isfinite(first).all()
    assert np.sqrt(np.mean(first**2)) == pytest.approx(10 ** (-26 / 20), rel=0.01)
    unchanged = np.corrcoef(first, speech(800, 0, 1.0))[0, 1] > 0.9999
    assert unchanged == (config is PLAIN)


def test_noise_has_the_signal_to_noise_ratio_of_the_setting() -> None:
    setting = PLAIN.model_copy(update={"noise": 0.9999, "noise_db": (10.0, 10.0)})
    clean = speech(800, 0, 1.0)
    noisy = augment(change_speed(clean, RATE), setting, np.random.default_rng(0))
    scale = float(noisy @ clean / (clean @ clean))
    ratio = 10 * math.log10(np.mean((scale * clean) ** 2) / np.mean((noisy - scale * clean) ** 2))
    assert ratio == pytest.approx(10, abs=0.5)


def test_a_low_pass_filter_removes_high_frequencies() -> None:
    setting = PLAIN.model_copy(update={"low_pass": 0.9999, "low_pass_hz": (3500.0, 3500.0)})
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(augment(change_speed(noise, RATE), setting, np.random.default_rng(0)))) ** 2
    assert power[5000:].sum() < 1e-4 * power[:3000].sum()


def test_a_batch_has_several_crops_of_each_of_its_speakers_and_restarts_at_any_position() -> None:
    crops = SpeakerCrops(
        {f"s{number}": [np.full(40_000, 1000 * (number + 1), np.int16)] * 2 for number in range(5)},
        PLAIN,
        speeds=[0.9, 1.0],
        speakers=4,
        crops=3,
        seconds=(1.0, 1.5),
        batches_per_epoch=3,
        seed=0,
    )
    batches = crops.batches(0, 0)
    found = [next(batches) for _ in range(4)]
    assert [item[:2] for item in found] == [(0, 1), (0, 2), (0, 3), (1, 1)]
    for _, _, batch in found:
        assert batch is not None and batch.samples.shape[0] == 12 and 16_000 <= batch.samples.shape[1] <= 24_000
        labels = batch.labels.reshape(4, 3)
        assert (labels == labels[:, :1]).all() and len(set((labels[:, 0] // 2).tolist())) == 4
        assert int(labels.min()) >= 0 and int(labels.max()) < crops.labels == 10
    again = next(crops.batches(0, 2))[2]
    assert again is not None and found[2][2] is not None
    assert torch.equal(again.samples, found[2][2].samples)


def test_one_speaker_is_too_few() -> None:
    with pytest.raises(TtsMetaError, match="needs two speakers or more, not 1; give more recordings"):
        SpeakerCrops(
            {"a": [np.ones(9, np.int16)]},
            PLAIN,
            speeds=[1.0],
            speakers=2,
            crops=2,
            seconds=(1, 1),
            batches_per_epoch=1,
            seed=0,
        )


def test_an_error_names_the_recording_that_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    write_wav(path, np.zeros(RATE, np.float32), RATE)
    manifest = Manifest((Utterance("u", "s", path, 1.0, "a", split="train"),))
    with pytest.raises(TtsMetaError, match=r"silence.wav: the waveform is silent"):
        load_speech(manifest)
