"""What a run was made of, as pages of its log: the command, the data, the settings and the hyperparameters."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel

from tts_meta.report.tensorboard import TEXT, Log

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LONGEST = 100
"""Characters of a value on the page of hyperparameters, whose columns are narrow; the table of settings has all."""

_WIDTH = 100
"""Characters of a line on the page of texts."""


@dataclass(frozen=True)
class RunInfo:
    """The command line (empty where a program called), the data and all settings, by name, as YAML can hold them.

    `hparams`: the settings that runs are compared by, all of them by default; those of sections by dotted keys.
    """

    command: str
    data: Mapping[str, object]
    settings: Mapping[str, object]
    hparams: Mapping[str, object] | None = None

    def of_stage(self, stage: str, settings: BaseModel) -> RunInfo:
        """The same for one stage of several: `hparams` are its name, its settings, and those that all stages share."""
        shared = {name: value for name, value in self.settings.items() if not isinstance(value, Mapping | list)}
        return replace(self, hparams={"stage": stage, **shared, **settings_of(settings)})

    def log(self, log: Log, step: int = 0) -> None:
        """Write the texts `text/command`, `text/data` and `text/settings`, and the hyperparameters."""
        log.text(f"{TEXT}/command", f"{_code(_broken(self.command) or 'called from Python')}\n\n{_versions()}", step)
        log.text(f"{TEXT}/data", _code(_yaml(self.data)), step)
        log.text(f"{TEXT}/settings", _code(_yaml(self.settings)), step)
        chosen = self.settings if self.hparams is None else self.hparams
        values = {key: one for name, value in chosen.items() for key, one in _flat(name, value).items()}
        log.hparams({name: _comparable(value) for name, value in values.items() if value not in (None, [], (), {})})


def settings_of(config: BaseModel | DataclassInstance) -> dict[str, Any]:
    """All settings of a configuration, as they stand in a recipe."""
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; what a cell holds is shown as it is."""
    lines = [list(heads), ["---"] * len(heads), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _flat(name: str, value: object) -> dict[str, object]:
    """A value by its dotted key, or those of a section."""
    if isinstance(value, Mapping) and value:
        return {key: one for part, inner in value.items() for key, one in _flat(f"{name}.{part}", inner).items()}
    return {name: value}


def _comparable(value: object) -> bool | float | str:
    """A value as the page of hyperparameters takes it."""
    if isinstance(value, bool | int | float):
        return value
    text = ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cell(value: object) -> str:
    """A value whose characters are none of Markdown or HTML."""
    return "".join(f"&#{ord(one)};" if one in "|*_`[]<>&\\~#" else one for one in " ".join(str(value).split()))


def _broken(command: str) -> str:
    """A command on lines that fit a page, as a shell takes it; what no shell takes stays as it is."""
    lines: list[str] = []
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    for word in map(shlex.quote, words):
        if lines and len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n  ".join(lines)


def _yaml(values: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=_WIDTH)


def _code(text: str) -> str:
    """Lines as a block of code, in which nothing is Markdown."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _versions() -> str:
    names = {}
    for name in ("tts_meta", "torch"):
        try:
            names[name] = version(name)
        except PackageNotFoundError:
            names[name] = "not installed"
    found = ", ".join(f"{name} {number}" for name, number in names.items())
    return f"{found}, Python {platform.python_version()}, {platform.platform()}"
