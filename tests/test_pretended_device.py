"""Cloning, synthesis, scoring and training losses on a device that is not the CPU.

The device is simulated (`pretended_device.py`). Each test fails if a tensor of the CPU meets a tensor of the device, or
if a float64 tensor is created on the device; results must equal those of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import batch_of, random_example, same_weights, similar_examples, tiny_base, tiny_source_filter
from pretended_device import PretendedTensor, pretended_device

from tts_meta.adapt import CloneSettings, Voice, clone_examples
from tts_meta.corpus import Example
from tts_meta.evaluate.few_shot.nll import nll_per_frame
from tts_meta.meta import LEARNERS
from tts_meta.models.pretrained import Base
from tts_meta.models.speaker_encoder import SpeakerEncoder
from tts_meta.models.synthesis_options import DEFAULT, SynthesisOptions
from tts_meta.models.vocoders.griffin_lim import GriffinLim
from tts_meta.models.vocoders.hifigan import V3, HifiGan, HifiGanGenerator
from tts_meta.models.vocoders.source_filter_vocoder import SourceFilterVocoder
from tts_meta.synth import speak_text, stream_text
from tts_meta.train.aligner_loss import aligner_loss
from tts_meta.train.discriminator import Discriminator, DiscriminatorConfig
from tts_meta.train.pretrain import acoustic_objective
from tts_meta.train.vocoder_data import VocoderBatch
from tts_meta.train.vocoder_losses import VocoderLoss, adversarial_objective, pitch_loss, spectral_objective

TEXT = "Abc de. Fg ab, gade."
QUICK = CloneSettings(steps=3, variance=1e-3, hold_out=1)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with pretended_device(monkeypatch) as device:
        yield device


@pytest.fixture
def base() -> Base:
    return tiny_base()


@pytest.fixture
def vocoder() -> SourceFilterVocoder:
    return SourceFilterVocoder(tiny_source_filter())


@pytest.fixture
def moved(base: Base, device: torch.device) -> Base:
    return base.on(device)


@pytest.fixture
def moved_vocoder(device: torch.device) -> SourceFilterVocoder:
    return SourceFilterVocoder(tiny_source_filter().to(device))


@pytest.fixture
def examples(base: Base) -> list[Example]:
    """Aligned sentences with samples, on the CPU."""
    waveforms = np.random.default_rng(0)
    return [
        replace(example, samples=torch.from_numpy(0.1 * waveforms.standard_normal(256 * len(example.mel))).float())
        for example in similar_examples(base)
    ]


def test_the_pretended_device_refuses_tensors_of_the_cpu_and_float64(device: torch.device) -> None:
    on_device = torch.ones(3, device=device)
    assert isinstance(on_device + 1, PretendedTensor) and type(on_device.cpu()) is torch.Tensor
    with pytest.raises(AssertionError, match=r"mixes meta with"):
        torch.add(on_device, torch.ones(3))
    with pytest.raises(AssertionError, match=r"has no torch\.float64"):
        on_device.double()
    with pytest.raises(AssertionError, match=r"has no torch\.float64"):
        torch.zeros(3, dtype=torch.float64, device=device)
    with pytest.raises((TypeError, RuntimeError)):
        on_device.numpy()


def test_a_base_moves_and_the_base_of_the_caller_stays(base: Base, moved: Base, device: torch.device) -> None:
    assert moved.device == device and base.device.type == "cpu"
    assert isinstance(moved.acoustic.decoder.output.weight, PretendedTensor)
    assert same_weights(moved.on(torch.device("cpu")).acoustic, base.acoustic)


@pytest.mark.parametrize(
    "options", [DEFAULT, SynthesisOptions(prenet_dropout=0.5, pitch=2, speed=0.8)], ids=["default", "all"]
)
def test_speech_is_the_same_on_every_device(base, moved, vocoder, moved_vocoder, options: SynthesisOptions) -> None:
    expected = speak_text(base, base.acoustic, vocoder, TEXT, options=options)
    speech = speak_text(moved, moved.acoustic, moved_vocoder, TEXT, options=options)
    np.testing.assert_allclose(speech.samples, expected.samples, atol=1e-3)
    for mel, expected_mel in zip(speech.mels, expected.mels, strict=True):
        assert type(mel) is torch.Tensor
        torch.testing.assert_close(mel, expected_mel, atol=1e-4, rtol=1e-4)
    streamed = np.concatenate(list(stream_text(moved, moved.acoustic, moved_vocoder, TEXT, options=options)))
    np.testing.assert_allclose(streamed, expected.samples, atol=1e-3)


def test_the_acoustic_model_and_the_vocoder_may_be_on_two_devices(base, moved, vocoder, moved_vocoder) -> None:
    expected = speak_text(base, base.acoustic, vocoder, TEXT).samples
    np.testing.assert_allclose(speak_text(moved, moved.acoustic, vocoder, TEXT).samples, expected, atol=1e-3)
    np.testing.assert_allclose(speak_text(base, base.acoustic, moved_vocoder, TEXT).samples, expected, atol=1e-3)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_clone_is_the_same_on_every_device_and_lies_on_the_cpu(base, moved, examples, rank: int) -> None:
    expected, voice = (clone_examples(used, examples, replace(QUICK, rank=rank)) for used in (base, moved))
    _check_same(voice, expected)
    assert voice.scores["held_out_after"] == pytest.approx(expected.scores["held_out_after"], rel=1e-4)
    assert same_weights(base.acoustic, tiny_base().acoustic)
    changed = voice.apply(moved)
    assert isinstance(changed.decoder.output.weight, PretendedTensor)
    assert {type(change) for change in voice.changes(moved).values()} == {torch.Tensor}
    for measure, expected_measure in zip(
        nll_per_frame(moved, changed, examples), nll_per_frame(base, expected.apply(base), examples), strict=True
    ):
        assert measure.value == pytest.approx(expected_measure.value, rel=1e-3)


def test_an_adapted_vocoder_is_the_same_on_every_device(base, moved, vocoder, moved_vocoder, examples) -> None:
    settings = CloneSettings(modules=("vocoder.net.*",), vocoder_steps=2)
    expected = clone_examples(base, examples, settings, vocoder=vocoder)
    voice = clone_examples(moved, examples, settings, vocoder=moved_vocoder)
    _check_same(voice, expected)
    adapted = voice.apply_vocoder(moved_vocoder)
    assert isinstance(adapted, SourceFilterVocoder) and isinstance(adapted.generator.window, PretendedTensor)


@pytest.mark.parametrize("name", [name for name, learner in LEARNERS.items() if learner.iterative])
def test_every_learner_adapts_the_same_on_every_device(base, moved, examples, name: str) -> None:
    settings = CloneSettings(steps=2, learner=name, modules=("speaker.mean", "decoder.output", "postnet.output"))
    _check_same(*(clone_examples(used, examples, settings) for used in (moved, base)))


def test_lora_is_the_same_on_every_device(base, moved, examples) -> None:
    settings = CloneSettings(steps=2, learner="lora", learner_settings={"rank": 2})
    _check_same(*(clone_examples(used, examples, settings) for used in (moved, base)))


def _check_same(voice: Voice, expected: Voice) -> None:
    assert voice.deltas.keys() == expected.deltas.keys() and voice.steps == expected.steps
    for name, delta in voice.deltas.items():
        assert type(delta) is torch.Tensor
        torch.testing.assert_close(delta, expected.deltas[name], atol=1e-4, rtol=1e-2)


def test_alignments_and_embeddings_are_the_same_on_every_device(base, moved, device, examples) -> None:
    for example in examples:
        tokens, alignment = moved.align(example.mel, example.tokens)
        expected_tokens, expected = base.align(example.mel, example.tokens)
        assert torch.equal(tokens, expected_tokens) and torch.equal(alignment.durations, expected.durations)
        assert alignment.score == pytest.approx(expected.score, rel=1e-4)
    waveform = 0.1 * np.random.default_rng(0).standard_normal(30000).astype(np.float32)
    expected_embedding, embedding = (SpeakerEncoder.load(place).embed(waveform, 16000) for place in ("cpu", device))
    np.testing.assert_allclose(embedding, expected_embedding, atol=1e-5)


@pytest.mark.parametrize("kind", ["griffin-lim", "hifigan"])
def test_every_vocoder_takes_mels_of_every_device(device: torch.device, examples, kind: str) -> None:
    vocoders = [GriffinLim(iterations=2)] * 2
    if kind == "hifigan":
        generator = HifiGanGenerator(V3)
        vocoders = [HifiGan(generator), HifiGan(generator.to(device))]
    mel = examples[0].mel[None, :20]
    samples = vocoders[1](mel.to(device))
    assert isinstance(samples, PretendedTensor)
    torch.testing.assert_close(samples.cpu(), vocoders[0](mel), atol=1e-4, rtol=1e-3)


def test_the_losses_of_pretraining_have_gradients_on_every_device(base, moved, device) -> None:
    batch = batch_of(base, *(random_example(base, "abc de", seed) for seed in range(3)))
    for used, data in ((base, batch), (moved, batch.to(device))):
        used.acoustic.requires_grad_(True)
        acoustic_objective(used.acoustic)(data, 0)[0].backward()
        used.aligner.requires_grad_(True)
        aligner_loss(used.aligner, data).backward()
    for part in ("acoustic", "aligner"):
        for (name, moved_one), parameter in zip(
            getattr(moved, part).named_parameters(), getattr(base, part).parameters(), strict=True
        ):
            assert isinstance(moved_one.grad, PretendedTensor), name
            torch.testing.assert_close(moved_one.grad.cpu(), parameter.grad, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("stage", ["pitch", "spectral", "adversarial"])
def test_the_losses_of_vocoder_training_have_gradients_on_every_device(device: torch.device, stage: str) -> None:
    frames, generator = 30, tiny_source_filter().to(device)
    crops = VocoderBatch(
        torch.randn(2, frames, 80),
        torch.full((2, frames), 5.0),
        torch.ones(2, frames),
        torch.zeros(2, frames * 256, dtype=torch.int16),
        torch.tensor(2 * frames),
        torch.tensor(2.0 * frames),
    )
    losses: dict[str, VocoderLoss] = {"pitch": pitch_loss(generator.pitch), "spectral": spectral_objective(generator)}
    losses["adversarial"] = adversarial_objective(generator, Discriminator(DiscriminatorConfig()).to(device), 0.3)
    losses[stage](crops.to(device), 0)[0].backward()
    trained = generator.pitch.net if stage == "pitch" else generator.net
    assert all(isinstance(parameter.grad, PretendedTensor) for parameter in trained.parameters())
