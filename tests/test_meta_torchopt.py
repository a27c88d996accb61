"""Implicit meta-gradients against those of another library, TorchOpt's `custom_root`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toy_domains import Net, likelihood_of, regression_loss, regression_task
from toy_gradients import EXACT, maximum_a_posteriori, meta_of

from tts_meta.meta import Implicit, ShrinkagePrior

torchopt = pytest.importorskip("torchopt", reason="TorchOpt comes with the test extra")


# TorchOpt 0.7.3 calls functions of torch by their old names.
@pytest.mark.filterwarnings("ignore:We've integrated functorch into PyTorch:FutureWarning")
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("adapted", [None, ("first", "head")])
def test_torchopt_gives_the_same_implicit_gradients(adapted: tuple[str, ...] | None, centred: bool) -> None:
    likelihood = likelihood_of(Net(), regression_loss, adapted)
    task = regression_task(5)
    meta = meta_of(likelihood, torch.tensor([-2.0, -3.0, -1.5, -3.5])[: len(likelihood.adapted.modules)])
    solution = maximum_a_posteriori(likelihood, meta, [task])[0]

    def objective(delta: Tensor, phi: Tensor, shared: Tensor, log_variances: Tensor) -> Tensor:
        nll = likelihood.nll((phi + delta)[None], shared, [task.support])[0]
        return nll + ShrinkagePrior(likelihood.adapted, log_variances).penalty(delta)

    @torchopt.diff.implicit.custom_root(
        torch.func.grad(objective),
        argnums=(1, 2, 3),
        solve=torchopt.linear_solve.solve_cg(maxiter=500, rtol=1e-12),
    )
    def run_inner_loop(start: Tensor, phi: Tensor, shared: Tensor, log_variances: Tensor) -> Tensor:
        return solution.clone()

    leaves = [value.clone().requires_grad_() for value in (meta.adapted, meta.shared, meta.log_variances)]
    delta = run_inner_loop(torch.zeros_like(solution), *leaves)
    query = likelihood.nll((leaves[0] + delta)[None], leaves[1], [task.query])[0]
    expected = torch.autograd.grad(query, leaves, materialize_grads=True)
    actual = Implicit(EXACT, centred).at(likelihood, meta, [task], solution[None]).gradient
    for name, gradient in zip(("adapted", "shared", "log_variances"), expected, strict=True):
        torch.testing.assert_close(actual[name], gradient, atol=1e-9, rtol=1e-9)
