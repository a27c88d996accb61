"""Safe parsers of JSON and YAML, because files that people share are not trusted.

Both parsers refuse repeated keys, deep nesting, numbers that are not finite or do not fit 64 bits, and characters that
control a terminal. The YAML parser reads the subset that recipes need: mappings, lists, strings, numbers, true, false
and null. The YAML parser limits the number of values, so that repeated anchors cannot make the data very large.
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

from tts_meta.errors import excerpt

MAX_DEPTH = 32
"""Largest number of levels of nesting."""
MAX_JSON_BYTES, MAX_YAML_BYTES = 2_000_000, 100_000
MAX_NODES = 100_000
"""Largest number of values in a YAML file. The values of an anchor count at each repetition of the anchor."""
_MAX_INTEGER = 2**63 - 1
_MAX_COMPARED = 200
"""Number of characters of an unknown key that are compared with the valid keys."""
# C0 and C1 controls, line and paragraph separators, overrides of the writing direction, lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class ParseError(ValueError):
    """The text is not valid JSON or YAML, or exceeds a limit. The message is one printable line without a file name."""


def parse_json(content: str | bytes, multiline: bool = False, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the data of a JSON text (RFC 8259) of at most `max_bytes`. Raises ParseError.

    multiline: allow line feeds and tabs in strings.
    """
    if len(content) > max_bytes:
        raise ParseError(f"more than {max_bytes // 1_000_000} MB of JSON")
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
        raise ParseError(f"not JSON: {excerpt(str(error))}") from error
    check_plain(data, multiline)
    return data


def parse_yaml(content: str | bytes) -> Any:
    """Return the data of a YAML text, or None for an empty text. Raises ParseError."""
    if len(content) > MAX_YAML_BYTES:
        raise ParseError(f"more than {MAX_YAML_BYTES // 1000} kB of YAML")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        _check_events(yaml.parse(text, Loader=_Loader))
        data = yaml.load(text, Loader=_Loader)
    except ParseError:
        raise
    except Exception as error:  # YAMLError, and any error of the conversion of a tagged value
        raise ParseError(f"not YAML: {excerpt(str(error))}") from error
    check_plain(data, multiline=True)
    return data


def is_printable(text: str, multiline: bool = False) -> bool:
    """Return whether a text has no control characters; `multiline` allows line feeds and tabs."""
    return all(multiline and match.group() in "\n\t" for match in _CONTROL.finditer(text))


def check_plain(data: object, multiline: bool = False) -> None:
    """Raise ParseError if plain data is nested too deeply, or a number or text in it is not allowed."""
    pending: list[tuple[object, int]] = [(data, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ParseError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            pending += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            pending += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            if not is_printable(value, multiline):
                raise ParseError(f"a text contains a control character ('{excerpt(value, 60)}')")
        elif isinstance(value, float) and not math.isfinite(value):
            _not_finite(str(value))
        elif isinstance(value, int) and abs(value) > _MAX_INTEGER:
            raise ParseError("a number does not fit 64 bits")


def first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first fault of a pydantic error as one line; the message on an unknown key lists the valid keys."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = excerpt(".".join(str(part) for part in fault["loc"]))
    if fault["type"] != "extra_forbidden":
        message = excerpt(fault["msg"].removeprefix("Value error, "))
        return f"{key}: {message}" if key else message
    valid = sorted(_model_at(model, fault["loc"][:-1]).model_fields)
    closest = difflib.get_close_matches(str(fault["loc"][-1])[:_MAX_COMPARED], valid, n=1)
    hint = f"did you mean '{closest[0]}'? " if closest else ""
    return f"unknown key '{key}'; {hint}valid here: {', '.join(valid)}"


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model of the value at a path of field names, mapping keys and list indices."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(iter(_models_in(field.annotation)), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise ParseError(f"the key '{excerpt(key, 60)}' is repeated")
        mapping[key] = value
    return mapping


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _MAX_INTEGER:
        raise ParseError("a number does not fit 64 bits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _not_finite(digits)


def _not_finite(text: str) -> Any:
    raise ParseError(f"{excerpt(text, 20)} is not a finite number")


class _Loader(yaml.SafeLoader):
    """Loader for the subset of YAML that recipes need: a date is a string, a repeated key is an error."""

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
                raise ParseError(f"the key '{excerpt(key.value, 60)}' is repeated (line {_line(key)})")
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
    """Raise ParseError for deep nesting or too many values, before any data is built."""
    sizes: dict[str, int] = {}
    open_collections: list[tuple[str | None, int]] = []
    total = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ParseError(f"the anchor '{excerpt(event.anchor, 60)}' is repeated inside its own value")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_collections.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, total_before = open_collections.pop()
            if anchor is not None:
                sizes[anchor] = total - total_before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_collections) > MAX_DEPTH:
            raise ParseError(f"nested deeper than {MAX_DEPTH} levels (line {event.start_mark.line + 1})")
        if total > MAX_NODES:
            raise ParseError(f"more than {MAX_NODES} values, with those of an anchor counted at each repetition")
