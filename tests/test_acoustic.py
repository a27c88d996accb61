from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from helpers import batch_of, random_example, randomise, tiny_base
from torch import Tensor
from torch.func import functional_call

from tts_meta.corpus import Example
from tts_meta.models.acoustic import round_durations
from tts_meta.models.layers import HALF_AT_HAND, upsample
from tts_meta.models.losses import acoustic_loss
from tts_meta.models.pretrained import Base
from tts_meta.models.prosody import change_prosody, measure_prosody
from tts_meta.models.synthesis_options import SynthesisOptions

SENTENCES = ["abc de.", "hgf, edcba abc!", "ab", "cab bed fed, gab head ha?"]


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda value: f"R={value}")
def base(request: pytest.FixtureRequest) -> Base:
    """With weights moved from their initial values, so that the decoder listens to its own past."""
    base = tiny_base(reduction=request.param)
    randomise(base.acoustic, seed=1)
    return base


def fed_with_its_own_output(base: Base, example: Example) -> Tensor:
    """Teacher-forced frames `(T, M)` where every step saw the model's own frame before it, and the example's prosody.

    Step s hangs on steps before s only, so that feeding the output back once a step reaches the fixed point.
    """
    model = base.acoustic
    batch = batch_of(base, example)
    known = model.precompute(batch, ["decoder"])
    output = model(replace(batch, mel=torch.zeros_like(batch.mel)), known)
    for _ in range(batch.mel.shape[1] // model.reduction):
        output = model(replace(batch, mel=output.mel_before), known)
    return output.mel[0, : len(example.mel)]


@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize("sentence", SENTENCES)
def test_generation_with_cached_state_is_the_teacher_forced_pass_fed_with_its_own_output(
    base: Base, sentence: str, pad: int
) -> None:
    example = random_example(base, sentence, seed=len(sentence), speaker="ben")
    if pad:  # So that the frames fill the last step or do not.
        example.durations[-1] += pad
        example = replace(example, mel=torch.cat([example.mel, example.mel[:pad]]))
    forced = fed_with_its_own_output(base, example)
    prosody = measure_prosody(example.mel[None], example.durations[None], base.config.audio.mel)[0]
    generated = base.acoustic.generate(example.tokens, 1, example.durations, prosody)
    assert generated.shape == forced.shape and float(generated.std()) > 0.1
    torch.testing.assert_close(generated, forced, atol=1e-4, rtol=0)


def test_the_decoder_listens_to_the_frames_before(base: Base) -> None:
    batch = batch_of(base, random_example(base, SENTENCES[1], seed=0))
    known = base.acoustic.precompute(batch, ["decoder"])
    one, two = (base.acoustic(replace(batch, mel=mel), known).mel for mel in (batch.mel, batch.mel + 1.0))
    assert float((one - two).abs().mean()) > 1e-3


def test_a_step_sees_its_own_true_frames_and_later_ones_by_their_prosody_only(base: Base) -> None:
    model = base.acoustic
    batch = batch_of(base, random_example(base, SENTENCES[1], seed=0))
    known = model.precompute(batch, ["decoder"])
    changed = batch.mel.clone()
    start = 4 * model.reduction
    changed[:, start:] += 5.0
    one, two = model(batch, known).mel_before, model(replace(batch, mel=changed), known).mel_before
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
            one, two = getattr(together.symbols, name)[number, :symbols], getattr(alone.symbols, name)[0, :symbols]
            torch.testing.assert_close(one, two, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_what_stands_in_the_padding_changes_nothing(base: Base) -> None:
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


def test_each_step_of_clear_durations_reads_its_own_symbol() -> None:
    encoded = torch.eye(4)[None]
    durations = torch.tensor([[4, 0, 4, 4]])
    mask = torch.tensor([[True, True, True, True]])
    context = upsample(encoded, durations, torch.full((1, 4), 0.3), mask, 6, 2)
    expected = torch.eye(4)[[0, 0, 2, 2, 3, 3]]
    torch.testing.assert_close(context[0].round(), expected)
    assert (context[0, :, 1] == 0).all(), "a symbol of no frames weighs nothing"


def test_upsampling_weights_are_normal_densities_around_the_centres_of_symbols() -> None:
    durations, spread = torch.tensor([[3, 5, 2]]), torch.tensor([[1.0, 2.0, 0.7]])
    weights = upsample(torch.eye(3)[None], durations, spread, torch.ones(1, 3, dtype=torch.bool), 10, 1)[0]
    normal = torch.distributions.Normal(torch.tensor([1.5, 5.5, 9.0]), spread[0])
    density = normal.log_prob(torch.arange(10)[:, None] + 0.5).exp()
    torch.testing.assert_close(weights, density / density.sum(1, keepdim=True))


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 4.0])
def test_pace_divides_the_frames(base: Base, speed: float) -> None:
    tokens = base.symbols.encode(SENTENCES[3])
    whole, paced = base.acoustic.generate(tokens), base.acoustic.generate(tokens, options=SynthesisOptions(speed=speed))
    assert len(whole) > 40
    assert abs(len(paced) - len(whole) / speed) <= 0.5 + 0.5 / speed


