"""The column types of Kimberlite's SQL, as tables declare them, and what a result's columns become by them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

TYPES_MARK = "kit.types.v1"
"""The capability of a server that tells types, and what it puts before them."""


class Type(Enum):
    """What a column holds, whatever its type is called."""

    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BYTES = "bytes"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"


_NAMES = {
    Type.INTEGER: "TINYINT SMALLINT INTEGER INT BIGINT INT2 INT4 INT8",
    Type.REAL: "REAL FLOAT DOUBLE DECIMAL NUMERIC FLOAT4 FLOAT8",
    Type.TEXT: "TEXT VARCHAR CHAR STRING UUID JSON JSONB",
    Type.BYTES: "BYTES BLOB BYTEA VARBINARY BINARY",
    Type.BOOLEAN: "BOOLEAN BOOL",
    Type.DATE: "DATE",
    Type.TIME: "TIME",
    Type.TIMESTAMP: "TIMESTAMP DATETIME TIMESTAMPTZ",
}
TYPES: Mapping[str, Type] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
"""By the first word of the declared type."""

_CALL = re.compile(r"(count|sum|avg|min|max)\((?:distinct\s+)?(?:\w+\.)?(.+)\)", re.IGNORECASE)


def type_of(declared: str) -> Type | None:
    """What a declared type means; None for one that is not known.

    >>> type_of("DECIMAL(10,2)"), type_of("geometry")
    (<Type.REAL: 'real'>, None)
    """
    word = re.match(r"\w+", declared.strip())
    return TYPES.get(word[0].upper()) if word else None


def type_of_column(name: str, declared: Mapping[str, str]) -> Type | None:
    """What a column of a result holds, by the declared types of the tables' columns.

    The server names an aggregate after its call, so that its type follows too.

    >>> type_of_column("AVG(amount)", {"amount": "BIGINT"}), type_of_column("MAX(at)", {"at": "TIMESTAMP"})
    (<Type.REAL: 'real'>, <Type.TIMESTAMP: 'timestamp'>)
    """
    if name in declared:
        return type_of(declared[name])
    call = _CALL.fullmatch(name)
    if call is None:
        return None
    function, column = call[1].lower(), call[2]
    if function in ("count", "avg"):
        return Type.INTEGER if function == "count" else Type.REAL
    return type_of(declared.get(column, ""))
