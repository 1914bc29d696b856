"""Encoding rows of SQLite as a result on the wire, followed by the types of the columns."""

from __future__ import annotations

import re
import sqlite3
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from ....kimberlite.wire.framing import MAX_PAYLOAD
from ....kimberlite.wire.protocol.postcard import varint, write_text, zigzag
from ....kimberlite.wire.sqltypes import TYPES, Type
from ....kimberlite.wire.values import BIGINT, BOOLEAN, NULL, TEXT, TIMESTAMP
from ..refusal import EXECUTION, Refusal
from .decimals import number, shown
from .functions import as_text
from .stamps import MARK, is_stamp, nanoseconds, stamp

_BATCH = 4096
_AS_TEXT = (Type.DATE, Type.TIME, Type.REAL, Type.DECIMAL)
_FEW = 200
"""Up to this many rows are written one by one; for more, encoding by columns is faster."""
_LARGEST = MAX_PAYLOAD - 64 * 1024
_AGGREGATE = re.compile(r"(count|sum|avg|min|max)\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(r"^(DISTINCT )?[^\W\d]\w*\.", re.IGNORECASE)


def column_name(name: str) -> str:
    """Return a column's name as the server gives it: aggregates in capitals and without the table.

    >>> column_name("count( * )"), column_name("Sum(o.amount)"), column_name("total")
    ('COUNT(*)', 'SUM(amount)', 'total')
    """
    call = _AGGREGATE.fullmatch(name.strip())
    if call is None:
        return name
    inner = _TABLE.sub(lambda match: match[1] or "", " ".join(call[2].split()))
    return f"{call[1].upper()}({inner})"


class Reordered:
    """The rows of a cursor with their columns in another order."""

    def __init__(self, cursor: sqlite3.Cursor, order: Sequence[int]) -> None:
        self._cursor = cursor
        self._order = order

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        return [tuple([row[n] for n in self._order]) for row in self._cursor.fetchmany(size)]


class Encoder:
    """Encodes the rows of a cursor as the body of an answer."""

    def __init__(self, names: Sequence[str], declared: Sequence[str]) -> None:
        self._names = names
        self._kinds = [_kind(declared[n]) if n < len(declared) else None for n in range(len(names))]
        self._declared = [declared[n] if self._kinds[n] else "" for n in range(len(names))]
        self._seen: list[set[type]] = [set() for _ in names]

    def body(self, cursor: sqlite3.Cursor | Reordered) -> bytes:
        """Return the columns' names, the rows, and the types."""
        pieces, size, count = list[bytes](), 0, 0
        rows = cursor.fetchmany(_FEW)
        while rows:
            count += len(rows)
            for types, column in zip(self._seen, zip(*rows, strict=True), strict=True):
                types.update(map(type, column))
            piece = self._few(rows) if len(rows) <= _FEW else self._many(rows)
            size += len(piece)
            if size > _LARGEST:
                raise Refusal(
                    EXECUTION,
                    f"the result is larger than the {MAX_PAYLOAD >> 20} MiB that an answer can have: ask for fewer"
                    " columns, or page by primary key (WHERE key > $1 ORDER BY key LIMIT n)",
                )
            pieces.append(piece)
            rows = cursor.fetchmany(_BATCH)
        head = bytearray(varint(len(self._names)))
        for name in self._names:
            write_text(head, name)
        return b"".join((head, varint(count), *pieces))

    def types(self) -> list[str]:
        """Return the type of each column: as declared, or as its values are."""
        return [self._type(n) for n in range(len(self._names))]

    def _type(self, n: int) -> str:
        if self._declared[n]:
            return self._declared[n]
        types = self._seen[n] - {type(None)}
        if types == {int}:
            return "BIGINT"
        if types in ({float}, {float, int}):
            return "REAL"
        if types == {str}:
            return "TEXT"
        return "TIMESTAMP" if types == {bytes} and self._kinds[n] is not Type.BYTES else ""

    def _few(self, rows: Sequence[Sequence[Any]]) -> bytes:
        out, head, kinds = bytearray(), varint(len(self._names)), self._kinds
        for row in rows:
            out += head
            for value, kind in zip(row, kinds, strict=True):
                write_cell(out, value, kind)
        return bytes(out)

    def _many(self, rows: Sequence[Sequence[Any]]) -> bytes:
        import pyarrow as pa
        import pyarrow.compute as pc

        from ....kimberlite.wire.columns import contents

        wide = pa.large_binary()
        columns = [_cells(column, kind) for column, kind in zip(zip(*rows, strict=True), self._kinds, strict=True)]
        head = pa.scalar(varint(len(self._names)), wide)
        joined = pc.binary_join_element_wise(head, *columns, pa.scalar(b"", wide))
        return contents(joined)[1]


def _kind(declared: str) -> Type | None:
    word = declared.partition("(")[0].partition(" ")[0]
    return TYPES.get(word.upper())


def write_cell(out: bytearray, value: Any, kind: Type | None) -> None:
    """Add a cell as a column of this type has it."""
    if value is None:
        out.append(NULL)
    elif isinstance(value, str) and kind is not Type.DECIMAL:
        out.append(TEXT)
        write_text(out, value)
    elif isinstance(value, bytes) and kind is not Type.BYTES and is_stamp(value):
        out.append(TIMESTAMP)
        out += varint(zigzag(nanoseconds(value)))
    elif isinstance(value, int) and kind is Type.BOOLEAN:
        out.append(BOOLEAN)
        out.append(bool(value))
    elif isinstance(value, int) and kind not in _AS_TEXT:
        out.append(BIGINT)
        out += varint(zigzag(value))
    else:
        out.append(TEXT)
        write_text(out, _text(value, kind))


def _is_unusual(text: str) -> bool:
    """Return whether a decimal may be written otherwise on the wire than it is kept."""
    return text[-1] in "0." or not text[0].isdigit() or "e" in text or "E" in text


def _text(value: Any, kind: Type | None) -> str:
    if kind is Type.DECIMAL and (decimal := number(value)) is not None:
        return shown(decimal)
    if isinstance(value, int) and kind in (Type.DATE, Type.TIME):
        return f"{'Date' if kind is Type.DATE else 'Time'}({value})"
    if kind is Type.BYTES and isinstance(value, bytes):
        return b64encode(value).decode()
    return as_text(value)


def _cells(column: Sequence[Any], kind: Type | None) -> Any:
    """Return the encoded cells of a column, as `large_binary`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    types = set(map(type, column)) - {type(None)}
    mask = np.array([value is None for value in column])
    plain: Any
    if types == {int} and kind not in _AS_TEXT:
        numbers = pa.array(column, pa.int64()).fill_null(0).to_numpy()
        plain = _booleans(numbers) if kind is Type.BOOLEAN else _numbers(numbers, BIGINT)
    elif types == {str} and not (kind is Type.DECIMAL and any(map(_is_unusual, filter(None, column)))):
        plain = _texts(pa.array(column, pa.large_string()).fill_null(""))
    elif types == {float} and (short := _floats(pa.array(column, pa.float64()).fill_null(0.0))) is not None:
        plain = _texts(short)
    elif types == {bytes} and kind is not Type.BYTES and (times := _times(column)) is not None:
        plain = _numbers(times, TIMESTAMP)
    else:
        cells = []
        for value in column:
            out = bytearray()
            write_cell(out, value, kind)
            cells.append(bytes(out))
        return pa.array(cells, pa.large_binary())
    return pc.if_else(pa.array(mask), pa.scalar(bytes([NULL]), pa.large_binary()), plain) if mask.any() else plain


def _numbers(values: Any, tag: int) -> Any:
    import numpy as np

    from ....kimberlite.wire.columns import varint_column

    folded = (values.astype(np.int64) << 1 ^ values.astype(np.int64) >> 63).view(np.uint64)
    return varint_column(folded, bytes([tag]))[0]


def _booleans(values: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    data = np.empty((len(values), 2), np.uint8)
    data[:, 0], data[:, 1] = BOOLEAN, values != 0
    offsets = np.arange(0, 2 * len(values) + 1, 2)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(values), buffers)


def _times(column: Sequence[Any]) -> Any:
    """Return the nanoseconds of a column of times, or None where some of its bytes are not a time."""
    import numpy as np

    none = stamp(0)
    whole = b"".join([none if value is None else value for value in column])
    if len(whole) != len(none) * len(column) or set(map(len, filter(None, column))) != {len(none)}:
        return None
    parts = np.frombuffer(whole, np.dtype([("mark", f"S{len(MARK)}"), ("time", ">u8")]))
    # numpy drops NULs at the end of a text.
    if not (parts["mark"] == MARK.rstrip(b"\0")).all():
        return None
    return (parts["time"].astype(np.uint64) ^ np.uint64(1 << 63)).view(np.int64)


def _texts(column: Any) -> Any:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from ....kimberlite.wire.columns import varint_column

    wide = pa.large_binary()
    data = column.cast(wide)
    heads, _ = varint_column(np.asarray(pc.binary_length(data)).astype(np.uint64), bytes([TEXT]))
    return pc.binary_join_element_wise(heads, data, pa.scalar(b"", wide))


def _floats(column: Any) -> Any:
    """Return numbers as text, or None where Arrow writes one of them otherwise than `as_text` does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = pc.abs(column)
    usual = pc.or_(pc.and_(pc.greater_equal(size, 1e-4), pc.less(size, 1e9)), pc.equal(column, 0.0))
    if not pc.all(usual).as_py():
        return None
    # Adding zero turns -0.0 into 0.0.
    return pc.add(column, 0.0).cast(pa.string()).cast(pa.large_string())