def test_rounded_durations_stay_within_a_frame_of_the_prediction_at_every_symbol(base: Base) -> None:
    model = base.acoustic
    tokens = base.symbols.encode(SENTENCES[3])
    encoded = model.encode(tokens[None], torch.tensor([len(tokens)]), torch.tensor([-1]))
    mask = torch.ones(1, len(tokens), dtype=torch.bool)
    log_durations, _ = model.duration(encoded, mask)
    exact = log_durations.expm1().clamp(min=0)
    assert float((round_durations(log_durations, mask).cumsum(1) - exact.cumsum(1)).abs().max()) <= 0.51


@pytest.mark.parametrize(("mean_frames", "chunk"), [(7, 5), (20, 1), (1000, 256)])
def test_frames_come_as_a_stream(base: Base, mean_frames: int, chunk: int) -> None:
    model, tokens = copy.deepcopy(base.acoustic), base.symbols.encode(" ".join(SENTENCES))
    model.postfilter.mean_frames = mean_frames
    model.postfilter.gain.copy_(torch.linspace(0.8, 1.5, 80))
    whole, parts = model.generate(tokens), [*model.stream(tokens, chunk=chunk)]
    assert len(whole) > 60
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=0)
    if mean_frames > len(whole):
        assert len(parts) == 1
    else:
        lengths = [len(part) for part in parts]
        assert mean_frames <= lengths[0] < mean_frames + model.reduction
        assert all(chunk <= length < chunk + model.reduction for length in lengths[1:-1])


def test_sentences_spoken_side_by_side_are_those_spoken_alone(base: Base) -> None:
    sentences = [base.symbols.encode(sentence) for sentence in SENTENCES]
    options = SynthesisOptions(speed=0.8, pitch=2.0)
    for together, one in zip(base.acoustic.generate_batch(sentences, 1, options), sentences, strict=True):
        torch.testing.assert_close(together, base.acoustic.generate(one, 1, options=options), atol=1e-4, rtol=0)


def test_a_sentence_predicted_to_take_no_time_takes_one_frame() -> None:
    base = tiny_base()
    with torch.no_grad():
        base.acoustic.duration.output.bias.fill_(-9.0)
    assert base.acoustic.generate(base.symbols.encode("ab")).shape == (1, 80)


def test_pitch_and_intonation_change_the_prosody_that_is_predicted(base: Base) -> None:
    model, tokens = base.acoustic, base.symbols.encode(SENTENCES[3])
    durations = torch.full_like(tokens, 3)
    mask = torch.ones(1, len(tokens), dtype=torch.bool)
    encoded = model.encode(tokens[None], torch.tensor([len(tokens)]), torch.tensor([-1]))
    changed = change_prosody(model.prosody(encoded, mask)[0], semitones=3.0, pitch_range=0.5)
    given, options = (
        model.generate(tokens, durations=durations, prosody=changed),
        SynthesisOptions(pitch=3.0, pitch_range=0.5),
    )
    torch.testing.assert_close(model.generate(tokens, durations=durations, options=options), given)
    assert not torch.allclose(model.generate(tokens, durations=durations), given, atol=1e-3)


