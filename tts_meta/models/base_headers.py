"""The content of `state.json` and `symbols.json` in a base folder, checked when the files are read."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, RootModel, model_validator

from tts_meta.headers import Digest, Header, Name
from tts_meta.models.run_record import Runs
from tts_meta.text.symbols import BOUNDARIES, END, START


class BaseState(Header):
    """The content of `state.json`. phonemizer: versions by package. runs: records of the training runs.

    Other keys describe how the base was trained.
    """

    format: int
    speakers: Annotated[list[Name], Field(min_length=1, max_length=100_000)]
    sha256: Digest
    phonemizer: dict[Name, Name] = Field(default={})
    runs: Runs = Field(default={})

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if len(set(self.speakers)) < len(self.speakers):
            raise ValueError("a speaker is named twice")
        return self


class SymbolList(RootModel[Annotated[list[Annotated[str, Field(min_length=1, max_length=8)]], Field(max_length=5000)]]):
    """The content of `symbols.json`: the symbol table, in order."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(set(self.root)) < len(self.root):
            raise ValueError("a symbol is listed twice")
        missing = [symbol for symbol in (START, END, *BOUNDARIES) if symbol not in self.root]
        if missing:
            raise ValueError(f"the symbol '{missing[0]}' is missing")
        return self
