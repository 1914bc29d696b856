"""Rows of a feed as a file: CSV for others, Parquet with every type as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...core.errors import InputError
from ...core.files import draft
from ..columns import plain_array

FORMS = (".csv", ".parquet")


def form_of(path: Any) -> str:
    """Return what a file is to be, by the end of its name; refused where that says neither."""
    form = Path(path).suffix.lower()
    if form not in FORMS:
        raise InputError(f"{os.fspath(path)!r} is neither CSV nor Parquet", hint="end the name with .csv or .parquet")
    return form


def save(table: pa.Table, path: Any) -> Path:
    """Write rows to a file, whole or not at all; the end of the name says what it is to be.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> save(pa.table({"n": [1], "tags": [["a", "b"]]}), folder / "rows.csv").read_text()
    '"n","tags"\\n1,"[""a"", ""b""]"\\n'
    """
    form, target = form_of(path), Path(path).expanduser()
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {str(target.parent)!r}", hint="make it first, or name another")
    with draft(target) as part:
        if form == ".csv":
            import pyarrow.csv

            pyarrow.csv.write_csv(_plain(table), part)
        else:
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, part)
    return target


def free_name(stem: str, form: str) -> str:
    """Return the name of a file that is not there yet."""
    name, n = f"{stem}{form}", 2
    while Path(name).exists():
        name, n = f"{stem}_{n}{form}", n + 1
    return name


def _plain(table: pa.Table) -> pa.Table:
    """Return the columns as CSV can have them: bytes as text, or as hex where one of them is none; what is nested as
    JSON."""
    columns = {}
    for name in table.column_names:
        values = plain_array(table.column(name))
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            values = _text(values)
        elif pa.types.is_nested(values.type):
            told = [
                None if one is None else json.dumps(one, ensure_ascii=False, default=str) for one in values.to_pylist()
            ]
            values = pa.array(told, pa.string())
        elif pa.types.is_null(values.type):
            values = pa.nulls(len(values), pa.string())
        columns[name] = values
    return pa.table(columns)


def _text(values: pa.Array) -> pa.Array:
    try:
        found = pa.array([None if one is None else one.decode() for one in values.to_pylist()], pa.string())
    except UnicodeDecodeError:
        found = pa.array([None if one is None else f"0x{one.hex()}" for one in values.to_pylist()], pa.string())
    return found
