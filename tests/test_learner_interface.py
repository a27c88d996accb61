"""The registry of learners, budgets and capabilities: wrong use is one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from faults import error_line
from toy_domains import EVERY, make_learner, net_of, regression_domain, regression_loss, regression_task
from toy_models import SETTINGS

from tts_meta.errors import UsageError
from tts_meta.meta import (
    LEARNERS,
    Adapted,
    Budget,
    MetaLearner,
    Task,
    create_learner,
    find_learner,
    register,
)
from tts_meta.meta.domain import CAPABILITIES
from tts_meta.meta.learner import Observer

ADVICE = "give 1 or more steps; the learner mean-voice makes a voice without adaptation"
TASKS = [regression_task(seed) for seed in range(2)]


@pytest.mark.parametrize("steps", [-1, -100, 2.5, 1.5, "3", None, True, False, float("nan")])
def test_a_budget_that_is_not_a_number_of_steps_is_refused(steps: Any) -> None:
    for call in (lambda: Budget(steps), lambda: Budget.plateau(steps), lambda: Budget(steps=steps)):
        text = error_line(call, UsageError)
        assert text == f"the budget must be an integer number of steps, not {steps!r}; {ADVICE}"


def test_a_budget_of_no_steps_is_refused() -> None:
    for call in (lambda: Budget(0), lambda: Budget.plateau(0), lambda: Budget(np.int64(0))):  # type: ignore[arg-type]
        assert error_line(call, UsageError) == f"a budget of 0 steps does not adapt; {ADVICE}"


def test_a_budget_takes_the_integers_of_numpy() -> None:
    learner = make_learner("sigma-maml", SETTINGS)
    assert len(learner.adapt(TASKS, Budget(np.int64(2))).losses) == 2  # type: ignore[arg-type]


def test_an_unknown_learner_is_named_with_the_known_learners() -> None:
    for call in (lambda: find_learner("leo"), lambda: create_learner("leo", regression_domain())):
        text = error_line(call, UsageError)
        assert text == f"no learner 'leo'; learners: {', '.join(LEARNERS)}"


@pytest.mark.parametrize("name", EVERY)
def test_a_setting_that_the_learner_does_not_use_is_refused_with_the_settings_that_it_uses(name: str) -> None:
    settings = LEARNERS[name].Settings
    for key in ("outer_lr", "hypergradient_lr", "inner_stpes", "variance"):
        if key not in settings.model_fields:
            text = error_line(lambda key=key: create_learner(name, regression_domain(), {key: 1}), UsageError)
            assert text.startswith(f"learner '{name}': unknown key '{key}'")
            assert all(known in text for known in settings.model_fields)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("inner_lr", 0.0, "inner_lr: Input should be greater than 0"),
        ("inner_steps", -1, "inner_steps: Input should be greater than or equal to 0"),
        ("inner_solver", "lbfgs", "inner_solver: Input should be 'gd', 'adam' or 'l-bfgs'"),
        ("variance", True, "variance: must be a number, not true"),
    ],
)
def test_a_setting_with_a_wrong_value_is_named(key: str, value: Any, text: str) -> None:
    actual = error_line(lambda: create_learner("sigma-imaml", regression_domain(), {key: value}), UsageError)
    assert actual == f"learner 'sigma-imaml': {text}"


def test_settings_are_an_instance_of_the_learners_settings_or_plain_data() -> None:
    plain = {"inner_lr": 0.004, "variance": 0.2}
    section = LEARNERS["sigma-maml"].Settings(**plain)
    for settings in (plain, section):
        assert create_learner("sigma-maml", regression_domain(), settings).settings == section
    assert create_learner("maml", regression_domain()).settings == LEARNERS["maml"].Settings()


@pytest.mark.parametrize("capability", [name for name in CAPABILITIES if name != "labels"])
def test_a_domain_without_a_capability_that_the_learner_needs_is_refused(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = register_needing(capability, monkeypatch)
    assert isinstance(create_learner("test-needing", regression_domain()), learner)
    domain = replace(regression_domain(), **{capability: None})
    for call in (lambda: create_learner("test-needing", domain), lambda: learner(domain)):
        text = error_line(call, UsageError)
        assert text == (
            f"learner 'test-needing' needs {CAPABILITIES[capability]} ({capability}); this domain does not have it; "
            "choose another learner"
        )


def register_needing(capability: str, monkeypatch: pytest.MonkeyPatch) -> type[MetaLearner]:
    """Register the learner `test-needing`, which needs a capability, for the time of a test."""
    monkeypatch.setitem(LEARNERS, "test-needing", LEARNERS["maml"])  # removed at the end of the test
    del LEARNERS["test-needing"]

    @register("test-needing", source="a test")
    class Needing(MetaLearner):
        needs = (capability,)

        def adapt(self, tasks: Sequence[Task], budget: Budget, observe: Observer | None = None) -> Adapted:
            return Adapted.without_steps({}, len(tasks))

    return Needing


def test_a_name_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = register_needing("linear_head", monkeypatch)
    assert (learner.name, learner.source, find_learner("test-needing")) == ("test-needing", "a test", learner)
    text = error_line(lambda: register_needing_again("test-needing"), UsageError)
    assert text == "the learner 'test-needing' is already registered; choose another name"
    assert find_learner("test-needing") is learner


def register_needing_again(name: str) -> None:
    register(name, source="another test")(LEARNERS["maml"])


def test_every_learner_names_its_source_and_its_class() -> None:
    for name, learner in LEARNERS.items():
        assert learner.name == name and learner.source and learner.version >= 1
        assert learner.__doc__ and set(learner.needs) <= set(CAPABILITIES)
        assert learner.trainable or not learner.iterative or name == "lora"


def test_the_likelihood_of_a_domain_is_the_loss_of_the_model_with_the_given_parameters() -> None:
    net, (x, y) = net_of(), TASKS[0].support
    params = {"head.bias": torch.tensor([0.7], dtype=torch.float64, requires_grad=True)}
    actual = regression_domain(net).nll(params, (x, y))
    expected = regression_loss(lambda data: net(data) - net.head.bias.detach() + params["head.bias"], (x, y))
    torch.testing.assert_close(actual, expected)
    gradients = [torch.autograd.grad(value, params["head.bias"])[0] for value in (actual, expected)]
    torch.testing.assert_close(*gradients)
    text = error_line(lambda: replace(regression_domain(net), loss=lambda call, data: call(data[0])).nll({}, (x, y)))
    assert text.endswith("it returned (6, 1)")
