"""Configuration: `Section`, the strict base class of settings, and `load_config`, which reads a YAML recipe.

Each section is defined in the module that uses it. A module receives only its own section of the configuration. An
unknown key is an error that lists the valid names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from tts_meta.devices import check_device_name
from tts_meta.errors import TtsMetaError, UsageError, excerpt
from tts_meta.parsing import ParseError, first_fault, parse_yaml


def odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd, not {value}")
    return value


def even(value: int) -> int:
    if value % 2:
        raise ValueError(f"must be even, not {value}")
    return value


# Sizes have upper bounds. A malicious configuration can therefore not cause hours of computation before the weights are
# read.
Width = Annotated[int, Field(gt=0, le=8192)]
Layers = Annotated[int, Field(gt=0, le=64)]
Kernel = Annotated[int, Field(gt=0, le=255), AfterValidator(odd)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Hours = Annotated[float, Field(ge=0)]
DeviceName = Annotated[str, AfterValidator(check_device_name)]


class Section(BaseModel):
    """One section of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean_as_number(cls, value: object, info: Any) -> object:
        """Refuse booleans as numbers: Python accepts True as 1, and YAML reads `yes` as true."""
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation in (int, float):
            raise ValueError(f"must be a number, not {str(value).lower()}")
        return value


AnySection = TypeVar("AnySection", bound=Section)


def parse_config(data: object, section: type[AnySection], source: str) -> AnySection:
    """Build a `section` from plain data. Raises TtsMetaError that names `source`, the key and the valid names."""
    if not isinstance(data, dict):
        raise TtsMetaError(
            f"{source}: contains no keys; write lines such as `{next(iter(section.model_fields))}: VALUE`"
        )
    try:
        return section.model_validate(data)
    except ValidationError as error:
        raise TtsMetaError(f"{source}: {first_fault(error, section)}") from error


def parse_settings(data: Mapping[str, Any], section: type[AnySection], source: str) -> AnySection:
    """Build a `section` from settings of a caller. Raises UsageError that names `source` and the key or value."""
    try:
        return section.model_validate(dict(data))
    except ValidationError as error:
        raise UsageError(f"{source}: {first_fault(error, section)}") from error


def load_config(path: str | Path, section: type[AnySection], changes: Sequence[str] = ()) -> AnySection:
    """Read a YAML (or JSON) file into a `section`; paths in the file are relative to the working directory.

    changes: strings `KEY=VALUE`, such as `optimiser.lr=0.1`. KEY is a dotted path, and VALUE is YAML that replaces the
    value of the file. Raises TtsMetaError if the file cannot be read, is not YAML, or has a key or value that the
    section does not allow. Raises UsageError if a change does not have this form.
    """
    data = _read_yaml(Path(path))
    for change in changes:
        _apply_change(data, change)
    return parse_config(data, section, " ".join([str(path), *changes]))


def top_level_keys(path: str | Path) -> set[str]:
    """Return the top-level keys of a YAML (or JSON) file. Raises TtsMetaError as `load_config`."""
    return set(data) if isinstance(data := _read_yaml(Path(path)), dict) else set()


def _read_yaml(path: Path) -> Any:
    try:
        data = parse_yaml(path.read_bytes())
        return {} if data is None else data
    except OSError as error:
        raise TtsMetaError(f"cannot read {path}: {error.strerror}; give the path of a recipe") from error
    except ParseError as error:
        raise TtsMetaError(f"{path}: {error}; correct the recipe") from error


def _apply_change(data: Any, change: str) -> None:
    key, equals, value = change.partition("=")
    if not key or not equals:
        raise UsageError(f"'{change}' is not KEY=VALUE; write for example steps=100")
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(data, dict) or not isinstance(data.setdefault(section, {}), dict):
            raise UsageError(f"'{change}': '{section}' is not a section of the recipe; check the key")
        data = data[section]
    if not isinstance(data, dict):
        raise UsageError(f"'{change}': the recipe contains no keys; correct the recipe")
    try:
        data[last] = parse_yaml(value)
    except ParseError as error:
        raise UsageError(f"'{excerpt(change)}': {error}; correct the value") from error


def dump_config(config: Section) -> str:
    """Return a section as indented JSON, with every default."""
    return json.dumps(config.model_dump(mode="json"), indent=2) + "\n"
