"""The acoustic model: generation equals the teacher-forced pass, batches and streams equal single sentences."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from helpers import batch_of, random_example, randomise, tiny_base
from torch import Tensor, nn
from torch.func import functional_call

from tts_meta.corpus import Example
from tts_meta.models.conv_blocks import length_mask, masked_conv
from tts_meta.models.decoder import HAS_HALF_PRODUCT
from tts_meta.models.durations import round_durations
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base
from tts_meta.models.prosody import change_prosody, measure_prosody
from tts_meta.models.synthesis_options import SynthesisOptions

SENTENCES = ["abc de.", "hgf, edcba abc!", "ab", "cab bed fed, gab head ha?"]


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda value: f"R={value}")
def base(request: pytest.FixtureRequest) -> Base:
    """A base with weights far from their initial values, so that the decoder depends on its past frames."""
    base = tiny_base(reduction=request.param)
    randomise(base.acoustic, seed=1)
    return base


def teacher_forced_with_own_output(base: Base, example: Example) -> Tensor:
    """Teacher-forced frames `(T, M)` where every step reads the model's own frame before it, and the example's prosody.

    Step s depends only on steps before s, so feeding the output back once per step reaches the fixed point.
    """
    model = base.acoustic
    batch = batch_of(base, example)
    cache = model.precompute(batch, ["decoder"])
    output = model(replace(batch, mel=torch.zeros_like(batch.mel)), cache)
    for _ in range(batch.mel.shape[1] // model.reduction):
        output = model(replace(batch, mel=output.mel_before), cache)
    return output.mel[0, : len(example.mel)]


@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_generation_equals_the_teacher_forced_pass_on_its_own_output(base: Base, sentence: str, pad: int) -> None:
    example = random_example(base, sentence, seed=len(sentence), speaker="ben")
    if pad:  # the last step is full for one pad of R and not for the others
        example.durations[-1] += pad
        example = replace(example, mel=torch.cat([example.mel, example.mel[:pad]]))
    forced = teacher_forced_with_own_output(base, example)
    prosody = measure_prosody(example.mel[None], example.durations[None], base.config.audio.mel)[0]
    generated = base.acoustic.generate(example.tokens, 1, example.durations, prosody)
    assert generated.shape == forced.shape and float(generated.std()) > 0.1
    torch.testing.assert_close(generated, forced, atol=1e-4, rtol=0)


def test_the_decoder_depends_on_the_previous_frames(base: Base) -> None:
    batch = batch_of(base, random_example(base, SENTENCES[1], seed=0))
    cache = base.acoustic.precompute(batch, ["decoder"])
    one, two = (base.acoustic(replace(batch, mel=mel), cache).mel for mel in (batch.mel, batch.mel + 1.0))
    assert float((one - two).abs().mean()) > 1e-3


def test_with_prosody_fixed_a_step_does_not_depend_on_its_own_and_later_true_frames(base: Base) -> None:
    model = base.acoustic
    batch = batch_of(base, random_example(base, SENTENCES[1], seed=0))
    cache = model.precompute(batch, ["decoder"])
    changed = batch.mel.clone()
    start = 4 * model.reduction
    changed[:, start:] += 5.0
    one, two = model(batch, cache).mel_before, model(replace(batch, mel=changed), cache).mel_before
    assert torch.equal(one[:, : start + model.reduction], two[:, : start + model.reduction])
    assert not torch.allclose(one[:, start + model.reduction :], two[:, start + model.reduction :])


def test_padding_of_a_batch_changes_nothing_inside_a_sentence(base: Base) -> None:
    examples = [random_example(base, s, seed=n, speaker=("ann", "ben")[n % 2]) for n, s in enumerate(SENTENCES)]
    together = base.acoustic(batch_of(base, *examples))
    for number, example in enumerate(examples):
        alone = base.acoustic(batch_of(base, example))
        frames, symbols = len(example.mel), len(example.tokens)
        for name, size in (("mel", frames), ("mel_before", frames)):
            one, two = getattr(together, name)[number, :size], getattr(alone, name)[0, :size]
            torch.testing.assert_close(one, two, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
        for name in ("log_durations", "prosody", "true_prosody"):
            one, two = (getattr(output.encoder_output, name) for output in (together, alone))
            one, two = one[number, :symbols], two[0, :symbols]
            torch.testing.assert_close(one, two, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_values_in_the_padding_do_not_matter(base: Base) -> None:
    examples = [random_example(base, s, seed=n) for n, s in enumerate(SENTENCES)]
    batch = batch_of(base, *examples)
    outside = torch.arange(batch.mel.shape[1]) >= batch.mel_lengths[:, None]
    dirty = replace(batch, mel=torch.where(outside.unsqueeze(-1), 7.0, batch.mel))
    one, two = base.acoustic(batch), base.acoustic(dirty)
    for number, example in enumerate(examples):
        frames = len(example.mel)
        torch.testing.assert_close(one.mel[number, :frames], two.mel[number, :frames], atol=1e-5, rtol=0)
    assert float(acoustic_loss(base.acoustic, one, batch).nll) == pytest.approx(
        float(acoustic_loss(base.acoustic, two, dirty).nll), rel=1e-6
    )


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 4.0])
def test_speed_divides_the_number_of_frames(base: Base, speed: float) -> None:
    tokens = base.symbols.encode(SENTENCES[3])
    normal, changed = (base.acoustic.generate(tokens, options=SynthesisOptions(speed=s)) for s in (1.0, speed))
    assert len(normal) > 40
    assert abs(len(changed) - len(normal) / speed) <= 0.5 + 0.5 / speed


def test_rounded_durations_stay_within_a_frame_of_the_prediction_at_every_symbol(base: Base) -> None:
    model = base.acoustic
    tokens = base.symbols.encode(SENTENCES[3])
    encoded = model.encode(tokens[None], torch.tensor([len(tokens)]), torch.tensor([-1]))
    mask = torch.ones(1, len(tokens), dtype=torch.bool)
    log_durations, _ = model.duration(encoded, mask)
    exact = log_durations.expm1().clamp(min=0)
    assert float((round_durations(log_durations, mask).cumsum(1) - exact.cumsum(1)).abs().max()) <= 0.51


@pytest.mark.parametrize(("mean_frames", "chunk"), [(7, 5), (20, 1), (1000, 256)])
def test_streamed_frames_equal_generated_frames(base: Base, mean_frames: int, chunk: int) -> None:
    model, tokens = copy.deepcopy(base.acoustic), base.symbols.encode(" ".join(SENTENCES))
    model.postfilter.mean_frames = mean_frames
    model.postfilter.gain.copy_(torch.linspace(0.8, 1.5, 80))
    mel, parts = model.generate(tokens), [*model.stream(tokens, chunk=chunk)]
    assert len(mel) > 60
    torch.testing.assert_close(torch.cat(parts), mel, atol=1e-4, rtol=0)
    if mean_frames > len(mel):
        assert len(parts) == 1
    else:
        lengths = [len(part) for part in parts]
        assert mean_frames <= lengths[0] < mean_frames + model.reduction
        assert all(chunk <= length < chunk + model.reduction for length in lengths[1:-1])


def test_sentences_generated_in_a_batch_equal_those_generated_alone(base: Base) -> None:
    sentences = [base.symbols.encode(sentence) for sentence in SENTENCES]
    options = SynthesisOptions(speed=0.8, pitch=2.0)
    for together, one in zip(base.acoustic.generate_batch(sentences, 1, options), sentences, strict=True):
        torch.testing.assert_close(together, base.acoustic.generate(one, 1, options=options), atol=1e-4, rtol=0)


def test_a_sentence_with_a_predicted_duration_of_zero_has_one_frame() -> None:
    base = tiny_base()
    with torch.no_grad():
        base.acoustic.duration.output.bias.fill_(-9.0)
    assert base.acoustic.generate(base.symbols.encode("ab")).shape == (1, 80)


def test_pitch_and_pitch_range_change_the_predicted_prosody(base: Base) -> None:
    model, tokens = base.acoustic, base.symbols.encode(SENTENCES[3])
    durations = torch.full_like(tokens, 3)
    mask = torch.ones(1, len(tokens), dtype=torch.bool)
    encoded = model.encode(tokens[None], torch.tensor([len(tokens)]), torch.tensor([-1]))
    changed = change_prosody(model.prosody(encoded, mask)[0], semitones=3.0, pitch_range=0.5)
    expected, options = (
        model.generate(tokens, durations=durations, prosody=changed),
        SynthesisOptions(pitch=3.0, pitch_range=0.5),
    )
    torch.testing.assert_close(model.generate(tokens, durations=durations, options=options), expected)
    assert not torch.allclose(model.generate(tokens, durations=durations), expected, atol=1e-3)


def test_prenet_dropout_at_generation_is_drawn_from_the_seed(base: Base) -> None:
    tokens = base.symbols.encode(SENTENCES[0])

    def generate(seed: int, dropout: float) -> Tensor:
        return base.acoustic.generate(tokens, options=SynthesisOptions(prenet_dropout=dropout, seed=seed))

    before = torch.get_rng_state()
    assert torch.equal(generate(1, 0.5), generate(1, 0.5)) and not torch.equal(generate(1, 0.5), generate(2, 0.5))
    assert torch.equal(generate(1, 0.0), generate(2, 0.0))
    assert torch.equal(torch.get_rng_state(), before), "the global random state does not change"


def test_speakers_differ_from_each_other_and_from_the_mean_voice(base: Base) -> None:
    tokens = base.symbols.encode(SENTENCES[0])
    durations = torch.full_like(tokens, 3)
    mels = [base.acoustic.generate(tokens, speaker, durations) for speaker in (-1, 0, 1)]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(mels[one], mels[two])


def test_centring_keeps_every_speaker_and_sets_the_mean_voice_to_their_mean() -> None:
    speaker = tiny_base().acoustic.speaker
    with torch.no_grad():
        speaker.offsets += 3.0
    index = torch.tensor([0, 1])
    before = speaker(index)
    speaker.centre()
    torch.testing.assert_close(speaker(index), before)
    torch.testing.assert_close(speaker(torch.tensor([-1]))[0], before.mean(0))


def test_functional_call_through_the_recurrent_layers_equals_the_module(base: Base) -> None:
    model = base.acoustic
    batch = batch_of(base, *(random_example(base, s, seed=n) for n, s in enumerate(SENTENCES[:2])))
    params = {name: value.detach() for name, value in model.named_parameters()}
    assert torch.equal(functional_call(model, params, (batch,)).mel, model(batch).mel)
    # functional_call uses the given values, and the parameters of the module do not change.
    moved = {name: value + 0.05 for name, value in params.items()}
    other = tiny_base(reduction=model.reduction).acoustic
    other.load_state_dict(model.state_dict() | moved)
    torch.testing.assert_close(functional_call(model, moved, (batch,)).mel, other(batch).mel, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(other(batch).mel, model(batch).mel, atol=1e-2)
    assert all(torch.equal(value, params[name]) for name, value in model.named_parameters())


def test_gradients_through_functional_call_equal_those_of_the_module(base: Base) -> None:
    model = base.acoustic
    batch = batch_of(base, *(random_example(base, s, seed=n) for n, s in enumerate(SENTENCES[:2])))

    params = {name: value.clone().requires_grad_() for name, value in model.named_parameters()}
    nll = acoustic_loss(model, functional_call(model, params, (batch,)), batch).nll
    through = torch.autograd.grad(nll, list(params.values()), materialize_grads=True)
    twin = tiny_base(reduction=model.reduction).acoustic.requires_grad_(True)
    twin.load_state_dict(model.state_dict())
    acoustic_loss(twin, twin(batch), batch).nll.backward()
    scales = {"mel_log_scale", "duration_log_scale", "prosody_log_scale"}  # only the loss reads them, not the call
    for (name, parameter), gradient in zip(twin.named_parameters(), through, strict=True):
        if name not in scales:
            assert parameter.grad is not None and float(gradient.abs().max()) > 0, name
            torch.testing.assert_close(gradient, parameter.grad, atol=1e-3, rtol=1e-3)


def test_a_decoder_step_uses_one_thread_and_restores_the_number_of_threads(base: Base) -> None:
    thread_counts = []
    handle = base.acoustic.decoder.prenet[0].register_forward_hook(
        lambda *_: thread_counts.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for _ in base.acoustic.decoder.generate(torch.zeros(1, 4, base.config.acoustic.encoder.channels)):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
        handle.remove()
    assert thread_counts == [1] * 4


@pytest.mark.skipif(not HAS_HALF_PRODUCT, reason="this torch has no product with half-precision weights")
def test_half_precision_weights_give_the_same_frames(base: Base) -> None:
    model = copy.deepcopy(base.acoustic).half().float()
    tokens = base.encode(SENTENCES[0])
    full = model.generate(tokens)
    model.decoder.half_weights = True
    torch.testing.assert_close(model.generate(tokens), full, atol=1e-4, rtol=1e-4)
    assert torch.equal(torch.cat(list(model.stream(tokens))), model.generate(tokens))
    with torch.no_grad():
        model.decoder.output.weight.add_(0.01 * model.decoder.output.weight)
    assert not torch.equal(model.generate(tokens), full), "weights are read in each call"


@pytest.mark.parametrize("adapted", ["bias", "weight", "neither"])
def test_a_convolution_with_frozen_weights_has_the_same_output_and_gradients(adapted: str) -> None:
    """The convolution of a frozen weight has another layout in memory and adds its bias separately."""
    generator = torch.Generator().manual_seed(0)
    conv, hidden = nn.Conv1d(6, 8, 5, padding=2), torch.randn(3, 11, 6, generator=generator, requires_grad=True)
    mask, weights = length_mask(torch.tensor([11, 4, 7]), 11), torch.randn(3, 11, 8, generator=generator)
    assert conv.bias is not None
    conv.weight.requires_grad_(adapted == "weight")
    conv.bias.requires_grad_(adapted != "neither")
    wanted = [hidden, *(parameter for parameter in conv.parameters() if parameter.requires_grad)]
    expected = conv(torch.where(mask.unsqueeze(-1), hidden, 0.0).transpose(1, 2)).transpose(1, 2)
    outputs = masked_conv(conv, hidden, mask), expected
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=0)
    gradients = [torch.autograd.grad((output * weights).sum(), wanted) for output in outputs]
    for fast, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, reference, atol=1e-5, rtol=1e-5)


def test_a_layer_that_wraps_a_convolution_is_called() -> None:
    """An adapter has a frozen weight, but computes another function."""

    class Doubled(nn.Conv1d):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    conv = Doubled(2, 3, 3, padding=1).requires_grad_(False)
    hidden, mask = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0)), torch.ones(1, 5, dtype=torch.bool)
    torch.testing.assert_close(masked_conv(conv, hidden, mask), conv(hidden.transpose(1, 2)).transpose(1, 2))
