"""Reading and validation of JSON headers, states, configurations and symbol tables.

These files are shared between people and not trusted. Each kind of header is a pydantic model derived from `Header`.
Data that does not fit the model raises a one-line error that names the file, the key and the fault.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts_meta.errors import TtsMetaError
from tts_meta.parsing import MAX_JSON_BYTES, ParseError, check_plain, first_fault, parse_json

Digest = Annotated[str, Field(max_length=64)]
"""SHA-256 in hexadecimal. The form is not checked, because the value is only compared."""
Name = Annotated[str, Field(min_length=1, max_length=500)]
"""Name of a speaker, a module or a parameter."""
Count = Annotated[int, Field(ge=0, le=10**12)]


class Header(BaseModel):
    """Base class of headers: values must have exactly the types of the fields; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def read_json(path: Path, advice: str, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the data of a JSON file of at most `max_bytes`.

    Raises TtsMetaError that names the file and the fault and ends with `advice`.
    """
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(max_bytes + 1), max_bytes=max_bytes)
    except OSError as error:
        raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); {advice}") from error
    except ParseError as error:
        raise TtsMetaError(f"{path}: {error}; {advice}") from error


def read_header(path: Path, model: type[AnyModel], advice: str, max_bytes: int = MAX_JSON_BYTES) -> AnyModel:
    """Return a JSON file as a `model`. Raises TtsMetaError as `read_json`, and if the data does not fit the model."""
    return check_header(read_json(path, advice, max_bytes), model, str(path), advice)


def check_header(data: object, model: type[AnyModel], source: str, advice: str) -> AnyModel:
    """Return plain data as a `model`. Raises TtsMetaError that names `source`, the key, the fault and `advice`."""
    try:
        check_plain(data)
        return model.model_validate(data)
    except ValidationError as error:
        raise TtsMetaError(f"{source}: {first_fault(error, model)}; {advice}") from error
    except ParseError as error:
        raise TtsMetaError(f"{source}: {error}; {advice}") from error
