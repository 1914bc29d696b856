"""Partitions: the rows with one value each, in a folder named after the value.

The folder's name is for engines that read such folders, and for people. It may be shortened, and does not say which
type the value has. So the metadata of each file contains the values of its partition too, and `kit.scan` reads them
from there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ...core.errors import InputError

KEYS = b"kit.partition"
"""The key of a file's metadata that holds the values of its partition: a batch of one row, Arrow's stream in base64."""
TIMES = {"date": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}
"""Columns derived from the time, if there are none of these names."""
MOST = 1000
_NULL = "__HIVE_DEFAULT_PARTITION__"
_LONGEST = 160
"""Characters of a value, as encoded, in the name of a folder; file systems allow about 250."""


def check(names: Sequence[str], schema: pa.Schema) -> None:
    """Refuse missing columns, and those that cannot be partitioned by."""
    for name in names:
        if name not in schema.names:
            if name in TIMES and "time" in schema.names:
                continue
            raise InputError(
                f"partition_by={name!r}: there is no such column",
                hint=f"there are {', '.join(schema.names)}, and date and hour of the time",
            )
        if pa.types.is_nested(schema.field(name).type):
            raise InputError(
                f"partition_by={name!r}: the column holds {schema.field(name).type}, which cannot name a folder",
                hint="choose a column of single values, or give it another type with types=",
            )


def parted(table: pa.Table, names: Sequence[str]) -> tuple[int, Iterator[tuple[pa.RecordBatch, pa.Table]]]:
    """Return how many partitions the rows are of; and the values of each, as a batch of one row, with its rows."""
    keys = pa.table([_values(table, name) for name in names], names=[f"k{n}" for n in range(len(names))])
    groups = keys.append_column("row", pa.array(range(len(table)), pa.int64())).group_by(keys.column_names)
    rows = groups.aggregate([("row", "list")]).column("row_list")
    if len(rows) > MOST:
        raise InputError(
            f"partition_by={list(names)}: {len(rows):,} different values among {len(table):,} records",
            hint=f"choose columns with fewer; at most {MOST} files are written at once",
        )
    rest = [name for name in table.column_names if name not in names]

    def each() -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
        for row in rows:
            places = pc.take(row.values, pc.sort_indices(row.values))
            one = keys.take(places.slice(0, 1)).rename_columns(list(names)).combine_chunks()
            yield one.to_batches()[0], table.take(places).select(rest)

    return len(rows), each()


def folder(keys: pa.RecordBatch) -> str:
    """Return the folder of a partition, with a / at its end.

    >>> folder(pa.record_batch({"k": ["a/b"], "n": [None], "_x": [1.5]}))
    'k=a%2Fb/n=__HIVE_DEFAULT_PARTITION__/%5Fx=1.5/'
    """
    # Readers of folders skip names that begin with a dot or an underscore.
    named = [(_visible(_short(name)), column[0]) for name, column in zip(keys.schema.names, keys.columns, strict=True)]
    return "".join(f"{name}={_text(value)}/" for name, value in named)


def packed(keys: pa.RecordBatch) -> bytes:
    """Return the values of a partition in the form of a file's metadata."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, keys.schema) as writer:
        writer.write_batch(keys)
    return base64.b64encode(sink.getvalue())


def unpacked(encoded: bytes) -> pa.RecordBatch:
    """Return the values of a partition from a file's metadata."""
    try:
        [batch] = pa.ipc.open_stream(base64.b64decode(encoded, validate=True))
        batch.validate(full=True)
        if batch.num_rows != 1:
            raise ValueError(f"{batch.num_rows} rows")
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InputError(f"the values of a partition cannot be read: {error!r:.200}") from None
    return batch


def from_path(path: str, names: Sequence[str]) -> pa.RecordBatch:
    """Return the values of a partition where only the path tells them: texts, as in folders of earlier versions."""
    steps: Mapping[str, str] = dict(step.split("=", 1) for step in path.split("/")[:-1] if "=" in step)
    values = [None if (text := steps.get(name)) in (None, _NULL) else unquote(str(text)) for name in names]
    return pa.record_batch([pa.array([value], pa.string()) for value in values], names=list(names))


def condition(keys: pa.RecordBatch) -> ds.Expression:
    """Return an expression that is true for all rows of a partition."""
    expression = pc.scalar(True)
    for name, column in zip(keys.schema.names, keys.columns, strict=True):
        field = pc.field(name)
        expression = expression & (field == column[0] if column[0].is_valid else field.is_null())
    return expression


def _values(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pc.strftime(table.column("time"), format=TIMES[name])
    column = table.column(name)
    # Arrow does not put dictionaries with a null together again.
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _text(value: pa.Scalar) -> str:
    if not value.is_valid:
        return _NULL
    if pa.types.is_binary(value.type) or pa.types.is_large_binary(value.type):
        return _short(value.as_py().hex())
    text = _short(value.cast(pa.string()).as_py())
    return _visible(text) if text == _NULL else text


def _short(text: str) -> str:
    """Return the text for use in a path; a long one is shortened, with a digest to keep it unique."""
    whole = quote(text, safe="")
    if len(whole) <= _LONGEST:
        return whole
    cut = text[: _LONGEST // 2]
    while len(quote(cut, safe="")) > _LONGEST - 20:
        cut = cut[:-1]
    return f"{quote(cut, safe='')}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _visible(text: str) -> str:
    return f"%{ord(text[0]):02X}{text[1:]}" if text[:1] in ("_", ".") else text
