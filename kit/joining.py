"""SQL over whatever is at hand: frames, Arrow tables, Parquet scans, feeds, and handles on streams, joined in DuckDB.

A handle is read while the query runs, batch by batch, and only when the query names it. What the query does not need is
not read: other columns are not decoded, and a condition on the position or the time bounds the read at the service.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pyarrow.dataset as ds

from .core.errors import InputError, KitError, SetupError
from .core.ranged import Drift, View
from .readable import Readable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")
_AGAIN = 5
"""How often a query begins anew because records did not fit the columns; each time the columns fit all seen so far."""
_BATCH = 65_536


@overload
def sql(
    query: str, *, arrow: Literal[False] = False, params: Sequence[Any] | Mapping[str, Any] = (), **tables: Any
) -> pd.DataFrame: ...
@overload
def sql(
    query: str, *, arrow: Literal[True], params: Sequence[Any] | Mapping[str, Any] = (), **tables: Any
) -> pa.RecordBatchReader: ...
def sql(
    query: str, *, arrow: bool = False, params: Sequence[Any] | Mapping[str, Any] = (), **tables: Any
) -> pd.DataFrame | pa.RecordBatchReader:
    """The result of a query as a DataFrame; with `arrow=True` as a stream of Arrow batches.

    Tables are DataFrames, Arrow tables, `kit.scan(path)`, feeds, and handles on streams, given by name or, like in
    DuckDB itself, variables of the caller. A handle is read only if the query names it, without being held in memory;
    conditions on its position or time column bound the read itself. `$1`, `$2` in the query are `params`, or `$name`
    those of a dict. Files are read by their path: `from 'x.parquet'`.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "total": [1, 2, 3]})
    >>> sql("select city, sum(total) as total from frame where total < $1 group by 1 order by 1", params=[3])
       city  total
    0  Oslo      1
    1  Rome      2

    Where later records of a handle do not fit the columns that were decided on a sample, the query is made again with
    columns that hold them.
    """
    frame = sys._getframe(1)
    namespace = {**frame.f_globals, **frame.f_locals}
    answer = _answer(query, tables, params, namespace)
    return answer.arrow() if arrow else answer.df()


def query(
    text: str, tables: Mapping[str, Any], params: Sequence[Any] | Mapping[str, Any], namespace: Mapping[str, Any]
) -> Answer:
    """The same for a caller that has the namespace at hand; nothing is run before `df()` or `arrow()`."""
    return _answer(text, tables, params, namespace)


def _answer(
    text: str, tables: Mapping[str, Any], params: Sequence[Any] | Mapping[str, Any], namespace: Mapping[str, Any]
) -> Answer:
    if not isinstance(text, str) or not text.strip():
        raise InputError("there is no query")
    for name, value in tables.items():
        if not takes(value):
            raise InputError(
                f"{name}= is {type(value).__name__}, which is no table",
                hint="give a DataFrame, an Arrow table or stream, kit.scan(path), or a handle like s2[basin][stream]",
            )
    return Answer(text, {**namespace, **tables}, params)


def takes(value: Any) -> bool:
    """Whether a value can be a table of a query."""
    return (
        _offered(value) is not value
        or hasattr(type(value), "__arrow_c_stream__")
        or any(
            kind.__module__.partition(".")[0] in ("pandas", "pyarrow", "polars", "duckdb", "numpy")
            for kind in type(value).__mro__
        )
    )


class Answer:
    """The result of a query that has not been run yet: `df()` for a DataFrame, `arrow()` for a stream of batches."""

    def __init__(self, text: str, namespace: Mapping[str, Any], params: Sequence[Any] | Mapping[str, Any]) -> None:
        self._text = text
        self._params = dict(params) if isinstance(params, Mapping) else list(params)
        self._views: list[View] = []
        self._space = {name: self._offered(value) for name, value in namespace.items()}

    def df(self) -> pd.DataFrame:
        """All rows, with the same kinds of columns as everywhere: decimals are numbers, texts `str`."""
        from .core.frames import to_frame

        return to_frame(_numbers(self.table()))

    def table(self) -> pa.Table:
        """All rows as an Arrow table, in DuckDB's own types."""
        return self._run(lambda relation: relation.to_arrow_table())

    def arrow(self) -> pa.RecordBatchReader:
        """The rows as they are found."""
        import pyarrow as pa

        reader, first = self._run(_opened)

        def batches() -> Any:
            at: Any = first
            while at is not None:
                yield at
                try:
                    with _interruptible():
                        at = next(reader, None)
                except Exception as error:
                    raise self._told(error) from None

        return pa.RecordBatchReader.from_batches(reader.schema, batches())

    def _offered(self, value: Any) -> Any:
        offered = _offered(value)
        if isinstance(offered, View):
            self._views.append(offered)
        return offered

    def _run(self, take: Callable[[Any], T]) -> T:
        connection = _engine()
        for left in reversed(range(_AGAIN)):
            for view in self._views:
                view.failure = None
            # The engine looks for tables among the variables of whoever calls it: this line, in that namespace.
            code = "__kit_connection__.sql(__kit_text__, params=__kit_params__)"
            own = {"connection": connection, "text": self._text, "params": self._params or None}
            space = {**self._space, **{f"__kit_{name}__": value for name, value in own.items()}}
            try:
                with _interruptible():
                    return take(_with_rows(eval(code, space)))  # noqa: S307  the text is the constant above
            except KitError:
                raise
            except Exception as error:
                drifted = [view for view in self._views if isinstance(view.failure, Drift)]
                if not drifted or not left:
                    raise self._told(error) from None
                for view in drifted:
                    assert isinstance(view.failure, Drift)
                    view.widen(view.failure.wider)
        raise AssertionError("unreachable")

    def _told(self, error: Exception) -> BaseException:
        """The error of the read that failed, where one did; else the engine's, in its own words."""
        failure = next((view.failure for view in self._views if view.failure is not None), None)
        if failure is not None:
            return failure
        import duckdb

        if isinstance(error, duckdb.Error):
            return QueryError(str(error), self._hint(error))
        return error

    def _hint(self, error: Exception) -> str | None:
        if type(error).__name__ == "CatalogException" and "Table with name" in str(error):
            near = [name for name, value in self._space.items() if not name.startswith("_") and takes(value)]
            return f"tables at hand: {', '.join(near[:20])}" if near else "give tables by name: kit.sql(query, t=frame)"
        return None


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have an interrupt end what is done in here as KeyboardInterrupt, wherever it meets the engine.

    The engine turns it into an error of its own, of several kinds, and where it looks for a table it swallows it.
    """
    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):
        yield
        return
    noticed = False

    def notice(number: int, frame: Any) -> Any:
        nonlocal noticed
        noticed = True
        return before(number, frame)

    signal.signal(signal.SIGINT, notice)
    try:
        yield
    except Exception:
        if not noticed:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if noticed:
        raise KeyboardInterrupt


class QueryError(KitError, ValueError):
    """A query that the engine does not take; the message is the engine's."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, service="duckdb", op="sql")


