"""SQL over frames, Arrow tables, Parquet scans, feeds, and handles on streams, joined in DuckDB.

A handle is read while the query runs, batch by batch, and only if the query names it. Columns that the query does not
need are not decoded, and a condition on the position or the time limits what is read from the service.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pyarrow as pa

from ..core.errors import InputError, KitError, SetupError
from ..core.log.dataset import Drift, View
from ..core.tables.into import Into, checked, shown
from .sql_tables import Tables, called, takes
from .sql_values import WIDE, integers, parameter

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_READS = ("SELECT", "EXPLAIN", "PRAGMA", "CALL", "COPY", "SET", "EXECUTE", "MULTI")
"""Statements that return rows, or that write only a requested file."""
_BATCH = 65_536
_TEXTS = ("UHUGEINT", "BIGNUM", "BIT", "TIME WITH TIME ZONE")
"""Types whose values the engine hands over as others, without a word; as texts they are what they are."""


@overload
def sql(
    query: str,
    *,
    arrow: Literal[False] = False,
    params: Sequence[Any] | Mapping[str, Any] = (),
    into: Literal["pandas"] = "pandas",
    **tables: Any,
) -> pd.DataFrame: ...
@overload
def sql(
    query: str,
    *,
    arrow: Literal[False] = False,
    params: Sequence[Any] | Mapping[str, Any] = (),
    into: Literal["polars", "arrow"],
    **tables: Any,
) -> Any: ...
@overload
def sql(
    query: str, *, arrow: Literal[True], params: Sequence[Any] | Mapping[str, Any] = (), **tables: Any
) -> pa.RecordBatchReader: ...
def sql(
    query: str,
    *,
    arrow: bool = False,
    params: Sequence[Any] | Mapping[str, Any] = (),
    into: Into = "pandas",
    **tables: Any,
) -> Any:
    """Return the result of a query as a DataFrame; with `arrow=True` as a stream of Arrow batches.

    `into="polars"` or `into="arrow"` gives the table of that library, with the types of the DataFrame.

    Tables are DataFrames, Arrow tables, `kit.scan(path)`, feeds, and handles on streams, given by name or, like in
    DuckDB itself, variables of the caller. A handle is read only if the query names it, without being held in memory;
    conditions on its position or time column bound the read itself. `$1`, `$2` in the query are `params`, or `$name`
    those of a dict. Files are read by their path: `from 'x.parquet'`.

    SQL knows no case: of columns called `A` and `a` it cannot tell one from the other, so in a query they are `"A_1"`
    and `"a_2"` (a hint says so where one is asked for by the wrong name); `select *` gives them their own names again.
    Sums of integers are integers, exact decimals where they are too large for 64 bits; decimals stay decimals; times
    keep their unit; intervals are timedeltas.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "total": [1, 2, 3]})
    >>> sql("select city, sum(total) as total from frame where total < $1 group by 1 order by 1", params=[3])
       city  total
    0  Oslo      1
    1  Rome      2

    Where later records of a handle do not fit the columns that were decided on a sample, the query is made again with
    columns that hold them.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - documented; `inspect` has no other
    namespace = {**frame.f_globals, **frame.f_locals}
    checked(into)
    answer = _answer(query, tables, params, namespace)
    if arrow:
        return answer.arrow()
    return answer.df() if into == "pandas" else shown(answer.table(), into)


def query(
    text: str,
    tables: Mapping[str, Any],
    params: Sequence[Any] | Mapping[str, Any],
    namespace: Mapping[str, Any],
    connection: Any = None,
) -> Answer:
    """Return the same for a caller that passes the namespace; nothing runs before `df()` or `arrow()`.

    One that runs queries again and again gives the connection that `engine()` made for it.
    """
    answer = _answer(text, tables, params, namespace)
    answer.connection = connection
    return answer


def _answer(
    text: str, tables: Mapping[str, Any], params: Sequence[Any] | Mapping[str, Any], namespace: Mapping[str, Any]
) -> Answer:
    if not isinstance(text, str) or not text.strip():
        raise InputError("there is no query")
    for name, value in tables.items():
        if not takes(value):
            raise InputError(
                f"{name}= is {type(value).__name__}, which is not a table",
                hint="give a DataFrame, an Arrow table or stream, kit.scan(path), or a handle like s2[basin][stream]",
            )
    return Answer(text, {**namespace, **tables}, params)


