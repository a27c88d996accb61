"""Safe reading of safetensors files, because files that people share are not trusted.

Names, shapes and dtypes are compared with the expected ones before memory is allocated for the values. NaN and infinite
values are then refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import safetensors
import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from tts_meta.errors import TtsMetaError, excerpt
from tts_meta.headers import Header, Name
from tts_meta.parsing import ParseError, is_printable, parse_json

_METADATA = "__metadata__"
_MAX_TENSORS, _MAX_DIMENSIONS = 100_000, 8
FLOATS = ("F16", "BF16", "F32", "F64")


class TensorInfo(Header):
    """Type and shape of one tensor in the header of a file."""

    dtype: Literal["F16", "BF16", "F32", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"]
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_MAX_DIMENSIONS)]


_METADATA_TYPE = TypeAdapter(dict[str, str])
_INFO_TYPE = TypeAdapter(dict[Name, TensorInfo])


@dataclass(frozen=True)
class TensorFile:
    """The checked header of a safetensors file. advice: the end of error messages, what a user can do about a fault."""

    path: Path
    metadata: dict[str, str]
    infos: dict[str, TensorInfo]
    advice: str

    @classmethod
    def open(cls, path: str | Path, advice: str) -> TensorFile:
        """Read and check the header. Raises TtsMetaError if the file cannot be read or is damaged."""
        path = Path(path)
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                if size > path.stat().st_size - 8:
                    raise ParseError("the file is truncated or not a safetensors file")
                data = parse_json(file.read(size), multiline=True)
            if not isinstance(data, dict):
                raise ParseError("not a mapping")
            metadata = _METADATA_TYPE.validate_python(data.pop(_METADATA, None) or {}, strict=True)
            if len(data) > _MAX_TENSORS:
                raise ParseError(f"more than {_MAX_TENSORS} tensors")
            if not all(map(is_printable, data)):
                raise ParseError("the name of a tensor contains a control character")
            infos = _INFO_TYPE.validate_python(data)
        except OSError as error:
            raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); {advice}") from error
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            key = excerpt(".".join(map(str, fault["loc"])))
            raise TtsMetaError(f"{path}: damaged header ({key}: {excerpt(fault['msg'])}); {advice}") from error
        except ParseError as error:
            raise TtsMetaError(f"{path}: damaged header ({error}); {advice}") from error
        return cls(path, metadata, infos, advice)

    def check_like(self, expected: Mapping[str, Tensor], what: str) -> None:
        """Raise TtsMetaError that names the first tensor that is missing, unknown, or of another shape or kind.

        expected: tensors by name; tensors on the meta device take no memory. what: the beginning of the message, such
        as "does not fit config.json".
        """
        for name, tensor in expected.items():
            if name not in self.infos:
                raise self._misfit(what, f"{name} is missing")
            expected_shape, shape = tuple(tensor.shape), tuple(self.infos[name].shape)
            if shape != expected_shape:
                raise self._misfit(what, f"{name} is {_format_shape(shape)}, not {_format_shape(expected_shape)}")
            if tensor.is_floating_point() != (self.infos[name].dtype in FLOATS):
                raise self._misfit(what, f"{name} has dtype {self.infos[name].dtype}")
        for name in self.infos:
            if name not in expected:
                raise self._misfit(what, f"{excerpt(name)} is unknown")

    def read(self, allow_infinite: bool = False) -> dict[str, Tensor]:
        """Return all tensors with their stored dtypes.

        Raises TtsMetaError if the file is damaged, or a value is NaN or (unless `allow_infinite`) infinite.
        """
        try:
            with safetensors.safe_open(self.path, framework="pt") as handle:
                tensors = {name: handle.get_tensor(name) for name in self.infos}
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise TtsMetaError(f"{self.path}: damaged ({excerpt(str(error))}); {self.advice}") from error
        for name, tensor in tensors.items():
            check_finite(name, tensor, str(self.path), self.advice, allow_infinite)
        return tensors

    def _misfit(self, what: str, reason: str) -> TtsMetaError:
        return TtsMetaError(f"{self.path}: {what} ({reason}); {self.advice}")


def read_tensors(
    path: str | Path, advice: str, like: Mapping[str, Tensor] | None = None, what: str = "does not fit"
) -> dict[str, Tensor]:
    """Return all tensors of a file.

    Raises TtsMetaError if the file is damaged, a value is not finite, or names and shapes differ from those of `like`.
    """
    file = TensorFile.open(path, advice)
    if like is not None:
        file.check_like(like, what)
    return file.read()


def check_finite(name: str, tensor: Tensor, source: str, advice: str, allow_infinite: bool = False) -> None:
    """Raise TtsMetaError if a tensor contains NaN or (unless `allow_infinite`) an infinite value."""
    if not tensor.is_floating_point():
        return
    invalid = tensor.isnan().any() if allow_infinite else not tensor.isfinite().all()
    if invalid:
        raise TtsMetaError(f"{source}: {excerpt(name)} contains values that are not finite; {advice}")


def _format_shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if math.prod(shape) < 10**18 else "too large"


def to_float32(tensors: Mapping[str, Tensor], source: str, advice: str) -> dict[str, Tensor]:
    """Return floating-point tensors as float32, others as they are. Raises TtsMetaError if a value overflows."""
    converted = {
        name: value.to(torch.float32) if value.is_floating_point() else value for name, value in tensors.items()
    }
    for name, value in converted.items():
        if tensors[name].dtype == torch.float64:
            check_finite(name, value, source, advice)
    return converted
