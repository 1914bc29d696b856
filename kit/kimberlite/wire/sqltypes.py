"""The column types of Kimberlite's SQL, as tables declare them, and the types of the Arrow columns for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum


class Type(Enum):
    """The kind of values in a column, independent of the type's name."""

    INTEGER = "integer"
    REAL = "real"
    DECIMAL = "decimal"
    TEXT = "text"
    BYTES = "bytes"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"


_NAMES = {
    Type.INTEGER: "TINYINT SMALLINT INTEGER INT BIGINT INT2 INT4 INT8",
    Type.REAL: "REAL FLOAT DOUBLE FLOAT4 FLOAT8",
    Type.DECIMAL: "DECIMAL NUMERIC",
    Type.TEXT: "TEXT VARCHAR CHAR STRING UUID JSON JSONB",
    Type.BYTES: "BYTES BLOB BYTEA VARBINARY BINARY",
    Type.BOOLEAN: "BOOLEAN BOOL",
    Type.DATE: "DATE",
    Type.TIME: "TIME",
    Type.TIMESTAMP: "TIMESTAMP DATETIME TIMESTAMPTZ",
}
TYPES: Mapping[str, Type] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
"""Types by the first word of the declaration."""

MOST_DIGITS = 38
_DIGITS = re.compile(r"\w+\s*\(\s*(\d{1,3})\s*(?:,\s*(\d{1,3})\s*)?\)")
_CALL = re.compile(r"(count|sum|avg|min|max)\((?:distinct\s+)?(?:\w+\.)?(.+)\)", re.IGNORECASE)


def type_of(declared: str) -> Type | None:
    """Return the meaning of a declared type; None for an unknown one.

    >>> type_of("DECIMAL(10,2)"), type_of("geometry")
    (<Type.DECIMAL: 'decimal'>, None)
    """
    word = re.match(r"\w+", declared.strip())
    return TYPES.get(word[0].upper()) if word else None


def digits_of(declared: str) -> tuple[int, int] | None:
    """Return how many digits a declared decimal has, and how many of them behind the point; None where it does not say.

    >>> digits_of("DECIMAL(18,4)"), digits_of("numeric(5)"), digits_of("DECIMAL")
    ((18, 4), (5, 0), None)
    """
    match = _DIGITS.match(declared.strip())
    if match is None:
        return None
    whole, behind = int(match[1]), int(match[2] or 0)
    return (whole, behind) if 0 < whole <= MOST_DIGITS and behind <= whole else None


def declared_of_column(name: str, declared: Mapping[str, str]) -> str:
    """Return the declared type of a column of a result, by those of the tables' columns; "" where nothing tells it.

    The server names an aggregate after its call, so that its type follows too; a sum may have any number of digits.

    >>> declared_of_column("AVG(amount)", {"amount": "BIGINT"}), declared_of_column("SUM(p)", {"p": "DECIMAL(9,2)"})
    ('REAL', 'DECIMAL(38,2)')
    """
    if name in declared:
        return declared[name]
    call = _CALL.fullmatch(name)
    if call is None:
        return ""
    function, column = call[1].lower(), call[2]
    if function in ("count", "avg"):
        return "BIGINT" if function == "count" else "REAL"
    return summed(declared.get(column, "")) if function == "sum" else declared.get(column, "")


def summed(declared: str) -> str:
    """Return the type of the sum of a column of this type."""
    digits = digits_of(declared) if type_of(declared) is Type.DECIMAL else None
    return declared if digits is None else f"DECIMAL({MOST_DIGITS},{digits[1]})"
