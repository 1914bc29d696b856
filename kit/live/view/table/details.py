"""Details of rows: a summary of each column, and single rows as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape, unescape
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ....core.html import visible
from ....core.tables.moments import UNITS
from ...columns import plain_array
from .drawing import note
from .values import cells, label

MOST_COLUMNS = 50
LONGEST = 100_000
"""The largest number of characters of a value that a record shows."""
_HEX = 4096
_BARS = 16
_LINE = "font-size:12px;line-height:18px;color:inherit;background:none"
_CELL = f' style="text-align:left;vertical-align:top;padding:1px 14px 1px 0;{_LINE}"'


def columns_html(table: pa.Table) -> str:
    """Return a summary of each column: missing and distinct values, the least, the greatest, and a histogram."""
    heads = "".join(
        f'<th scope="col"{_CELL}>{title}</th> '
        for title in ("column", "missing", "distinct", "least", "greatest", "spread")
    )
    lines = []
    for name in table.column_names[:MOST_COLUMNS]:
        values = "".join(f"<td{_CELL}>{value}</td> " for value in _facts(plain_array(table.column(name))))
        lines.append(f'<tr><th scope="row"{_CELL}>{label(name).text}</th> {values}</tr>')
    more = len(table.column_names) - MOST_COLUMNS
    foot = note(f"of {table.num_rows:,} rows in the buffer" + (f"; {more:,} more columns" if more > 0 else ""))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>{foot}"


def _facts(values: pa.Array) -> Iterator[str]:
    yield f"{values.null_count:,}"
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    if pa.types.is_null(values.type) or pa.types.is_nested(values.type) or pa.types.is_interval(values.type):
        yield from ("", "", "", "")
        return
    counted = pc.value_counts(values.drop_null())
    yield f"{len(counted):,}"
    if not len(counted) or pa.types.is_boolean(values.type):
        yield from ("", "")
    else:
        now = datetime.now().astimezone()
        known = counted.field("values")
        if pa.types.is_floating(known.type) and not pc.all(pc.is_nan(known)).as_py():
            known = known.filter(pc.invert(pc.is_nan(known)))
        at = pc.sort_indices(known)
        for place in (at[0], at[-1]):
            yield cells(known.take(pa.array([place.as_py()])), now)[0].text
    yield _bars(_spread(values.drop_null(), counted))


def _spread(values: pa.Array, counted: Any) -> list[int]:
    """Return the counts of a histogram: numbers and times in equal steps, of other values the most frequent ones."""
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        values = values.cast(pa.int64() if kind.bit_width == 64 else pa.int32())
        kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = np.asarray(values.cast(pa.float64(), safe=False))
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers) or not np.isfinite(float(numbers.max()) - float(numbers.min())):
            return []
        # From the least one on, as floats do not tell large numbers apart; for whole ones this is exact.
        numbers = _from_least(np.asarray(values)) if pa.types.is_integer(kind) else numbers - numbers.min()
        return [int(count) for count in np.histogram(numbers, _BARS)[0]]
    counts = np.sort(np.asarray(counted.field("counts")))[::-1][:_BARS]
    return [int(count) for count in counts]


def _from_least(numbers: Any) -> Any:
    wide = numbers.astype("uint64")  # negative ones wrap, and so do the differences, which are right again
    return (wide - np.uint64(int(numbers.min()) % 2**64)).astype(float)


def _bars(counts: Sequence[int]) -> str:
    """Return a small histogram as SVG."""
    top = max(counts, default=0)
    if not top:
        return ""
    bars = "".join(
        f'<rect x="{6 * n}" y="{18 - height:.1f}" width="5" height="{height:.1f}" fill="currentColor"/>'
        for n, count in enumerate(counts)
        if (height := max(18 * count / top, 1.0 if count else 0.0))
    )
    return f'<svg width="{6 * _BARS}" height="18" opacity="0.6" role="img" aria-label="spread">{bars}</svg>'


def record_html(table: pa.Table, at: int) -> str:
    """Return one whole row: texts as they are, nested values as JSON, bytes as hex; for selecting and copying."""
    lines = []
    for name in table.column_names:
        value = table.column(name)[at].as_py() if not pa.types.is_timestamp(table.schema.field(name).type) else _time(
            table.column(name).slice(at, 1)
        )  # fmt: skip
        if value is None:
            continue
        content = (
            f'<pre style="margin:0;padding:0;white-space:pre-wrap;overflow-wrap:anywhere;{_LINE}">{_whole(value)}</pre>'
        )
        lines.append(f'<tr><th scope="row"{_CELL}>{label(name, 200).text}</th> <td{_CELL}>{content}</td></tr>')
    return f"<table><tbody>{''.join(lines)}</tbody></table>"


def _time(column: pa.ChunkedArray) -> str | None:
    """Return a time with all of its digits."""
    number = column.cast(pa.int64())[0].as_py()
    if number is None:
        return None
    shown = cells(column, datetime.now().astimezone())[0].title
    if not shown:
        return str(column.cast(pa.timestamp(column.type.unit)).cast(pa.string())[0]) + (
            " UTC" if column.type.tz else ""
        )
    digits = 3 * UNITS.index(column.type.unit)
    fine = f"{number % 10**digits:0{digits}d}".rstrip("0") if digits else ""
    whole, _, rest = shown.partition(".")
    return f"{whole}.{fine:0<3}{rest[3:]}"


def _whole(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = ""
        if text and (text.isprintable() or all(char.isprintable() or char in "\r\n\t" for char in text)):
            return _cut(text)
        return f"{len(value):,} bytes\n{escape(hexdump(value[:_HEX]))}" + ("\n…" if len(value) > _HEX else "")
    if isinstance(value, dict | list):
        return _cut(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))
    return _cut(str(value).lower() if isinstance(value, bool) else str(value))


def _plain(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _cut(text: str) -> str:
    more = f"… ({len(text):,} characters)" if len(text) > LONGEST else ""
    return escape(visible(text[:LONGEST].replace("\r\n", "\n").replace("\t", "    "))) + more


def hexdump(data: bytes) -> str:
    """Return bytes as hex, sixteen in a line, with their printable characters beside them.

    >>> hexdump(b"kit\\x00\\xff")
    '00000000  6b 69 74 00 ff                                   kit..'
    """
    lines = []
    for start in range(0, len(data), 16):
        piece = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{start:08x}  {piece.hex(' '):<47}  {text}")
    return "\n".join(lines)


def row_lines(table: pa.Table, widest: int = 24, longest: int = 110) -> list[str]:
    """Return the rows as lines of text in columns, for a list to choose from."""
    now = datetime.now().astimezone()
    columns = []
    for name in table.column_names[:8]:
        texts = [_unescaped(cell.text, widest) for cell in cells(table.column(name), now)]
        width = max((len(text) for text in texts), default=0)
        columns.append([text.ljust(width, "\u2007") for text in texts])
    return [f"{n + 1}. " + "\u2003".join(column[n] for column in columns)[:longest] for n in range(table.num_rows)]


def _unescaped(text: str, longest: int) -> str:
    """Return the text of a cell without HTML escapes, cut, for the options of a list."""
    text = unescape(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
