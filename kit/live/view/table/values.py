"""Values of columns as short, escaped text for a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ....core.html import visible
from ....core.tables.moments import in_unit

SHOWN = 120
"""The largest number of characters of a value in the table; its title shows up to `TITLE`."""
TITLE = 1000
_BYTES = 64


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell and its title, both escaped; `width` is in characters."""

    text: str
    title: str = ""
    width: int = 0


_NONE = Cell("", "", 0)


def cells(column: pa.ChunkedArray | pa.Array, now: datetime) -> list[Cell]:
    """Return the values of a column as cells."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return [_NONE if value is None else _moment(value, now) for value in _moments(column)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # Cut before they become Python objects: a text may have megabytes.
        sizes = pc.binary_length(column).to_pylist()
        parts = pc.utf8_slice_codeunits(column, 0, TITLE + 1).to_pylist()
        return [_NONE if part is None else _text(part, size or 0) for part, size in zip(parts, sizes, strict=True)]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        sizes = pc.binary_length(column).to_pylist()
        parts = [_head(value) for value in column]
        return [_NONE if part is None else _bytes(part, size or 0) for part, size in zip(parts, sizes, strict=True)]
    values = column.to_pylist()
    if pa.types.is_floating(kind):
        return [_NONE if value is None else _float(value) for value in values]
    if pa.types.is_boolean(kind):
        return [_NONE if value is None else _short("true" if value else "false") for value in values]
    if pa.types.is_nested(kind):
        return [_NONE if value is None else _text(_json(value), 0) for value in values]
    return [_NONE if value is None else _text(str(value), 0) for value in values]


def right(kind: pa.DataType) -> bool:
    """Return whether values of this type are aligned to the right."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def label(name: str, longest: int = 40) -> Cell:
    """Return the name of a column as a cell."""
    return _cut(name, longest)


def safe(text: str) -> str:
    """Return escaped text on one line."""
    return escape(text if text.isprintable() else visible(text).replace("\n", "⏎"))


def _short(text: str) -> Cell:
    return Cell(escape(text), "", len(text))


def _head(value: pa.Scalar) -> bytes | None:
    """Return the first bytes of a value: it may have megabytes."""
    buffer = value.as_buffer()
    return None if buffer is None else buffer.slice(0, min(buffer.size, TITLE + 4)).to_pybytes()


def _text(text: str, size: int) -> Cell:
    cell = _cut(text, SHOWN)
    if size > TITLE and len(text) > TITLE:
        return Cell(cell.text, f"{cell.title}… ({size:,} bytes)", cell.width)
    return cell


def _cut(text: str, longest: int) -> Cell:
    shown = text if text.isprintable() else visible(text[: TITLE + 1]).replace("\n", "⏎")
    if len(shown) <= longest:
        return Cell(escape(shown), "", len(shown))
    return Cell(escape(shown[:longest]) + "…", escape(shown[:TITLE]), longest + 1)


def _bytes(part: bytes, size: int) -> Cell:
    try:
        text = part.decode() if size <= len(part) else part.decode("utf-8", "ignore")
        if size > len(part) and len(text.encode()) < len(part) - 3:
            raise ValueError
    except ValueError:
        more = "" if size <= _BYTES else f"… ({size:,} bytes)"
        return Cell(
            f"0x{part[:24].hex()}{'…' if size > 24 else ''}", f"0x{part[:_BYTES].hex()}{more}", 2 + 2 * min(size, 24)
        )
    return _text(text, size)


def _float(value: float) -> Cell:
    exact = repr(value)
    if len(exact) <= 10:
        return _short(exact)
    return Cell(f"{value:.6g}", exact, len(f"{value:.6g}"))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return str(value)


def _moments(column: pa.ChunkedArray | pa.Array) -> Sequence[datetime | None]:
    """Return times in the local zone. Times that Python does not have become None."""
    naive = column.type.tz is None
    numbers = in_unit(column, "ms").cast(pa.int64())
    beyond = pc.or_(pc.greater(numbers, 253_402_214_400_000), pc.less(numbers, -62_135_596_800_000))
    if pc.any(beyond).as_py():
        column = pc.if_else(beyond, None, column)
    moments = in_unit(column, "us").to_pylist()
    return moments if naive else [None if moment is None else _local(moment) for moment in moments]


def _local(moment: datetime) -> datetime:
    try:
        return moment.astimezone()
    except OverflowError:
        return moment  # the first day of the year 1, which some write for no time at all


def _moment(moment: datetime, now: datetime) -> Cell:
    clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    today = moment.date() == now.date()
    text = clock if today else f"{moment.date().isoformat()} {clock}"
    return Cell(text, moment.isoformat(sep=" ", timespec="milliseconds"), len(text))
