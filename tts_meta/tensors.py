"""One reader for files of tensors (safetensors): the header is checked before the numbers are read, the numbers after.

Tensors are believed neither in shape nor in value: `like` names what is expected before anything is allocated, and NaN
and infinite values are refused.
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

from tts_meta.errors import TtsMetaError
from tts_meta.headers import Header, Name
from tts_meta.parsing import ParseError, is_printable, parse_json, printable

_METADATA = "__metadata__"
_MAX_TENSORS, _MAX_DIMENSIONS = 100_000, 8
FLOATS = ("F16", "BF16", "F32", "F64")


class TensorInfo(Header):
    """What the header of a file says of one tensor."""

    dtype: Literal["F16", "BF16", "F32", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"]
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_MAX_DIMENSIONS)]


_METADATA_TYPE = TypeAdapter(dict[str, str])
_INFO_TYPE = TypeAdapter(dict[Name, TensorInfo])


@dataclass(frozen=True)
class TensorFile:
    """The header of a safetensors file. advice: what a user can do about a damaged one, for messages."""

    path: Path
    metadata: dict[str, str]
    infos: dict[str, TensorInfo]
    advice: str

    @classmethod
    def open(cls, path: str | Path, advice: str) -> TensorFile:
        """Read and check the header. Raises TtsMetaError where the file cannot be read or is damaged."""
        path = Path(path)
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                if size > path.stat().st_size - 8:
                    raise ParseError("it was cut short, or is no file of tensors")
                data = parse_json(file.read(size), lines=True)
            if not isinstance(data, dict):
                raise ParseError("its header is not a mapping")
            metadata = _METADATA_TYPE.validate_python(data.pop(_METADATA, None) or {}, strict=True)
            if len(data) > _MAX_TENSORS:
                raise ParseError(f"more than {_MAX_TENSORS} tensors")
            if not all(map(is_printable, data)):
                raise ParseError("the name of a tensor holds a control character")
            infos = _INFO_TYPE.validate_python(data)
        except OSError as error:
            raise TtsMetaError(f"{path}: cannot be read ({error.strerror or error}); {advice}") from error
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = printable(".".join(map(str, fault["loc"])))
            raise TtsMetaError(f"{path}: damaged header ({place}: {printable(fault['msg'])}); {advice}") from error
        except ParseError as error:
            raise TtsMetaError(f"{path}: damaged header ({error}); {advice}") from error
        return cls(path, metadata, infos, advice)

    def check_like(self, expected: Mapping[str, Tensor], what: str) -> None:
        """Raise TtsMetaError naming the first tensor that is missing, unknown, or of another shape or kind.

        expected: tensors by name, of any device; those on the meta device cost no memory. what: for the message, as in
        "does not fit config.json".
        """
        for name, tensor in expected.items():
            if name not in self.infos:
                raise self._misfit(what, f"{name} is missing")
            shape, found = tuple(tensor.shape), tuple(self.infos[name].shape)
            if shape != found:
                raise self._misfit(what, f"{name} is {_times(found)}, not {_times(shape)}")
            if tensor.is_floating_point() != (self.infos[name].dtype in FLOATS):
                raise self._misfit(what, f"{name} holds {self.infos[name].dtype}")
        for name in self.infos:
            if name not in expected:
                raise self._misfit(what, f"{printable(name)} is unknown")

    def read(self, nan_only: bool = False) -> dict[str, Tensor]:
        """All tensors as they are stored.

        Raises TtsMetaError where the file is damaged or a value is not finite; `nan_only` allows infinite ones.
        """
        try:
            with safetensors.safe_open(self.path, framework="pt") as handle:
                tensors = {name: handle.get_tensor(name) for name in self.infos}
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise TtsMetaError(f"{self.path}: damaged ({printable(str(error))}); {self.advice}") from error
        for name, tensor in tensors.items():
            check_finite(name, tensor, str(self.path), self.advice, nan_only)
        return tensors

    def _misfit(self, what: str, reason: str) -> TtsMetaError:
        return TtsMetaError(f"{self.path}: {what} ({reason}); {self.advice}")


def read_tensors(
    path: str | Path, advice: str, like: Mapping[str, Tensor] | None = None, what: str = "does not fit"
) -> dict[str, Tensor]:
    """All tensors of a file, finite, and where `like` is given with its names and shapes. Raises TtsMetaError."""
    file = TensorFile.open(path, advice)
    if like is not None:
        file.check_like(like, what)
    return file.read()


def check_finite(name: str, tensor: Tensor, where: str, advice: str, nan_only: bool = False) -> None:
    """Raise TtsMetaError where a tensor holds NaN or, unless `nan_only`, an infinite value."""
    if not tensor.is_floating_point():
        return
    bad = tensor.isnan().any() if nan_only else not tensor.isfinite().all()
    if bad:
        raise TtsMetaError(f"{where}: {printable(name)} holds values that are not finite; {advice}")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if math.prod(shape) < 10**18 else "too large"


def to_float32(tensors: Mapping[str, Tensor], where: str, advice: str) -> dict[str, Tensor]:
    """Floating tensors in single precision. Raises TtsMetaError where a value does not fit it."""
    found = {name: value.to(torch.float32) if value.is_floating_point() else value for name, value in tensors.items()}
    for name, value in found.items():
        if tensors[name].dtype == torch.float64:
            check_finite(name, value, where, advice)
    return found
