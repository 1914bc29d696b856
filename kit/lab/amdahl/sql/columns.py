"""DuckDB's types as the service's types, and rows as JSON made inside DuckDB.

| DuckDB                                | sent as                                              | type      |
|---------------------------------------|------------------------------------------------------|-----------|
| integers                              | number; the whole column as strings beyond 2^53      | INT64     |
| the same beyond 64 bits               | string                                               | NUMERIC   |
| DECIMAL                               | string                                               | NUMERIC   |
| FLOAT, DOUBLE                         | number; NaN and infinities, which JSON lacks, as null | FLOAT64   |
| BOOLEAN                               | true, false                                          | BOOL      |
| TIMESTAMP and kin                     | "2026-01-31T09:30:00.000000Z"                        | TIMESTAMP |
| DATE, TIME                            | text                                                 | DATE, TIME |
| BLOB                                  | base64                                               | BYTES     |
| JSON                                  | its text as a string, as BigQuery does               | JSON      |
| lists, structs, maps                  | array, object, object (or array of key and value)    | ARRAY, RECORD, JSON |
| all else                              | text                                                 | STRING    |

Most JSON readers hold numbers as doubles, exact only up to 2^53. A column is sent as strings as a whole or not at
all, so that a client sees one JSON type per column. Inside lists and objects integers stay numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}
WIDE = {"BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"}
TIMES = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
_PLAIN = INTEGERS | WIDE | {"BOOLEAN", "VARCHAR"}
_SAFE = 2**53
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result: its final name, DuckDB's type, and its name in the surrounding query."""

    name: str
    kind: Any
    alias: str

    @property
    def wide(self) -> bool:
        return str(self.kind) in WIDE

    def within(self, least: int, most: int) -> str:
        """Return the condition that the value lies within the bounds; unsigned types need no lower one."""
        if str(self.kind).startswith("U"):
            return f"{self.alias} <= {most}"
        return f"{self.alias} between {least} and {most}"


def columns_of(names: Sequence[str], kinds: Sequence[Any]) -> list[Column]:
    """Return the columns of a result; names that occur twice get a number.

    >>> [column.name for column in columns_of(["n", "n", "n_1"], ["BIGINT"] * 3)]
    ['n', 'n_2', 'n_1']
    """
    taken = set(names)
    seen: set[str] = set()
    columns = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        final, number = name, 1
        while final in seen or (final != name and final in taken):
            final, number = f"{name}_{number}", number + 1
        seen.add(final)
        columns.append(Column(final, kind, f"c{index}"))
    return columns


def row_sql(columns: Sequence[Column], sql: str, limit: int, sizes: Sequence[int] | None) -> str:
    """Return a query for each row's JSON with a comma after it, and whether the row has an integer beyond 2^53.

    `sizes` are what `size_sql` found: 0 leaves a column's integers numbers, more makes them strings.
    """
    parts = []
    for index, column in enumerate(columns):
        text = sizes is not None and sizes[index] > 0
        parts.append(
            f"{_quoted(column.name)}, {column.alias + '::varchar' if text else _json(column.kind, column.alias)}"
        )
    wide = [column for column in columns if column.wide] if sizes is None else []
    beyond = " or ".join(f"not ({column.within(-_SAFE, _SAFE)})" for column in wide) or "false"
    return f"select json_object({', '.join(parts)}) || ',', {beyond} from {_inner(columns, sql, limit)}"  # noqa: S608


def size_sql(columns: Sequence[Column], sql: str, limit: int) -> str:
    """Return a query for how large each column's integers get: 0 within 2^53, 1 within 64 bits, 2 beyond."""
    sizes = [
        f"coalesce(max(case when {c.within(-_SAFE, _SAFE)} then 0 when {c.within(-(2**63), 2**63 - 1)} then 1"
        f" when {c.alias} is not null then 2 end), 0)"
        if c.wide
        else "0"
        for c in columns
    ]
    return f"select {', '.join(sizes)} from {_inner(columns, sql, limit)}"  # noqa: S608


def _inner(columns: Sequence[Column], sql: str, limit: int) -> str:
    # The line ends keep a comment at the end of the query from including what follows.
    return f"(select * from (\n{sql}\n) limit {limit}) as q({', '.join(column.alias for column in columns)})"  # noqa: S608


