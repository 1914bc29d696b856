"""Numbers of the embedded servers that a test or a demo may change by environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

from ...core.errors import SetupError


class EnvSettings:
    """Derive a frozen dataclass of floats; `of` reads each from the variable `<prefix><NAME>`, if it is set."""

    __slots__ = ()
    prefix: ClassVar[str]
    from_zero: ClassVar[tuple[str, ...]] = ()
    """The names of those that may be 0; the others must be above it."""

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment; the others keep their defaults."""
        values: dict[str, Any] = {}
        for field in fields(cls):  # type: ignore[arg-type]
            variable = f"{cls.prefix}{field.name.upper()}"
            if environment.get(variable):
                try:
                    number = float(environment[variable])
                except ValueError:
                    number = math.nan
                zero = field.name in cls.from_zero
                if not ((zero and number == 0) or 0 < number < math.inf):
                    raise SetupError(f"{variable} must be a number {'from 0 up' if zero else 'above 0'}")
                values[field.name] = number
        return cls(**values)
