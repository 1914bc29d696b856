"""What Find and Profile of a log do below a button, and frames as they are shown there."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...core.html import LONGEST, across, table, text

if TYPE_CHECKING:
    import pandas as pd

READ = 100
"""Records that a button reads or finds at most."""
PROFILED = 100_000
"""Records that a profile looks at."""
_SHOWN_ROWS = 20
_SHOWN_COLUMNS = 12


def find(log: Any, words: str) -> tuple[pd.DataFrame, str]:
    """Return the newest records that are asked for, and the code that does the same.

    The words are a path where they begin like one, a filter where they compare something, and else text.
    """
    kind = "path" if words[:1] in "$(!" else "where" if re.search("[=<>]", words) else "text"
    question: dict[str, Any] = {kind: words}
    frame: pd.DataFrame = log.find(**question, newest_first=True, limit=READ)
    return frame, f".find({kind}={words!r}, newest_first=True, limit={READ})"


def frame_html(frame: pd.DataFrame) -> str:
    """Return the first rows and columns of a frame."""
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
    """Return a value's text, cut before anything looks at each of its characters: it may have megabytes."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "milliseconds")  # all times of kit are UTC
    if isinstance(value, bytes | str):
        value = value[: LONGEST * 4]
    return str(value)[: LONGEST * 4]
