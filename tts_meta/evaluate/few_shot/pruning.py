"""Pruning experiment: scores voices in which fewer modules adapt, chosen by σ, by size of change, or at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from tts_meta.adapt import Voice, adaptable_modules
from tts_meta.errors import TtsMetaError
from tts_meta.evaluate.few_shot.benchmark import FewShotBenchmark, FewShotResults, run_few_shot
from tts_meta.models.pretrained import Base
from tts_meta.models.vocoders.vocoder import Vocoder

RelativeChanges = Callable[[Sequence[Voice]], Mapping[str, float]]
"""Function that returns the size of each module's change in voices, relative to the weights of the module.

Modules that did not change are absent.
"""
BY_SIGMA = "σ"
"""Name of the order by σ."""


def module_orders(base: Base, changes: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Return the names of all modules in three orders: by σ, by size of change, and random.

    The modules to keep come first. Raises TtsMetaError if the base has no learned prior.
    """
    if base.prior is None:
        raise TtsMetaError(f"{base.folder} has no learned prior to order modules by; make one with tts-meta meta-train")
    names, variances = list(adaptable_modules(base).names), base.prior.variances
    return {
        BY_SIGMA: sorted(names, key=lambda name: -variances.get(name, 0.0)),
        "change": sorted(names, key=lambda name: -changes.get(name, 0.0)),
        "random": random.Random(seed).sample(names, len(names)),
    }


def pruned_name(order: str, count: int) -> str:
    """Return the name of the method that adapts the first `count` modules of an order."""
    return f"{order}: {count}"


def order_and_count(method: str) -> tuple[str, int] | None:
    """Return the order and the number of modules in a name of `pruned_name`; None for another method."""
    order, separator, count = method.rpartition(": ")
    return (order, int(count)) if separator and count.isdigit() else None


def prune(
    recipe: FewShotBenchmark,
    keep: Sequence[int],
    base: Base,
    vocoder: Vocoder,
    relative_changes: RelativeChanges,
    report: Callable[[str], None],
    keep_others: Sequence[int] = (),
) -> FewShotResults:
    """Run the first method of the recipe with all its modules, then with fewer modules, and return the results.

    keep: numbers of modules. For each number and each order of `module_orders`, a method adapts the first modules
    only. These methods have the names of `pruned_name`. keep_others: numbers of modules of the orders other than that
    of σ; those of `keep` if empty. The other methods of the recipe run unchanged. Raises the errors of `module_orders`
    and `run_few_shot`.
    """
    name, method = next(iter(recipe.learners.items()))
    learned = method.with_prior(base)
    module_orders(learned, {}, recipe.seed)  # without a prior the command stops before any work
    all_modules = run_few_shot(recipe.model_copy(update={"learners": {name: method}}), base, vocoder, report).trials
    changes = relative_changes([Voice.load(trial.voice_file) for trial in all_modules])
    methods = {name: method}
    for order, modules in module_orders(learned, changes, recipe.seed).items():
        for count in keep if order == BY_SIGMA else keep_others or keep:
            methods[pruned_name(order, count)] = method.model_copy(update={"modules": tuple(modules[:count])})
    return run_few_shot(recipe.model_copy(update={"learners": methods | recipe.learners}), base, vocoder, report)
