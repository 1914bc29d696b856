"""`df.kit`: what kit knows about a frame, and what it can make of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ..log.finding.scan import Scan

_EXACT = 10**15
"""Excel keeps fifteen digits of a number."""
_LONGEST = 32_767
"""Characters that a cell of Excel holds."""


@pd.api.extensions.register_dataframe_accessor("kit")
class KitAccessor:
    """What kit knows about a frame: `df.kit.scan`; and `df.kit.excel()`, the frame in a form that Excel accepts."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @property
    def scan(self) -> Scan:
        """Return the receipt of the search that found the rows."""
        from ..log.finding.scan import Scan

        return Scan.of(self._frame)

    def excel(self) -> pd.DataFrame:
        """Return the frame as `to_excel` takes it: `df.kit.excel().to_excel("orders.xlsx")`.

        Excel has no zones, so times are those of UTC without one. Whole numbers of more than fifteen digits, which it
        would round, are texts; lists and objects are JSON, bytes are text, or base64 where they are none. A text that
        is longer than a cell holds is cut and ends with "…"; `attrs["cut"]` counts these.

        >>> import pandas as pd
        >>> from kit.core.tables.frames import to_frame
        >>> frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-02T03:04Z"]), "id": [2**60]})
        >>> frame.kit.excel().values.tolist()
        [[Timestamp('2026-01-02 03:04:00'), '1152921504606846976']]
        """
        cut = 0
        columns: dict[int, Any] = {}
        for n, (_, column) in enumerate(self._frame.items()):  # by number, as two may have one name
            if isinstance(column.dtype, pd.CategoricalDtype):
                column = column.astype(object)
            kind = column.dtype
            if isinstance(kind, pd.DatetimeTZDtype) or getattr(getattr(kind, "pyarrow_dtype", None), "tz", None):
                columns[n] = column.dt.tz_convert("UTC").dt.tz_localize(None)
            elif pd.api.types.is_integer_dtype(kind):
                known = column.dropna()
                large = bool((known >= _EXACT).any() or (kind.kind == "i" and (known <= -_EXACT).any()))
                columns[n] = column.astype("str").where(column.notna(), None) if large else column
            elif pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
                columns[n] = column
            elif pd.api.types.is_timedelta64_dtype(kind):
                columns[n] = column.astype(object)
            else:
                texts = [_cell(value) for value in column.tolist()]
                cut += sum(map(_is_long, texts))
                texts = [
                    f"{text[: _LONGEST - 1]}…" if isinstance(text, str) and len(text) > _LONGEST else text
                    for text in texts
                ]
                columns[n] = pd.Series(texts, index=column.index, dtype=object)
        frame = pd.DataFrame(columns, index=self._frame.index)
        frame.columns = self._frame.columns
        frame.attrs.update({**self._frame.attrs, "cut": cut})
        return frame


def _is_long(text: Any) -> bool:
    return isinstance(text, str) and len(text) > _LONGEST


def _cell(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return _clean(value.decode())
        except UnicodeDecodeError:
            from base64 import b64encode

            return f"base64:{b64encode(value).decode()}"
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int) and abs(value) >= _EXACT:
        return str(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | dict | tuple):
        return _clean(json.dumps(value, ensure_ascii=False, default=_plain))
    return None if value is None or value is pd.NA or value is pd.NaT or value != value else value


def _clean(text: str) -> str:
    """Show control characters as escapes: Excel refuses them."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" or ord(char) >= 32 else f"\\x{ord(char):02x}" for char in text)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return _cell(value) if isinstance(value, bytes) else str(value)
