"""`OneModule`: regressions by one network of which a single module differs between tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from recipes.toy_benchmark import gaussian_loss, split_tasks
from tts_meta.config import Section
from tts_meta.meta import Task
from tts_meta.meta.domain import LossFunction


class Net(nn.Module):
    """Two hidden layers with tanh; `gain` scales the values of the first. Modules: `gain`, `first`, `second`, `head`.

    One value of the gain corresponds to a column of `second`. `first` and `head` can nearly replace it.
    """

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, inputs)` to `(N, outputs)`."""
        return self.head(torch.tanh(self.second(self.gain * torch.tanh(self.first(x)))))


class OneModule(Section):
    """Tasks that differ in one module of the true network."""

    varies: str
    """The module that is redrawn for each task: normal around the parameters of the true network."""
    deviation: float = Field(gt=0)
    """Standard deviation of these parameters."""
    inputs: int = Field(default=2, gt=0)
    """Number of inputs, which are uniform between -2 and 2."""
    width: int = Field(default=8, gt=0)
    """Units of each hidden layer."""
    outputs: int = Field(default=2, gt=0)
    """Number of outputs."""
    points: int = Field(default=10, gt=0)
    """Support points of a task; the query has the same number."""
    noise: float = Field(default=0.3, gt=0)
    """Standard deviation of the noise, known to the likelihood."""
    truth: int = 7
    """Seed of the true network."""

    @property
    def roles(self) -> Mapping[str, Sequence[str]]:
        """The head of ANIL is the last layer; the context is the gain, as in FiLM (Perez et al. 2018)."""
        return {"head": ["head"], "context": ["gain"]}

    @property
    def loss(self) -> LossFunction:
        return gaussian_loss(self.noise)

    def model(self, seed: int) -> nn.Module:
        """An untrained network, different from the true network."""
        torch.manual_seed(seed)
        return Net(self.inputs, self.width, self.outputs)

    def true_model(self) -> Net:
        """The network of which each task changes one module."""
        generator = torch.Generator().manual_seed(self.truth)
        net = Net(self.inputs, self.width, self.outputs)
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name != "gain":
                    # The weights are large enough for tanh to be nonlinear; large biases make the units differ.
                    size = 1.5 if name.startswith("first") else 1.5 / self.width**0.5
                    parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
        return net

    def parameters(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """True parameters of `count` tasks by name, with a leading axis T."""
        params = {}
        for name, value in self.true_model().named_parameters():
            params[name] = value.detach().expand(count, *value.shape)
            if name.split(".")[0] == self.varies:
                params[name] = params[name] + self.deviation * torch.randn(params[name].shape, generator=generator)
        return params

    def tasks(self, count: int, seed: int) -> list[Task]:
        """Tasks drawn at random; the same seed gives the same tasks."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(count, 2 * self.points, self.inputs, generator=generator) * 4 - 2
        net = self.true_model()
        with torch.no_grad():
            params = self.parameters(count, generator)
            y = torch.func.vmap(lambda p, rows: functional_call(net, p, (rows,)))(params, x)
            y = y + self.noise * torch.randn(y.shape, generator=generator)
        return split_tasks(x, y, self.points)
