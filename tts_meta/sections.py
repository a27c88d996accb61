"""What sections of the configuration are made of: a strict base class, and numbers with bounds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator


def odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd, not {value}")
    return value


def even(value: int) -> int:
    if value % 2:
        raise ValueError(f"must be even, not {value}")
    return value


# Sizes are bounded so that no configuration, from whatever source, asks for endless work before weights are read.
Width = Annotated[int, Field(gt=0, le=8192)]
Layers = Annotated[int, Field(gt=0, le=64)]
Kernel = Annotated[int, Field(gt=0, le=255), AfterValidator(odd)]
Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Hours = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """One section of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: object, info: Any) -> object:
        """Python takes true for 1, and YAML takes yes for true."""
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation in (int, float):
            raise ValueError(f"must be a number, not {str(value).lower()}")
        return value
