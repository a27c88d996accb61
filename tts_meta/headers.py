"""One reader for the JSON in or next to files that people share: headers, states, configurations, symbol tables.

Each kind of header is a model derived from `Header`. What does not fit it is one line that names the file, the place
and the fault.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts_meta.errors import TtsMetaError
from tts_meta.parsing import MAX_JSON_BYTES, ParseError, check_plain, first_fault, parse_json

Digest = Annotated[str, Field(max_length=64)]
"""SHA-256 in hexadecimal, or what should be one: it is compared."""
Name = Annotated[str, Field(min_length=1, max_length=500)]
"""Of a speaker, a module or a parameter."""
Count = Annotated[int, Field(ge=0, le=10**12)]


class Header(BaseModel):
    """Fields have exactly their types; keys that no field names are left alone."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def read_json(path: Path, advice: str, most: int = MAX_JSON_BYTES) -> Any:
    """The plain data of a JSON file of at most `most` bytes. Raises TtsMetaError naming the file and the fault."""
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(most + 1), most=most)
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); {advice}") from error
    except ParseError as error:
        raise TtsMetaError(f"{path}: {error}; {advice}") from error


def read_header(path: Path, kind: type[AnyModel], advice: str, most: int = MAX_JSON_BYTES) -> AnyModel:
    """A JSON file as a `kind`. Raises TtsMetaError as `read_json`, and where it does not fit."""
    return check_header(read_json(path, advice, most), kind, str(path), advice)


def check_header(data: object, kind: type[AnyModel], where: str, advice: str) -> AnyModel:
    """Plain data as a `kind`. Raises TtsMetaError naming `where`, the place, the fault and the advice."""
    try:
        check_plain(data)
        return kind.model_validate(data)
    except ValidationError as error:
        raise TtsMetaError(f"{where}: {first_fault(error, kind)}; {advice}") from error
    except ParseError as error:
        raise TtsMetaError(f"{where}: {error}; {advice}") from error