def described(columns: Sequence[Column], sizes: Sequence[int] | None) -> list[dict[str, Any]]:
    """Return names and types in the service's form."""
    return [
        {
            "name": column.name,
            **({"type": "NUMERIC"} if sizes is not None and sizes[index] > 1 else _described(column.kind)),
        }
        for index, column in enumerate(columns)
    ]


def _described(kind: Any) -> dict[str, Any]:
    """Return a type, with that of the items of a list and those of the fields of an object."""
    description: dict[str, Any] = {"type": type_name(kind)}
    if description["type"] == "ARRAY":
        description["items"] = _described(_item(kind))
    elif description["type"] == "RECORD":
        description["fields"] = [{"name": name, **_described(inner)} for name, inner in kind.children]
    return description


def type_name(kind: Any) -> str:
    """Return the service's name for one of DuckDB's types.

    >>> type_name("DECIMAL(18,3)"), type_name("UINTEGER"), type_name("UUID")
    ('NUMERIC', 'INT64', 'STRING')
    """
    name = str(kind)
    family = _family(kind)
    if name in INTEGERS | WIDE:
        return "INT64"
    if name in ("FLOAT", "DOUBLE"):
        return "FLOAT64"
    if name in TIMES or name == "TIMESTAMP WITH TIME ZONE":
        return "TIMESTAMP"
    named = {"BOOLEAN": "BOOL", "DATE": "DATE", "TIME": "TIME", "BLOB": "BYTES", "JSON": "JSON"}
    families = {"decimal": "NUMERIC", "list": "ARRAY", "array": "ARRAY", "struct": "RECORD", "map": "JSON"}
    return named.get(name) or families.get(family) or "STRING"


def _family(kind: Any) -> str:
    """Return which nested or parametrised type it is, or ""."""
    name = str(kind)
    if name.endswith("]"):
        return "array" if name[-2].isdigit() else "list"
    families = {"DECIMAL": "decimal", "STRUCT": "struct", "TUPLE": "struct", "MAP": "map"}
    return families.get(name.partition("(")[0], "")


def _plain(kind: Any) -> bool:
    """Return whether DuckDB's own JSON of a value can be sent."""
    family = _family(kind)
    if family in ("list", "array"):
        return _plain(_item(kind))
    if family == "struct":
        return all(name and _plain(inner) for name, inner in kind.children)
    return str(kind) in _PLAIN


def _item(kind: Any) -> Any:
    return kind.children[0][1]


def _json(kind: Any, x: str, depth: int = 0) -> str:
    """Return an expression whose JSON is the value of the expression `x` as it is to be sent."""
    name, family = str(kind), _family(kind)
    if _plain(kind):
        return x
    if name in ("FLOAT", "DOUBLE"):
        return f"case when isfinite({x}) then {x} end"
    if name == "DATE":
        return f"case when isfinite({x}) then {x}::varchar end"
    if name in TIMES:
        return f"case when isfinite({x}) then strftime({x}::timestamp, '{_TIME_FORMAT}') end"
    if name == "TIMESTAMP WITH TIME ZONE":
        return f"case when isfinite({x}) then strftime(make_timestamp(epoch_us({x})), '{_TIME_FORMAT}') end"
    if name == "BLOB":
        return f"base64({x})"
    each = f"e{depth}"
    if family in ("list", "array"):
        inner = _item(kind)
        return f"case when {x} is not null then [{_json(inner, each, depth + 1)} for {each} in {x}::{inner}[]] end"
    if family == "struct":
        parts = []
        for index, (field, inner) in enumerate(kind.children, 1):
            got = f"struct_extract({x}, {_quoted(field) if field else index})"
            parts.append(f"{_quoted(field or f'_{index}')}, {_json(inner, got, depth + 1)}")
        return f"case when {x} is not null then json_object({', '.join(parts)}) end"
    if family == "map":
        (_, key), (_, value) = kind.children
        if str(key) == "VARCHAR" and _plain(value):
            return f"to_json({x})"
        sent = [_json(inner, f"{each}.{part}", depth + 1) for part, inner in (("key", key), ("value", value))]
        pair = f"json_object('key', {sent[0]}, 'value', {sent[1]})"
        return f"case when {x} is not null then [{pair} for {each} in map_entries({x})] end"
    return f"{x}::varchar"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
