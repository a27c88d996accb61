"""Parameters as vectors: the position of each parameter, flattening, unflattening and sums over modules."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy_domains import Net, modules_of

from tts_meta.errors import TtsMetaError
from tts_meta.meta import ParameterLayout, Params
from tts_meta.meta.module_selection import select_modules
from tts_meta.meta.parameter_layout import parameter_vector
from tts_meta.models.partition import Module

SHAPES = {"scalar": (), "row": (3,), "square": (2, 2), "cube": (2, 1, 3), "nothing": (0,)}
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}


class Shapes(nn.Module):
    """Parameters with 0 to 3 axes, and an empty one."""

    def __init__(self) -> None:
        super().__init__()
        for name, shape in SHAPES.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape, dtype=torch.float64)))


def module(name: str, *parameters: str) -> Module:
    return Module(name, "test", parameters, 0)


@st.composite
def layouts(draw: st.DrawFn) -> ParameterLayout:
    """Some of the parameters in any order, divided into modules at any position."""
    order = draw(st.permutations(list(SHAPES)))[: draw(st.integers(1, len(SHAPES)))]
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)) - {len(order)})
    edges = itertools.pairwise([0, *cuts, len(order)])
    return ParameterLayout.from_modules(Shapes(), [module(f"m{a}", *order[a:b]) for a, b in edges])


def values_of(layout: ParameterLayout, lead: tuple[int, ...], seed: int) -> Params:
    """Random values in the model's order, which can differ from the layout's."""
    generator = torch.Generator().manual_seed(seed)
    names = [name for name in SHAPES if name in layout.shapes]
    return {n: torch.randn((*lead, *SHAPES[n]), generator=generator, dtype=torch.float64) for n in names}


@given(layouts(), st.sampled_from([(), (1,), (4,)]), st.integers(0, 99))
@settings(max_examples=150)
def test_unflattening_inverts_flattening(layout: ParameterLayout, lead: tuple, seed: int) -> None:
    params = values_of(layout, lead, seed)
    vector = layout.flatten(params)
    assert vector.shape == (*lead, layout.size)
    back = layout.unflatten(vector)
    assert back.keys() == params.keys()
    for name, value in params.items():
        assert torch.equal(back[name], value)
    assert torch.equal(layout.flatten(back), vector)


@given(layouts(), st.integers(0, 99))
@settings(max_examples=50)
def test_modules_are_contiguous_and_in_order(layout: ParameterLayout, seed: int) -> None:
    params = values_of(layout, (), seed)
    expected = torch.cat([params[name].flatten() for names in layout.names for name in names])
    assert torch.equal(layout.flatten(params), expected)
    assert layout.sizes == tuple(sum(SIZES[n] for n in names) for names in layout.names)
    assert layout.size == sum(layout.sizes)


@given(layouts(), st.sampled_from([(), (1,), (4,)]), st.integers(0, 99))
@settings(max_examples=100)
def test_the_sum_of_expanded_values_is_the_value_times_the_size_of_the_module(
    layout: ParameterLayout, lead: tuple, seed: int
) -> None:
    values = torch.randn(len(layout.modules), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expanded = layout.expand_modules(values)
    assert expanded.shape == (layout.size,)
    actual = layout.sum_modules(expanded.expand(*lead, -1))
    torch.testing.assert_close(actual, (values * torch.tensor(layout.sizes)).expand(*lead, -1))


def test_each_module_is_summed_separately_in_every_row() -> None:
    layout = ParameterLayout.from_modules(Shapes(), [module("one", "row", "scalar"), module("two", "square")])
    vector = torch.arange(16, dtype=torch.float64).reshape(2, 8)
    assert layout.sum_modules(vector).tolist() == [[6.0, 22.0], [38.0, 54.0]]


def test_expansion_and_summing_are_differentiable_and_transposes_of_each_other() -> None:
    layout = ParameterLayout.from_modules(
        Shapes(), [module("one", "row", "scalar"), module("two", "square"), module("three", "cube")]
    )
    values = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    weights = torch.arange(14, dtype=torch.float64)
    gradient = torch.autograd.grad((layout.expand_modules(values) * weights).sum(), values)[0]
    torch.testing.assert_close(gradient, layout.sum_modules(weights))


def test_unflattened_tensors_are_views_with_gradients() -> None:
    layout = ParameterLayout.from_modules(Shapes(), [module("one", "square"), module("two", "row")])
    vector = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    parts = layout.unflatten(vector)
    gradient = torch.autograd.grad(parts["row"].square().sum(), vector)[0]
    torch.testing.assert_close(gradient[:, 4:], 2 * vector.detach()[:, 4:])
    assert not gradient[:, :4].any()
    assert parts["square"].data_ptr() == vector.data_ptr()


def test_parameter_vector_copies_the_models_values_in_the_layouts_order() -> None:
    net = Net()
    layout = ParameterLayout.from_modules(net, list(reversed(modules_of(net))))
    vector = parameter_vector(net, layout)
    back = layout.unflatten(vector)
    for name, value in net.named_parameters():
        assert torch.equal(back[name], value)
    vector.zero_()
    assert any(parameter.any() for parameter in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layout_without_modules_gives_an_empty_vector_of_the_models_precision(dtype: torch.dtype) -> None:
    net = Net(dtype)
    layout = ParameterLayout.from_modules(net, [])
    vector = parameter_vector(net, layout)
    assert vector.shape == (0,) and vector.dtype == dtype and layout.size == 0
    assert layout.unflatten(vector) == {}


def test_a_module_without_parameters_is_an_error_that_names_it() -> None:
    with pytest.raises(TtsMetaError, match="module 'hollow' has no parameters"):
        ParameterLayout.from_modules(Shapes(), [module("full", "row"), module("hollow")])


def test_a_parameter_in_two_modules_is_an_error_that_names_all_three() -> None:
    with pytest.raises(TtsMetaError, match="parameter 'row' is in two modules, 'one' and 'two'"):
        ParameterLayout.from_modules(Shapes(), [module("one", "row"), module("two", "square", "row")])


def test_a_parameter_twice_in_one_module_is_an_error() -> None:
    with pytest.raises(TtsMetaError, match="parameter 'row' is in two modules, 'one' and 'one'"):
        ParameterLayout.from_modules(Shapes(), [module("one", "row", "row")])


def test_a_parameter_that_the_model_lacks_is_an_error_that_names_it_and_its_module() -> None:
    with pytest.raises(TtsMetaError, match="parameter 'rwo' of module 'one' is not in the model"):
        ParameterLayout.from_modules(Shapes(), [module("one", "rwo")])


def test_modules_are_matched_by_name_in_the_partitions_order() -> None:
    modules = [module("one", "row"), module("two", "square"), module("three", "cube")]
    assert select_modules(modules, ["three", "one"]) == [modules[0], modules[2]]
    with pytest.raises(TtsMetaError, match="no module 'four' in the partition; modules: one, two, three"):
        select_modules(modules, ["one", "four"])
