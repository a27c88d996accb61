"""`LearnerSettings`: the hyperparameters of a meta-learner."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tts_meta.config import Section
from tts_meta.meta.hvp import HessianName
from tts_meta.meta.prior import HyperpriorName


class LearnerSettings(Section):
    """Hyperparameters of a learner. Hyperparameters that the learner's preset does not use are ignored."""

    inner_solver: Literal["gd", "adam"] = "gd"
    """Solver of the inner loop; proximal if there is a prior."""
    inner_steps: int = Field(default=5, ge=0)
    """Inner steps during meta-training."""
    inner_lr: float = Field(default=0.01, gt=0)
    """Inner step size η; the initial value if step sizes are learned."""
    inner_lr_final_fraction: float = Field(default=1.0, ge=0, le=1)
    """η decays linearly over an inner loop to this fraction of its value. The decay reduces the noise of the steps."""
    scale_lr_by_sigma: bool = False
    """Multiply η by each module's σ, so that modules that vary more take longer steps. Needs implicit gradients."""
    variance: float = Field(default=1.0, gt=0)
    """σ² of every module: constant for `imaml`, the initial value for learners with the prefix `sigma-`."""
    outer_solver: Literal["adam", "sgd"] = "adam"
    """Optimiser of the meta-parameters."""
    outer_lr: float = Field(default=1e-3, ge=0)
    """Learning rate of φ and of the shared parameters; 0 keeps them constant."""
    variance_lr: float = Field(default=0.05, ge=0)
    """Learning rate of log σ²."""
    step_lr: float = Field(default=1e-3, ge=0)
    """Learning rate of the learned inner step sizes."""
    outer_lr_final_fraction: float = Field(default=1.0, ge=0, le=1)
    """Fraction of the outer learning rates at the last meta-step; cosine decay."""
    clip: float = Field(default=0.0, ge=0)
    """Maximum norm of the gradient of φ and the shared parameters together; 0 does not clip."""
    hyperprior: HyperpriorName = "flat"
    """Prior of each σ."""
    hyperprior_scale: float = Field(default=1.0, gt=0)
    """Scale of the hyperprior."""
    linear_solver: Literal["cg", "neumann"] = "cg"
    """Linear solver of implicit gradients."""
    cg_max_iters: int = Field(default=50, gt=0)
    """Maximum number of Hessian products per meta-step, for both linear solvers."""
    tolerance: float = Field(default=1e-3, gt=0)
    """Relative residual at which the linear solver stops."""
    hessian: HessianName = "exact"
    """Hessian products by double backward (`exact`), or by differences, for layers without a second derivative."""
    centred: bool = False
    """Whether implicit gradients use the centred form."""
    multi_step_loss_fraction: float = Field(default=0.3, ge=0, le=1)
    """Fraction of meta-training in which `maml++` anneals from the losses of all steps to that of the last step."""
    first_order_fraction: float = Field(default=0.2, ge=0, le=1)
    """Fraction of meta-training at its start in which `maml++` uses first-order gradients."""
    hypergradient_lr: float = Field(default=0.02, ge=0, lt=1)
    """Relative change of the outer learning rate of `alpha-maml` per meta-step, at a cosine of 1."""
