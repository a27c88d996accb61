"""Strategies of hypothesis that damage bytes, JSON, tensor files and folders."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import load, save
from valid_files import Files

DEEP: Any = functools.reduce(lambda inner, _: [inner], range(99), 0)
numbers = st.sampled_from([0, -1, 1, 2, 7, 80, 2**31, 2**63, 10**30, 1e308, -0.0, 0.5, float("nan"), float("inf")])
texts = st.sampled_from(["", "a", "\x1b[2J", "\ud800", "\u202e", "a\nb", "\0", "x" * 3000, "é", "NaN", "0", "[]"])
hostile: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    texts,
    st.sampled_from([[], {}, [[]], [1], ["a", "a"], {"a": 1}, {"": None}, DEEP]),
)


@st.composite
def damaged_bytes(draw: st.DrawFn, valid: Callable[[], bytes]) -> bytes:
    """Bytes flipped, cut out, repeated, or cut off."""
    content = bytearray(valid())
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["flip", "flip", "set", "cut", "remove", "repeat"]))
        size = draw(st.integers(1, 64))
        if kind == "flip" and content:
            content[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and content:
            content[position] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[position:]
        elif kind == "remove":
            del content[position : position + size]
        else:
            content[position:position] = content[position : position + size]
    return bytes(content)


@st.composite
def damaged_data(draw: st.DrawFn, valid: Callable[[], Any]) -> Any:
    """Plain data with a few values replaced, removed or added."""
    data = valid()
    for _ in range(draw(st.integers(1, 3))):
        parent: Any = None
        key: Any = None
        value = data
        while isinstance(value, dict | list) and value and (parent is None or draw(st.integers(0, 3))):
            key = draw(st.sampled_from(sorted(value, key=str) if isinstance(value, dict) else range(len(value))))
            parent, value = value, value[key]
        if parent is None:
            data = copy.deepcopy(draw(hostile))
        elif isinstance(parent, dict) and draw(st.integers(0, 5)) == 0:
            del parent[key]
        elif isinstance(parent, dict) and draw(st.integers(0, 5)) == 0:
            parent[draw(texts)] = copy.deepcopy(draw(hostile))
        else:
            parent[key] = copy.deepcopy(draw(hostile))
    return data


@st.composite
def damaged_json(draw: st.DrawFn, valid: Callable[[], bytes]) -> bytes:
    """A JSON file with other values, or other bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged_bytes(valid))
    text = json.dumps(draw(damaged_data(lambda: json.loads(valid()))))
    return (text + draw(st.sampled_from(["", "", "", "x", "{}"]))).encode("utf-8", "replace")


shapes = st.sampled_from([(), (0,), (1,), (6,), (80,), (0, 5), (2, 3), (1, 300), (300, 1), (240, 36), (64, 16)])
dtypes = st.sampled_from(
    [torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64, torch.bool]
)
fills = st.sampled_from([0.0, 1.0, -1.0, 30.0, 6e4, -6e4, 1e30, float("nan"), float("inf")])


@st.composite
def damaged_tensors(draw: st.DrawFn, make: Callable[[], bytes]) -> bytes:
    """A file of tensors with other bytes, other metadata, or tensors of other shapes, types and values."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged_bytes(make))
    valid = make()
    size = int.from_bytes(valid[:8], "little")
    metadata: dict[str, Any] = json.loads(valid[8 : 8 + size]).get("__metadata__", {})
    tensors = load(valid)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(tensors)))
        kind = draw(st.sampled_from(["value", "all", "type", "shape", "remove", "rename"]))
        fill = draw(fills)
        if kind == "value" and tensors[name].numel() and tensors[name].is_floating_point():
            tensors[name] = tensors[name].clone()
            tensors[name].view(-1)[draw(st.integers(0, tensors[name].numel() - 1))] = fill
        elif kind == "all":
            filled = torch.full(tensors[name].shape, fill, dtype=torch.float64)
            tensors[name] = filled.to(tensors[name].dtype)
        elif kind == "type":
            tensors[name] = tensors[name].to(draw(dtypes))
        elif kind == "shape":
            tensors[name] = torch.zeros(draw(shapes), dtype=draw(dtypes))
        elif len(tensors) > 1:
            value = tensors.pop(name)
            if kind == "rename":
                tensors[name + draw(st.sampled_from([":up", ":scales", ":down", "x", "\n"]))] = value
    for _ in range(draw(st.integers(0, 2))):
        if not metadata:
            break
        name = draw(st.sampled_from(sorted(metadata)))
        metadata[name] = draw(st.one_of(_metadata_value(str(metadata[name])), hostile.map(json.dumps), texts))
    content = save(tensors)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]) | {"__metadata__": metadata}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + int.from_bytes(content[:8], "little") :]


def _metadata_value(value: str) -> st.SearchStrategy[str]:
    """Other values of what may be JSON."""
    try:
        json.loads(value)
    except ValueError:
        return texts
    return damaged_data(lambda: json.loads(value)).map(json.dumps)


def damaged_file(name: str, files: Callable[[], Files]) -> st.SearchStrategy[bytes]:
    def content() -> bytes:
        return files()[name]

    if name.endswith(".json"):
        return damaged_json(content)
    return damaged_tensors(content) if name.endswith(".safetensors") else damaged_bytes(content)


_SEALS = {"model.safetensors": ("state.json", "sha256"), "learner.safetensors": ("learner.json", "tensors_hash")}
"""File and key of the SHA-256 of each file of tensors."""


@st.composite
def damaged_folder(draw: st.DrawFn, valid: Callable[[], Files], sealed: bool = False) -> Files:
    """One file of a folder damaged or removed; `sealed` writes the SHA-256 of damaged tensors into the JSON file."""
    files = dict(valid())
    name = draw(st.sampled_from(sorted(files)))
    files[name] = draw(damaged_file(name, valid))
    if sealed and name in _SEALS:
        (state, key), digest = _SEALS[name], hashlib.sha256(files[name]).hexdigest()
        files[state] = json.dumps(json.loads(files[state]) | {key: digest}).encode()
    elif draw(st.integers(0, 9)) == 0:
        del files[name]
    return files
