"""SQL: statements with parameters, at a position or a time; and the list of tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from ...core.html import one_line
from ..errors import InternalError, KimberliteInputError, PositionAheadError, WireError
from ..types import MAX_U64, Position, Timestamp, Value
from ..wire.naming import arranged
from ..wire.protocol.codec import requests
from ..wire.protocol.structs import Audit
from .operations import Operation, Post, answer_of, ask, asked, responses
from .stream_registry import StreamRegistry

_COMMENT = re.compile(r"\s+|--[^\n]*(?:\n|$)|/\*.*?\*/", re.DOTALL)
_WRITES = "insert|update|delete|create|drop|alter|truncate|grant|revoke|begin|commit|rollback|merge|replace|set|mask"
_TIMES = "give a position, a datetime, or its text like 2026-01-31T12:00:00Z"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of a SELECT: tuples, in the order of `columns`."""

    columns: list[str]
    rows: Sequence[tuple[Value, ...]]

    def __len__(self) -> int:
        return len(self.rows)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Give the rows as an Arrow stream, to whatever takes one: `pa.table(result)`, `pl.DataFrame(result)`."""
        import pyarrow as pa

        from ...core.tables.names import distinct
        from ..wire.results import column_of

        columns = [column_of([row[n] for row in self.rows]) for n in range(len(self.columns))]
        return pa.table(columns, names=distinct(self.columns)).__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return one_line(f"<{len(self.rows):,} rows of {', '.join(self.columns)}>")


@dataclass(frozen=True, slots=True)
class ExecuteResult:
    """The result of a statement that changes something. `log_offset` cannot be used for `at=`; use `position()`."""

    rows_affected: int
    log_offset: int


def is_read(sql: str) -> bool:
    """Return whether a statement only reads, as the server decides it.

    >>> is_read("-- all\\n select 1"), is_read("insert into t values (1)")
    (True, False)
    """
    return re.match(r"select\b|show\b|with\b|explain\b|\(", _begins(sql), re.IGNORECASE) is not None


def is_write(sql: str) -> bool:
    """Return whether a statement changes something; one that is neither is for the server to refuse.

    >>> is_write("Insert into t values (1)"), is_write("SELEC 1"), is_write("")
    (True, False, False)
    """
    return isinstance(sql, str) and re.match(rf"({_WRITES})\b", _begins(sql), re.IGNORECASE) is not None


def _begins(sql: str) -> str:
    """Return the first word behind comments."""
    at = 0
    while match := _COMMENT.match(sql, at):
        at = match.end()
    return sql[at : at + 12]


def statement(sql: str, params: Sequence[Any], at: Any = None) -> requests.Query | requests.QueryAt:
    """Return the request for a statement; `at` a position, a time, or its text.

    >>> statement("select * from t;", [], at="2026-01-31T12:00:00Z").sql
    "select * from t\\nFOR SYSTEM_TIME AS OF '2026-01-31T12:00:00Z'"
    """
    if not isinstance(sql, str) or not sql.strip():
        raise KimberliteInputError(f"a SQL statement is required, not {sql!r:.80}")
    if isinstance(params, str | bytes | bytearray | Mapping | Set) or not isinstance(params, Iterable):
        raise KimberliteInputError(
            f"params must be a list of values, in the order of $1, $2 ..., not {type(params).__name__}",
            hint="give [value, ...]",
        )
    cells = [parameter_of(value) for value in params]
    if at is None:
        return requests.Query(sql, cells)
    if isinstance(at, Position) or (hasattr(at, "__index__") and not isinstance(at, bool)):
        return requests.QueryAt(sql, cells, int(at))
    text = _time(at)
    # On a separate line, as the statement may end in a comment.
    return requests.Query(f"{sql.rstrip().rstrip(';')}\nFOR SYSTEM_TIME AS OF '{text}'", cells)


def cell_of(value: Any) -> Any:
    """Return a parameter in its wire form, if it has one that is exact for any column.

    Values of numpy, pandas and Arrow become Python's; missing values become None.

    >>> import numpy as np, pandas as pd
    >>> cell_of(np.int64(5)), cell_of(pd.NA), cell_of(float("nan"))
    (5, None, None)
    """
    module = type(value).__module__.partition(".")[0]
    if module == "pyarrow" and hasattr(value, "as_py"):
        value = value.as_py()
    elif module == "numpy" and getattr(value, "shape", None) == ():
        if value.dtype.kind not in "mM":
            value = value.item()
        elif value != value:
            return None  # NaT
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, Enum):
        return cell_of(value.value)
    return value


def parameter_of(value: Any) -> Any:
    """Return a parameter of a statement whose columns are not known."""
    value = cell_of(value)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime) or not isinstance(value, date | time | timedelta | bytes | bytearray | memoryview):
        return value
    raise KimberliteInputError(
        f"the protocol cannot carry {value!r:.60}, a {type(value).__name__}",
        hint="insert(table, df) writes such values by the types of the columns; a TEXT column can store its text",
    )


def quoted(name: str) -> str:
    """Return a name as SQL takes it.

    >>> print(quoted("claims"), quoted('the "b" one'))
    claims "the ""b"" one"
    """
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'


def _time(given: Any) -> str:
    finer = ""  # the digits behind microseconds, which Python's own times do not have
    if isinstance(given, Timestamp):
        finer = f"{given.nanoseconds % 1000:03d}"
        given = given.datetime()
    if isinstance(given, str):
        digits = re.search(r"[.,]\d{6}(\d{1,3})", given)
        finer = "" if digits is None else digits[1]
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            raise KimberliteInputError(f"at={given!r} is not a time", hint=_TIMES) from None
    if not isinstance(given, datetime):
        raise KimberliteInputError(f"at={given!r} is neither a position nor a time", hint=_TIMES)
    if given.tzinfo is None:
        raise KimberliteInputError(f"at={given.isoformat()} has no time zone", hint="add one: ...Z, or tzinfo=UTC")
    if (given.utcoffset() or timedelta()) % timedelta(minutes=1):
        given = given.astimezone(UTC)  # RFC 3339 has no seconds in an offset
    text: str = given.isoformat()
    if finer.strip("0"):
        text = re.sub(r"\.\d{6}", lambda match: match[0] + finer, given.isoformat(timespec="microseconds"))
    return text.replace("+00:00", "Z")


def query_payload(
    registry: StreamRegistry,
    sql: str,
    params: Sequence[Any],
    at: Any = None,
    tenant: int | None = None,
    audit: Audit | None = None,
) -> Operation[bytes]:
    """Return the rows as they came."""
    payload = statement(sql, params, at)
    return (yield from ask(registry.settings, Post("query", payload, tenant, audit, _brief(sql)), safe=is_read(sql)))


def query(
    registry: StreamRegistry, sql: str, params: Sequence[Any], at: Any, tenant: int | None, audit: Audit | None
) -> Operation[QueryResult]:
    """Return the rows, with the names and order of columns of the SELECT."""
    payload = yield from query_payload(registry, sql, params, at, tenant, audit)
    kind = responses.Query if isinstance(statement(sql, params, at), requests.Query) else responses.QueryAt
    answer: Any = answer_of(payload, kind)
    shown = arranged(sql, answer.columns)
    if shown is None:
        return QueryResult(answer.columns, answer.rows)
    rows = answer.rows
    if [n for n, _ in shown] != list(range(len(answer.columns))):
        rows = [tuple([row[n] for n, _ in shown]) for row in rows]
    return QueryResult([name for _, name in shown], rows)


def execute(
    registry: StreamRegistry, sql: str, params: Sequence[Any], tenant: int | None, audit: Audit | None
) -> Operation[ExecuteResult]:
    """Run a statement that changes something. It is retried only if the server certainly did nothing."""
    if is_read(sql):
        raise KimberliteInputError(
            "execute() only changes, and this statement reads",
            hint="use query(sql), which returns its rows",
        )
    post = Post("execute", statement(sql, params), tenant, audit, _brief(sql))
    answer = yield from asked(registry.settings, post, responses.Query, safe=False)
    rows = list(answer.rows)
    if answer.columns != ["rows_affected", "log_offset"] or len(rows) != 1:
        raise WireError("the answer to a statement that writes has other columns than rows_affected and log_offset")
    return ExecuteResult(int(rows[0][0]), int(rows[0][1]))  # type: ignore[arg-type]


def position(registry: StreamRegistry, tenant: int | None = None) -> Operation[Position]:
    """Return the newest position that `at=` takes: what the tables are like now, as a bookmark."""
    listed = yield from asked(
        registry.settings, Post("list_tables", requests.ListTables(), tenant), responses.ListTables
    )
    if not listed.tables:
        return Position(0)
    name = quoted(listed.tables[0].name)
    # The server reveals it only by refusing a position that does not exist yet.
    try:
        yield from ask(
            registry.settings,
            Post("position", requests.QueryAt(f"SELECT * FROM {name} LIMIT 1", [], MAX_U64), tenant),  # noqa: S608
        )
    except PositionAheadError as error:
        if error.current is not None:
            return Position(error.current)
        raise
    raise InternalError("the server did not report its position", 1)


def _brief(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 60 else line[:59] + "…"
