"""Rows of a feed as a file: CSV for other programs, or Parquet with all types."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...core.errors import InputError
from ...core.files import draft
from ...core.tables.texts import texts
from ..columns import plain_array

FORMS = (".csv", ".parquet")


def form_of(path: Any) -> str:
    """Return the format of a file by the end of its name; raise InputError for other names."""
    form = Path(path).suffix.lower()
    if form not in FORMS:
        raise InputError(f"{os.fspath(path)!r} is neither CSV nor Parquet", hint="end the name with .csv or .parquet")
    return form


def save(table: pa.Table, path: Any) -> Path:
    """Write rows to a file, completely or not at all. The end of the name selects the format.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> save(pa.table({"n": [1], "tags": [["a", "b"]]}), folder / "rows.csv").read_text()
    '"n","tags"\\n1,"[""a"",""b""]"\\n'
    """
    form, target = form_of(path), Path(path).expanduser()
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {str(target.parent)!r}", hint="make it first, or name another")
    with draft(target) as part:
        if form == ".csv":
            import pyarrow.csv

            columns = {name: _plain(plain_array(table.column(name))) for name in table.column_names}
            pyarrow.csv.write_csv(pa.table(columns), part, pyarrow.csv.WriteOptions(quoting_style="needed"))
        else:
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, part)
    return target


def _plain(column: pa.Array) -> pa.Array:
    """Return a column for CSV: numbers as they are, everything else as text."""
    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return column if is_number else texts(column)


def free_name(stem: str, form: str) -> str:
    """Return the name of a file that does not exist yet."""
    name, n = f"{stem}{form}", 2
    while Path(name).exists():
        name, n = f"{stem}_{n}{form}", n + 1
    return name
