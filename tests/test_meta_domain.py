"""A model called with a task's parameters: the result of `torch.func.functional_call`, and an unchanged model."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import same_weights
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm
from toy_domains import modules_of, regression_loss, regression_task

from tts_meta.meta import Likelihood, ParameterLayout


class Tied(nn.Module):
    """One weight with two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(1, 1, dtype=torch.float64) for _ in range(2))
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


class Normed(nn.Module):
    """A layer whose weight is computed from its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = weight_norm(nn.Linear(1, 4, dtype=torch.float64))
        self.head = nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(x)))


class Recurrent(nn.Module):
    """A layer that keeps a list of its weights in addition to its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 3, batch_first=True, dtype=torch.float64)
        self.head = nn.Linear(3, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0])


class Failing(Tied):
    """Fails during the call."""

    def forward(self, x: Tensor) -> Tensor:
        raise ZeroDivisionError(self.first(x).shape)


def likelihood_of_first_two(model: nn.Module) -> Likelihood:
    """The first module adapts and the second is shared; other parameters keep the values of the model."""
    first, *rest = modules_of(model)
    return Likelihood(
        model,
        regression_loss,
        ParameterLayout.from_modules(model, [first]),
        ParameterLayout.from_modules(model, rest[:1]),
    )


@pytest.mark.parametrize("make", [Tied, Normed, Recurrent])
def test_a_call_uses_the_tasks_parameters_and_does_not_change_the_model(make: type[nn.Module]) -> None:
    model, (x, y) = make(), regression_task(0).support
    likelihood, before = likelihood_of_first_two(model), copy.deepcopy(model.state_dict())
    identities = {name: id(value) for name, value in model.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    vectors = [
        torch.randn(layout.size, generator=generator, dtype=torch.float64).requires_grad_()
        for layout in (likelihood.adapted, likelihood.shared)
    ]
    params = likelihood.adapted.unflatten(vectors[0]) | likelihood.shared.unflatten(vectors[1])
    expected = regression_loss(lambda data: functional_call(model, params, (data,)), (x, y))
    actual = likelihood.nll(vectors[0][None], vectors[1], [(x, y)])[0]
    torch.testing.assert_close(actual, expected, atol=0, rtol=1e-14)
    gradients, references = torch.autograd.grad(actual, vectors), torch.autograd.grad(expected, vectors)
    for gradient, reference in zip(gradients, references, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-13, rtol=1e-13)
        assert bool(gradient.any())
    assert same_weights(model, before) and {name: id(value) for name, value in model.named_parameters()} == identities
    torch.testing.assert_close(model(x), copy.deepcopy(model)(x), atol=0, rtol=0)


def test_a_model_that_fails_during_a_call_is_restored() -> None:
    model = Failing()
    likelihood, parameters = likelihood_of_first_two(model), list(model.parameters())
    with pytest.raises(ZeroDivisionError):
        likelihood.nll(
            torch.zeros(1, likelihood.adapted.size).double(), torch.zeros(1).double(), [regression_task(0).support]
        )
    assert all(now is before for now, before in zip(model.parameters(), parameters, strict=True))
    assert model.second.weight is model.first.weight
