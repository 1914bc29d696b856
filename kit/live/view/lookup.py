"""What the buttons Find and Profile do with a log, and how they show frames."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...core.html import LONGEST, across, table, text

if TYPE_CHECKING:
    import pandas as pd

READ = 100
"""The largest number of records that a button reads or finds."""
PROFILED = 100_000
"""The largest number of records that a profile reads."""
_SHOWN_ROWS = 20
_SHOWN_COLUMNS = 12


def find(log: Any, words: str) -> tuple[pd.DataFrame, str]:
    """Return the newest records that match, and the code that does the same.

    The words are a path if they begin like one, a filter if they contain a comparison, and otherwise text.
    """
    kind = "path" if words[:1] in "$(!" else "where" if re.search("[=<>]", words) else "text"
    question: dict[str, Any] = {kind: words}
    frame: pd.DataFrame = log.find(**question, newest_first=True, limit=READ)
    return frame, f".find({kind}={words!r}, newest_first=True, limit={READ})"


def frame_html(frame: pd.DataFrame) -> str:
    """Return the first rows and columns of a frame as HTML."""
    names = [str(name) for name in frame.columns[:_SHOWN_COLUMNS]]
    part = frame.iloc[:_SHOWN_ROWS, :_SHOWN_COLUMNS]
    rows = [[_short(value) for value in row] for row in part.itertuples(index=False, name=None)]
    more = []
    if len(frame) > _SHOWN_ROWS:
        more.append(f"{len(frame) - _SHOWN_ROWS:,} more rows")
    if len(frame.columns) > _SHOWN_COLUMNS:
        more.append(f"{len(frame.columns) - _SHOWN_COLUMNS:,} more columns")
    rows_of = f'<div style="white-space:nowrap">{table(names, rows)}</div>'
    return across(rows_of, "rows") + (text(f"… and {', '.join(more)}") if more else "")


def _short(value: Any) -> str:
    """Return a value's text. It is cut first, because it may have megabytes."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "milliseconds")  # all times of kit are UTC
    if isinstance(value, bytes | str):
        value = value[: LONGEST * 4]
    return str(value)[: LONGEST * 4]
