"""The fused LSTM over padded sequences equals an LSTM over a packed batch, and so do its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tts_meta.models.conv_blocks import length_mask
from tts_meta.models.masked_lstm import MaskedLSTM


def packed(lstm: nn.LSTM, hidden: Tensor, lengths: Tensor) -> Tensor:
    """Outputs of torch's own LSTM over a packed batch, with zeros in the padding."""
    batch = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(nn.LSTM.forward(lstm, batch)[0], batch_first=True, total_length=hidden.shape[1])[0]


@pytest.mark.parametrize("lengths", [[7, 3, 9, 1], [9, 9, 9], [4, 6]], ids=str)
def test_output_and_gradients_equal_those_of_a_packed_batch(lengths: list[int]) -> None:
    size, count = max(9, *lengths), torch.tensor(lengths)
    lstm = MaskedLSTM(12, 10)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    hidden = torch.randn(len(lengths), size, 12, generator=generator, requires_grad=True)
    weights = torch.randn(len(lengths), size, 20, generator=generator)
    wanted = (hidden, *lstm.parameters())
    mask = length_mask(count, size)
    outputs = lstm(hidden, mask), packed(lstm, hidden, count)
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=0)
    assert not outputs[0][~mask].any()
    gradients = [torch.autograd.grad((output * weights).sum(), wanted) for output in outputs]
    for fused, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, reference, atol=1e-4, rtol=1e-5)


def test_values_in_the_padding_have_no_effect() -> None:
    lstm, mask = MaskedLSTM(4, 3), length_mask(torch.tensor([2, 5]), 5)
    hidden = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    changed = torch.where(mask.unsqueeze(-1), hidden, 50.0)
    assert torch.equal(lstm(hidden, mask), lstm(changed, mask))
