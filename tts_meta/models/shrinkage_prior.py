"""`ModulePrior`: the learned shrinkage prior of a base or vocoder, one variance σ² per module.

The prior is part of a learner, and stands in the files of the learner (`saved_learner.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tts_meta.models.partition import DEFAULT_GRANULARITY, Granularity


@dataclass(frozen=True)
class ModulePrior:
    """σ² by module name. A module's offset from the meta-parameters has the prior N(0, σ² I).

    sigma_history: σ of each module after each meta-step; empty if it is not known. adapted_modules: the only modules
    that cloning adapts; empty if cloning chooses them by σ². prior_scale: factor of every σ² in cloning.
    adapted_modules and prior_scale are chosen on speakers held out from meta-training. rank: rank of the offsets of
    matrices; 0 means full rank. granularity: size of the modules.
    """

    variances: dict[str, float]
    sigma_history: dict[str, list[float]] = field(default_factory=dict)
    adapted_modules: tuple[str, ...] = ()
    prior_scale: float = 1.0
    rank: int = 0
    granularity: Granularity = DEFAULT_GRANULARITY

    @property
    def sigmas(self) -> dict[str, float]:
        """σ by module name."""
        return {name: variance**0.5 for name, variance in self.variances.items()}

    def strongest(self, fraction: float) -> tuple[str, ...]:
        """Return `adapted_modules` or, if empty, the modules with a σ² of at least `fraction` of the largest σ²."""
        threshold = fraction * max(self.variances.values())
        return self.adapted_modules or tuple(name for name, variance in self.variances.items() if variance >= threshold)

    def isotropic(self, sigma: float) -> ModulePrior:
        """Return a prior with the same σ for every module and a scale of 1, the baseline for one σ per module."""
        return ModulePrior(dict.fromkeys(self.variances, sigma**2), rank=self.rank, granularity=self.granularity)
