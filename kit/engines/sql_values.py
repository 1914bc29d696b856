"""Converting values into a query and out of its answer, where the engine's types differ from those of a notebook."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import InputError

WIDE: Mapping[str, pa.DataType | None] = {
    "HUGEINT": None,
    "UHUGEINT": pa.decimal256(39, 0),
    "BIGNUM": pa.string(),
}
"""Integers of more than 64 bits: the engine's names, and the types in Arrow; None for the engine's default."""

_DIGITS = 38


def integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return integers of more than 64 bits as `int64` where all fit, else as decimals, which hold every digit.

    >>> integers(pa.chunked_array([["12", None]])).type, integers(pa.chunked_array([["9" * 20]])).type
    (DataType(int64), Decimal128Type(decimal128(38, 0)))
    """
    if pa.types.is_string(column.type):
        if (pc.max(pc.binary_length(column)).as_py() or 0) > 76:
            return column  # no type can hold them, and a cast would not report it
        column = column.cast(pa.decimal256(76, 0))
    for kind in (pa.int64(), pa.decimal128(38, 0), pa.decimal256(76, 0)):
        try:
            cast = column.cast(kind)
            cast.validate(full=True)
        except pa.ArrowInvalid:
            continue
        return cast
    return column


def parameter(name: str, value: Any) -> Any:
    """Return the value of a parameter as one that the engine knows; refused where it would lose digits.

    >>> import numpy as np
    >>> parameter("$1", np.int64(5)), parameter("$1", np.datetime64("2026-01-02"))
    (5, Timestamp('2026-01-02 00:00:00'))
    """
    if type(value).__module__ == "numpy" and hasattr(value, "dtype") and not getattr(value, "shape", None):
        import pandas as pd

        kind = value.dtype.kind
        value = pd.Timestamp(value) if kind == "M" else pd.Timedelta(value) if kind == "m" else value.item()
    if getattr(value, "nanosecond", 0) > 0 or getattr(value, "nanoseconds", 0) % 1000 > 0:
        raise InputError(
            f"{name} is {value}, but SQL accepts no parameter with digits below a microsecond",
            hint=f"write it into the query: timestamp_ns '{value}'" if hasattr(value, "nanosecond") else "round it",
        )
    if isinstance(value, decimal.Decimal) and value.is_finite():
        # The engine takes what does not fit its decimals as a float.
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        if max(len(digits) + max(exponent, 0), 1 - exponent) > _DIGITS:
            raise InputError(
                f"{name} is {value}, but a decimal in SQL has at most {_DIGITS} digits",
                hint="round it, or give a float",
            )
    return value
