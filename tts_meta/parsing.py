"""JSON and YAML to plain data, within limits: files that people share are not trusted.

Both refuse a repeated key, deep nesting, numbers that are not finite or do not fit 64 bits, and characters that control
a terminal. YAML is read as the subset that recipes need: mappings, lists, strings, numbers, true, false and null, with
anchors only where they cannot make the data larger than the text.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

MAX_DEPTH = 32
"""Levels of nesting."""
MAX_JSON_BYTES, MAX_YAML_BYTES = 2_000_000, 100_000
MAX_NODES = 100_000
"""Values in a YAML file, those of repeated anchors counted each time."""
_MAX_INTEGER = 2**63 - 1
_MAX_SHOWN = 200
"""Characters of a name or a reason that a message shows."""
# Controls of C0 and C1, line and paragraph separators, overrides of the writing direction, lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class ParseError(ValueError):
    """The text is not what it should be. The message is one printable line without the file's name."""


def parse_json(content: str | bytes, lines: bool = False, most: int = MAX_JSON_BYTES) -> Any:
    """Read JSON (RFC 8259), at most `most` bytes. `lines` allows line feeds and tabs in strings. Raises ParseError."""
    if len(content) > most:
        raise ParseError(f"more than {most // 1_000_000} MB of JSON")
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        data = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_not_finite,
        )
    except ParseError:
        raise
    except RecursionError as error:
        raise ParseError(f"nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise ParseError(f"not JSON: {printable(str(error))}") from error
    check_plain(data, lines)
    return data


def parse_yaml(content: str | bytes) -> Any:
    """Read YAML, or None where there is nothing in it. Raises ParseError."""
    if len(content) > MAX_YAML_BYTES:
        raise ParseError(f"more than {MAX_YAML_BYTES // 1000} kB of YAML")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        _check_events(yaml.parse(text, Loader=_Loader))
        data = yaml.load(text, Loader=_Loader)
    except ParseError:
        raise
    except Exception as error:  # besides YAMLError its constructors raise what a conversion of a tagged value does
        raise ParseError(f"not YAML: {printable(str(error))}") from error
    check_plain(data, lines=True)
    return data


def printable(text: str, most: int = _MAX_SHOWN) -> str:
    """A text as one line without control characters, cut after `most` characters."""
    line = _CONTROL.sub("?", " ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def is_printable(text: str, lines: bool = False) -> bool:
    """Whether a text holds no control character; `lines` allows line feeds and tabs."""
    return all(lines and found.group() in "\n\t" for found in _CONTROL.finditer(text))


def check_plain(data: object, lines: bool = False) -> None:
    """Raise ParseError where plain data is nested too deeply or holds a number or text that is refused."""
    waiting: list[tuple[object, int]] = [(data, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ParseError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            waiting += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            if not is_printable(value, lines):
                raise ParseError(f"a text holds a control character ('{printable(value, 60)}')")
        elif isinstance(value, float) and not math.isfinite(value):
            _not_finite(str(value))
        elif isinstance(value, int) and abs(value) > _MAX_INTEGER:
            raise ParseError("a number does not fit 64 bits")


def first_fault(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first fault that pydantic found, as one line; an unknown key is shown with the valid ones."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = printable(".".join(str(part) for part in fault["loc"]))
    if fault["type"] != "extra_forbidden":
        message = printable(fault["msg"].removeprefix("Value error, "))
        return f"{place}: {message}" if place else message
    valid = sorted(_model_at(kind, fault["loc"][:-1]).model_fields)
    close = difflib.get_close_matches(str(fault["loc"][-1])[:_MAX_SHOWN], valid, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown key '{place}'; {hint}valid here: {', '.join(valid)}"


def _model_at(kind: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that a place in the data belongs to: fields, and what lies in mappings and lists of models."""
    for part in path:
        field = kind.model_fields.get(str(part))
        if field is not None:
            kind = next(iter(_models_in(field.annotation)), kind)
    return kind


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ParseError(f"the key '{printable(key, 60)}' stands there twice")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _MAX_INTEGER:
        raise ParseError("a number does not fit 64 bits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _not_finite(digits)


def _not_finite(text: str) -> Any:
    raise ParseError(f"{printable(text, 20)} is not a finite number")


class _Loader(yaml.SafeLoader):
    """The subset of YAML that recipes need. A date is a string, a repeated key is an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "seq", "map", "str")
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ParseError(f"a key is a list or a mapping (line {_line(key)})")
            if (key.tag, key.value) in seen:
                raise ParseError(f"the key '{printable(key.value, 60)}' stands there twice (line {_line(key)})")
            seen.add((key.tag, key.value))
        return node


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    if len(node.value) > 40:
        raise ParseError(f"a number does not fit 64 bits (line {_line(node)})")
    return yaml.SafeLoader.construct_yaml_int(loader, node)


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _check_events(events: Iterator[yaml.Event]) -> None:
    """Refuse deep nesting, and anchors that repeat more than a file may hold, before anything is built."""
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ParseError(f"the anchor '{printable(event.anchor, 60)}' is not closed where it is repeated")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if len(opened) > MAX_DEPTH:
            raise ParseError(f"nested deeper than {MAX_DEPTH} levels (line {event.start_mark.line + 1})")
        if total > MAX_NODES:
            raise ParseError(f"more than {MAX_NODES} values, anchors counted each time they are repeated")