def named_tables(text: Any) -> set[str]:
    """Return the tables that a query names; raise if the statement returns no rows."""
    if not isinstance(text, str) or not text.strip():
        raise InputError("there is no query")
    with _interruptible():
        connection = engine()
        kind = _kind(connection, text)
        if kind not in ("SELECT", "MULTI"):
            raise InputError(
                f"a live query asks for rows, and this is {kind}", hint="begin it with select, from, or with"
            )
        ((tree,),) = connection.execute("select json_serialize_sql($1)", [text]).fetchall()
    names: set[str] = set()
    own: set[str] = set()
    waiting = [json.loads(tree)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE" and not node.get("schema_name"):
                names.add(node["table_name"])
            if isinstance(ctes := node.get("cte_map"), dict):
                own |= {item["key"].lower() for item in ctes.get("map", ())}
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return {name for name in names if name.lower() not in own}


def _kind(connection: Any, text: str) -> str:
    """Return the kind of the last statement."""
    import duckdb

    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    return statements[-1].type.name.replace("_", " ") if statements else "nothing"


class Answer:
    """A query that has not run yet: `df()` runs it and gives a DataFrame, `arrow()` a stream of batches."""

    def __init__(self, text: str, namespace: Mapping[str, Any], params: Sequence[Any] | Mapping[str, Any]) -> None:
        self._text = text
        self._params = _parameters(params)
        self.connection: Any = None
        """Its own where it is given none."""
        self._tables = Tables(text, namespace)

    def df(self) -> pd.DataFrame:
        """Return all rows, with the same kinds of columns as everywhere.

        Integers of 128 bits, which sums of integers are, become `int64` where they fit, else exact decimals; decimals
        stay decimals. Times have the unit that they have in the tables.
        """
        from ..core.tables.frames import to_frame

        return to_frame(self.table())

    def table(self) -> pa.Table:
        """Return all rows, in the types that the columns of `df()` are made of."""

        def taken(relation: Any) -> tuple[list[str], pa.Table]:
            shown, kinds = _shown(relation)
            return kinds, shown.to_arrow_table()

        kinds, table = self._run(taken)
        columns = [
            integers(column) if kind in WIDE else self._tables.in_own_unit(name, self._real(column))
            for kind, name, column in zip(kinds, table.column_names, table.columns, strict=True)
        ]
        return pa.table(columns, names=self._names)

    def arrow(self) -> pa.RecordBatchReader:
        """Return the rows as the query produces them, in DuckDB's own types."""
        reader, first, kinds = self._run(_opened)
        schema = pa.schema(
            field.with_type(WIDE.get(kind) or self._tables.real_type(field.type)).with_name(name)
            for kind, name, field in zip(kinds, self._names, reader.schema, strict=True)
        )

        def batches() -> Any:
            at: Any = first
            while at is not None:
                columns = [
                    column.cast(kind) if named in WIDE else called(column, kind)
                    for named, column, kind in zip(kinds, at.columns, schema.types, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
                try:
                    with _interruptible(self):
                        at = next(reader, None)
                except Exception as error:
                    raise self._as_error(error) from None

        return pa.RecordBatchReader.from_batches(schema, batches())

    def interrupt(self) -> None:
        """End a run in another thread soon, with an error."""
        if self.connection is not None:
            self.connection.interrupt()

    def _real(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = self._tables.real_type(column.type)
        return (
            column if kind == column.type else pa.chunked_array([called(chunk, kind) for chunk in column.chunks], kind)
        )

    def _run(self, take: Callable[[Any], T]) -> T:
        views = self._tables.views
        with _interruptible(self):
            self.connection = connection = self.connection or engine()
            self._judge(connection)
        while True:
            for view in views:
                view.failure = None
            # The engine looks for tables among its caller's variables: those of this line, in that namespace.
            code = "__kit_connection__.sql(__kit_text__, params=__kit_params__)"
            own = {"connection": connection, "text": self._text, "params": self._params or None}
            space = {**self._tables.space, **{f"__kit_{name}__": value for name, value in own.items()}}
            try:
                with _interruptible(self):
                    relation = _with_rows(eval(code, space))  # noqa: S307  the text is the constant above
                    taken = take(relation)
                    self._names = self._tables.real_names(relation.columns)
                return taken
            except KitError:
                raise
            except Exception as error:
                # It starts again with columns that hold the new values; each time they hold more.
                drifted = [view for view in views if isinstance(view.failure, Drift)]
                if not sum(_widened(view) for view in drifted):
                    raise self._as_error(error) from None

    def _judge(self, connection: Any) -> None:
        """Refuse what would change something: it would be gone together with the query."""
        kind = _kind(connection, self._text)
        if kind not in _READS:
            raise InputError(
                f"kit.sql only reads, and this is {kind}: its effects would be lost after the query",
                hint='keep a result under a name, t = kit.sql("select ..."), which the next query can read; or write'
                " it to a file, kit.sql(\"copy (select ...) to 't.parquet'\")",
            )

    def _as_error(self, error: Exception) -> BaseException:
        """Return the error of a failed read, if there was one, else the engine's error in its own words."""
        failure = next((view.failure for view in self._tables.views if view.failure is not None), None)
        if failure is not None:
            return failure
        import duckdb

        if isinstance(error, duckdb.Error):
            return QueryError(_in_own_lines(str(error), self._text), self._hint(error))
        return error

    def _hint(self, error: Exception) -> str | None:
        if type(error).__name__ == "CatalogException" and "Table with name" in str(error):
            near = [name for name, value in self._tables.space.items() if not name.startswith("_") and takes(value)]
            return f"tables: {', '.join(near[:20])}" if near else "give tables by name: kit.sql(query, t=frame)"
        return self._tables.hint if type(error).__name__ == "BinderException" else None


_LINE = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)


def _in_own_lines(message: str, text: str) -> str:
    r"""Return the message with the caller's line numbers: the engine also counts lines that are added before the query.

    >>> _in_own_lines("Bad\n\nLINE 6:   10 / n\n ^", "select\n  10 / n")
    'Bad\n\nLINE 2:   10 / n\n ^'
    """
    match = _LINE.search(message)
    if match is None:
        return message
    lines = text.splitlines()
    excerpt = match[2].removeprefix("...").removesuffix("...")
    at = int(match[1])
    if at <= len(lines) and excerpt in lines[at - 1]:
        return message
    own = [n for n, line in enumerate(lines, 1) if excerpt in line]
    return message if len(own) != 1 else message[: match.start(1)] + str(own[0]) + message[match.end(1) :]


def _parameters(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {str(name): parameter(f"${name}", value) for name, value in given.items()}
    if isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        raise InputError(
            f"params={given!r:.80} is a single value", hint=f"give a list, params=[{given!r:.80}], or a dict by name"
        )
    return [parameter(f"${n}", value) for n, value in enumerate(given, 1)]


@contextlib.contextmanager
def _interruptible(answer: Answer | None = None) -> Iterator[None]:
    """Turn an interrupt in here into KeyboardInterrupt, wherever it meets the engine, and end the answer's query.

    The engine turns it into an error of its own, of several kinds, and where it looks for a table it swallows it. It
    may also be lost in what Python does aside, such as forgetting a weak reference: the query would go on to its end.
    """
    before = _interrupt_handler()
    if before is None:
        yield
        return
    noticed, left = False, threading.Event()

    def end(answer: Answer) -> None:
        answer.interrupt()
        while not left.wait(0.05):  # the first one may have come just before the query began to run
            answer.interrupt()

    def notice(number: int, frame: Any) -> Any:
        nonlocal noticed
        if answer is not None and not noticed:
            _thread.start_new_thread(end, (answer,))  # takes no lock, which the interrupted code may hold
        noticed = True
        return before(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield
    except Exception:
        if not noticed:
            raise
    finally:
        left.set()
        signal.signal(signal.SIGINT, before)
    if noticed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold an interrupt back until the end: while the engine is loaded it would end the whole process."""
    before = _interrupt_handler()
    if before is None:
        yield
        return
    held: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        before(*held[0])


def _interrupt_handler() -> Callable[[int, Any], Any] | None:
    """Return what an interrupt calls, if it is Python code and this is the thread in which it runs."""
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    return handler if callable(handler) else None


class QueryError(KitError, ValueError):
    """A query that the engine refuses; the message is the engine's."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, service="duckdb", op="sql")


def _widened(view: View) -> bool:
    """Return whether the columns of a view hold more now than when its reading failed."""
    before = view.schema
    assert isinstance(view.failure, Drift)
    view.widen(view.failure.wider)
    return not view.schema.equals(before)


def _shown(relation: Any) -> tuple[Any, list[str]]:
    """Return the relation with what the engine does not hand over rightly as texts, and the types that it had."""
    kinds = [str(kind) for kind in relation.types]
    wanted = [_handed(kind) for kind in relation.types]
    if not any(wanted):
        return relation, kinds
    return relation.project(", ".join(f"#{n}::{kind}" if kind else f"#{n}" for n, kind in enumerate(wanted, 1))), kinds


def _handed(kind: Any) -> str | None:
    """Return the type that a column has to get before it is handed over; None where it can stay as it is."""
    if str(kind) in _TEXTS:
        return "VARCHAR"
    if kind.id not in ("list", "array", "struct", "map"):
        return None
    children = dict(kind.children)
    size = children.pop("size", "") if kind.id == "array" else ""
    handed = {name: _handed(child) for name, child in children.items()}
    if not any(handed.values()):
        return None
    inner = [handed[name] or str(child) for name, child in children.items()]
    if kind.id == "map":
        return f"MAP({', '.join(inner)})"
    if kind.id != "struct":
        return f"{inner[0]}[{size}]"
    names = ['"' + name.replace('"', '""') + '"' for name in children]
    return f"STRUCT({', '.join(map(' '.join, zip(names, inner, strict=True)))})"


def _with_rows(relation: Any) -> Any:
    if relation is None:
        raise InputError("the query returns no rows")
    return relation


def _opened(relation: Any) -> tuple[Any, Any, list[str]]:
    shown, kinds = _shown(relation)
    reader = shown.to_arrow_reader(_BATCH)
    return reader, next(iter(reader), None), kinds


def engine() -> Any:
    """Return a connection to DuckDB as queries here are run on."""
    try:
        with _uninterrupted():
            import duckdb
    except ImportError:
        raise SetupError(
            "kit.sql needs DuckDB, which is not installed", hint='pip install "kit-notebook[sql]"'
        ) from None
    connection = duckdb.connect(":memory:")
    # Queries may read the user's files; the engine fetches nothing from the network by itself.
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET TimeZone = 'UTC'")
    return connection
