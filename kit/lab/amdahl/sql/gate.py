"""Which SQL the server runs: one SELECT over the table, checked on the engine's own parse of the text.

The engine counts `with x as (copy ...) select ...` as a SELECT, and a query may name the engine's own database file.
So the parsed statement is checked: every part of it must be a query, every table a public one, every table function
one that makes rows from its arguments alone. Anything unknown is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from . import interactions

_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {
    "generate_series",
    "json_each",
    "json_tree",
    "range",
    "repeat",
    "repeat_row",
    "test_all_types",
    "unnest",
}
# These reveal the server's files, or run SQL that is not checked here.
_FUNCTIONS = {"current_setting", "json_serialize_plan", "write_log"}
_LISTINGS = {"tables", "__show_tables_expanded", interactions.TABLE}
_SCHEMA = "information_schema"


class Refused(Exception):
    """A query that was refused or stopped; the message is for the client."""


def one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse all SQL but one SELECT that reads the table and what it makes itself."""
    statements = connection.extract_statements(sql)
    if not statements:
        raise Refused("the SQL is empty")
    if len(statements) > 1:
        raise Refused(f"one SELECT statement is allowed, found {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise Refused(f"only SELECT (or WITH ... SELECT) is allowed, found {kind.name}")
    [(parse,)] = connection.execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()
    try:
        parsed = json.loads(parse)
    except RecursionError:
        raise Refused("the SQL is nested too deeply") from None
    if parsed.get("error", True):
        raise Refused(f"only SELECT (or WITH ... SELECT) is allowed: {parsed.get('error_message')}")
    _look_through(parsed["statements"])


def _look_through(parsed: Any) -> None:
    # A stack instead of recursion, as expressions may be nested as deeply as the engine allows.
    waiting: list[tuple[Any, frozenset[str]]] = [(parsed, frozenset())]
    while waiting:
        part, names = waiting.pop()
        if isinstance(part, dict):
            _check(part, names)
            waiting += _within(part, names)
        elif isinstance(part, list):
            waiting += [(item, names) for item in part]


def _check(part: dict[str, Any], names: frozenset[str]) -> None:
    kind = part.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _QUERIES:
        clause = kind.removesuffix("_NODE").removesuffix("_QUERY")
        raise Refused(f"only SELECT (or WITH ... SELECT) is allowed, found {clause} inside")
    if kind == "BASE_TABLE":
        _check_table(part, names)
    elif kind == "TABLE_FUNCTION":
        name = str(part.get("function", {}).get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            known = ", ".join(sorted(_TABLE_FUNCTIONS))
            raise Refused(f"the table function {name} is not allowed; there are {known}")
    elif kind == "SHOW_REF" and (name := str(part.get("table_name") or "").strip('"').lower()):
        if name not in _LISTINGS:
            raise Refused(f"{name} cannot be shown; SHOW TABLES and DESCRIBE {interactions.TABLE} can")
    elif kind == "FUNCTION" and str(part.get("function_name", "")).lower() in _FUNCTIONS:
        raise Refused(f"the function {part['function_name']} is not allowed")


def _check_table(part: dict[str, Any], names: frozenset[str]) -> None:
    table, schema = str(part.get("table_name", "")), str(part.get("schema_name") or "")
    if table.lower() == interactions.TABLE or (not schema and table.lower() in names) or schema.lower() == _SCHEMA:
        return
    full_name = f"{schema}.{table}" if schema else table
    raise Refused(f"Table with name {full_name} does not exist; the table is {interactions.TABLE}")


def _within(part: dict[str, Any], names: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """Return what a part holds, each with the names that WITH has given there; a name is not known before it is
    given."""
    if part.get("type") in ("RECURSIVE_CTE_NODE", "CTE_NODE"):
        names |= {str(part.get("cte_name", "")).lower()}
    for clause in (part.get("cte_map") or {}).get("map") or ():
        yield clause.get("value"), names
        names |= {str(clause.get("key", "")).lower()}
    for name, inner in part.items():
        if name != "cte_map" and isinstance(inner, dict | list):
            yield inner, names
