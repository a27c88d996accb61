"""The facts of a run as entries of its log: command, data, settings and hyperparameters."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel

from tts_meta.report.log import TEXT, Log

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_MAX_VALUE_LENGTH = 100
"""Characters of a value on the page HPARAMS, whose columns are narrow; the text of the settings has all of them."""

_LINE_WIDTH = 100
"""Characters of a line on the page TEXT."""


@dataclass(frozen=True)
class RunInfo:
    """The command line (empty for a call from Python), the data and all settings by name, as YAML values.

    `hparams`: the settings by which runs are compared, by default all; the settings of sections have dotted names.
    """

    command: str
    data: Mapping[str, object]
    settings: Mapping[str, object]
    hparams: Mapping[str, object] | None = None

    def of_stage(self, stage: str, *settings: BaseModel) -> RunInfo:
        """The same for one of several stages: `hparams` are its name, its settings, and those common to all stages."""
        shared = {name: value for name, value in self.settings.items() if not isinstance(value, Mapping | list)}
        own = {name: value for section in settings for name, value in settings_of(section).items()}
        return replace(self, hparams={"stage": stage, **shared, **own})

    def log(self, log: Log, step: int = 0) -> None:
        """Write the texts `text/command`, `text/data` and `text/settings`, and the hyperparameters."""
        log.text(f"{TEXT}/command", f"{_code(_wrap(self.command) or 'called from Python')}\n\n{_versions()}", step)
        log.text(f"{TEXT}/data", _code(_yaml(self.data)), step)
        log.text(f"{TEXT}/settings", _code(_yaml(self.settings)), step)
        compared = self.settings if self.hparams is None else self.hparams
        values = {key: item for name, value in compared.items() for key, item in _flatten(name, value).items()}
        log.hparams({name: _hparam(value) for name, value in values.items() if value not in (None, [], (), {})})


def settings_of(config: BaseModel | DataclassInstance) -> dict[str, Any]:
    """All settings of a configuration, in the form that a recipe has."""
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the contents of cells are escaped."""
    lines = [list(header), ["---"] * len(header), *([_escape(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _flatten(name: str, value: object) -> dict[str, object]:
    """A value by its name, or the values of a section by their dotted names."""
    if isinstance(value, Mapping) and value:
        return {key: item for part, inner in value.items() for key, item in _flatten(f"{name}.{part}", inner).items()}
    return {name: value}


def _hparam(value: object) -> bool | float | str:
    """A value in the form that the page HPARAMS takes."""
    if isinstance(value, bool | int | float):
        return value
    text = ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[: _MAX_VALUE_LENGTH - 1]}…"


def _escape(value: object) -> str:
    """A value on one line, in which nothing is Markdown or HTML."""
    text = " ".join(str(value).split())
    return "".join(f"&#{ord(letter)};" if letter in "|*_`[]<>&\\~#" else letter for letter in text)


def _wrap(command: str) -> str:
    """A shell command on lines that fit the page; a command that no shell can parse is unchanged."""
    lines: list[str] = []
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    for word in map(shlex.quote, words):
        if lines and len(lines[-1]) + len(word) < _LINE_WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n  ".join(lines)


def _yaml(values: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=_LINE_WIDTH)


def _code(text: str) -> str:
    """Lines as a code block, in which nothing is Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _versions() -> str:
    versions = []
    for name in ("tts_meta", "torch"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    return f"{', '.join(versions)}, Python {platform.python_version()}, {platform.platform()}"