def test_prenet_dropout_at_generation_is_drawn_from_the_seed(base: Base) -> None:
    tokens = base.symbols.encode(SENTENCES[0])

    def say(seed: int, dropout: float) -> Tensor:
        return base.acoustic.generate(tokens, options=SynthesisOptions(prenet_dropout=dropout, seed=seed))

    before = torch.get_rng_state()
    assert torch.equal(say(1, 0.5), say(1, 0.5)) and not torch.equal(say(1, 0.5), say(2, 0.5))
    assert torch.equal(say(1, 0.0), say(2, 0.0))
    assert torch.equal(torch.get_rng_state(), before), "the global random state is not touched"


def test_speakers_differ_and_the_mean_voice_is_none_of_them(base: Base) -> None:
    tokens = base.symbols.encode(SENTENCES[0])
    durations = torch.full_like(tokens, 3)
    mels = [base.acoustic.generate(tokens, speaker, durations) for speaker in (-1, 0, 1)]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(mels[one], mels[two])


def test_centring_speakers_changes_no_speaker_and_makes_the_mean_their_mean() -> None:
    speaker = tiny_base().acoustic.speaker
    with torch.no_grad():
        speaker.offsets += 3.0
    index = torch.tensor([0, 1])
    before = speaker(index)
    speaker.centre()
    torch.testing.assert_close(speaker(index), before)
    torch.testing.assert_close(speaker(torch.tensor([-1]))[0], before.mean(0))


def test_functional_call_through_the_recurrent_layers_is_the_plain_module(base: Base) -> None:
    model = base.acoustic
    batch = batch_of(base, *(random_example(base, s, seed=n) for n, s in enumerate(SENTENCES[:2])))
    params = {name: value.detach() for name, value in model.named_parameters()}
    assert torch.equal(functional_call(model, params, (batch,)).mel, model(batch).mel)
    # Other values are used, as if they were the module's own, and the module's own stay.
    moved = {name: value + 0.05 for name, value in params.items()}
    other = tiny_base(reduction=model.reduction).acoustic
    other.load_state_dict(model.state_dict() | moved)
    torch.testing.assert_close(functional_call(model, moved, (batch,)).mel, other(batch).mel, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(other(batch).mel, model(batch).mel, atol=1e-2)
    assert all(torch.equal(value, params[name]) for name, value in model.named_parameters())


def test_gradients_through_functional_call_are_those_of_the_plain_module(base: Base) -> None:
    model = base.acoustic
    batch = batch_of(base, *(random_example(base, s, seed=n) for n, s in enumerate(SENTENCES[:2])))

    params = {name: value.clone().requires_grad_() for name, value in model.named_parameters()}
    nll = acoustic_loss(model, functional_call(model, params, (batch,)), batch).nll
    through = torch.autograd.grad(nll, list(params.values()), materialize_grads=True)
    plain = tiny_base(reduction=model.reduction).acoustic.requires_grad_(True)
    plain.load_state_dict(model.state_dict())
    acoustic_loss(plain, plain(batch), batch).nll.backward()
    scales = {"mel_log_scale", "duration_log_scale", "prosody_log_scale"}  # Read by the loss, not by the call.
    for (name, parameter), gradient in zip(plain.named_parameters(), through, strict=True):
        if name not in scales:
            assert parameter.grad is not None and float(gradient.abs().max()) > 0, name
            torch.testing.assert_close(gradient, parameter.grad, atol=1e-3, rtol=1e-3)


def test_the_decoder_computes_on_one_thread_and_leaves_the_others_to_whom_they_belong(base: Base) -> None:
    seen = []
    handle = base.acoustic.decoder.prenet[0].register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for _ in base.acoustic.decoder.generate(torch.zeros(1, 4, base.config.acoustic.encoder.channels)):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
        handle.remove()
    assert seen == [1] * 4


@pytest.mark.skipif(not HALF_AT_HAND, reason="this torch has no products in half precision")
def test_weights_as_files_hold_them_say_the_same_in_half_precision(base: Base) -> None:
    model = copy.deepcopy(base.acoustic).half().float()
    tokens = base.encode(SENTENCES[0])
    whole = model.generate(tokens)
    model.decoder.half_weights = True
    torch.testing.assert_close(model.generate(tokens), whole, atol=1e-4, rtol=1e-4)
    assert torch.equal(torch.cat(list(model.stream(tokens))), model.generate(tokens))
    with torch.no_grad():
        model.decoder.output.weight.add_(0.01 * model.decoder.output.weight)
    assert not torch.equal(model.generate(tokens), whole), "they are read anew each time"