def _offered(value: Any) -> Any:
    """What the engine is given in place of a value: a view of a handle, the dataset of a scan, the frame of a feed."""
    if isinstance(value, Readable):
        return View(value._ranged(), strict=True)
    if isinstance(value, View):
        return value
    kind = type(value)
    if kind.__module__.startswith("kit."):
        if hasattr(kind, "_dataset"):
            return Later(value._dataset)
        if kind.__module__.startswith("kit.live.") and hasattr(kind, "df"):
            return Later(lambda: _table(value.df))
    return value


class Later(ds.Dataset):  # type: ignore[misc]
    """A table that is made when a query names it: the files of a scan are opened, the rows of a feed copied then."""

    def __new__(cls, make: Callable[[], Any]) -> Later:
        later: Later = ds.Dataset.__new__(cls)
        return later

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Any:
        return self._make()

    @property
    def schema(self) -> pa.Schema:
        return self._made.schema

    def scanner(self, columns: Any = None, filter: Any = None, **_: Any) -> Any:
        """Some columns of the rows for which a filter is true."""
        return self._made.scanner(columns=columns, filter=filter)


def _with_rows(relation: Any) -> Any:
    if relation is None:
        raise InputError("the query gives no rows")
    return relation


def _table(frame: pd.DataFrame) -> Any:
    import pyarrow as pa

    return ds.dataset(pa.Table.from_pandas(frame, preserve_index=False))


def _opened(relation: Any) -> tuple[Any, Any]:
    reader = relation.to_arrow_reader(_BATCH)
    return reader, next(iter(reader), None)


def _engine() -> Any:
    try:
        import duckdb
    except ImportError:
        raise SetupError(
            "kit.sql needs DuckDB, which is not installed", hint='pip install "kit-notebook[sql]"'
        ) from None
    connection = duckdb.connect(":memory:")
    # Files of the user's are open to the user's queries; nothing is fetched from the network unasked.
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _numbers(table: pa.Table) -> pa.Table:
    """Decimals as numbers: sums of integers are integers again where they fit, as DuckDB adds in 128 bits."""
    import pyarrow as pa

    for n, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            column = table.column(n)
            try:
                column = column.cast(pa.int64() if field.type.scale == 0 else pa.float64())
            except pa.ArrowInvalid:
                column = column.cast(pa.float64(), safe=False)
            table = table.set_column(n, field.name, column)
    return table
