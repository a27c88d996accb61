from __future__ import annotations

from tts_meta.models.shrinkage_prior import ModulePrior


def test_an_isotropic_prior_keeps_only_modules_and_rank() -> None:
    prior = ModulePrior({"a": 0.25, "b": 4.0}, {"a": [1.0], "b": [2.0]}, ("a",), 2.0, 3)
    assert prior.isotropic(0.5) == ModulePrior({"a": 0.25, "b": 0.25}, rank=3)


def test_the_strongest_modules_are_the_listed_ones_or_those_of_large_variance() -> None:
    variances = {"a": 0.25, "b": 4.0, "c": 2.0}
    assert ModulePrior(variances, adapted_modules=("a",)).strongest(0.5) == ("a",)
    assert ModulePrior(variances).strongest(0.5) == ("b", "c")
