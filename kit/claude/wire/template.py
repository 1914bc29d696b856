"""A prompt with `{column}` in it, filled with the values of each row of a frame, never evaluated as code."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from ...core.tables.json.scalars import shown
from ...core.words import nearest
from ..errors import ClaudeInputError
from .json_messages import prompt_text

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def parts_of(template: str) -> list[tuple[str, bool]]:
    """Return the pieces of a template: texts, and names of columns (True).

    >>> parts_of("Topic of {body}? {{}}")
    [('Topic of ', False), ('body', True), ('? ', False), ('{', False), ('}', False)]
    """
    parts: list[tuple[str, bool]] = []
    at = 0
    for match in _PART.finditer(template):
        if match.start() > at:
            parts.append((template[at : match.start()], False))
        at = match.end()
        if match[0] in ("{{", "}}"):
            parts.append((match[0][0], False))
        elif match[1] is None:
            raise ClaudeInputError(
                f"prompt: a single {match[0]!r} at {match.start()} names no column",
                hint="write {column} for a value, and {{ or }} for a brace",
            )
        else:
            parts.append((match[1].strip(), True))
    return parts + ([(template[at:], False)] if at < len(template) else [])


def filled(template: Any, over: Any) -> tuple[list[str], Any]:
    """Return the prompt of each row, and the frame as pandas has it; nothing has been sent when this refuses.

    Each value goes in as it is, once: braces, or anything else that it holds, are part of its text.
    """
    import pandas as pd

    frame = frame_of(over)
    if not isinstance(template, str):
        raise ClaudeInputError(
            "with over= the prompt is one text that names columns", hint='such as c.batch("Classify: {body}", over=df)'
        )
    parts = parts_of(prompt_text(template))
    columns = {}
    known = {str(name): name for name in frame.columns}
    if len(known) < len(frame.columns):
        raise ClaudeInputError("over= has two columns of the same name", hint="rename one of them")
    for name in dict.fromkeys(text for text, is_name in parts if is_name):
        if name not in known:
            raise ClaudeInputError(
                f"prompt: over= has no column {name!r}",
                hint=nearest(name, known) or f"it has {', '.join(known)[:200]}; write {{{{ or }}}} for a brace",
            )
        column = frame[known[name]]
        if isinstance(over, list):  # a column of the frame would be floats, where one of its values is
            column = pd.Series([row.get(known[name]) for row in over], index=frame.index, dtype=object)
        columns[name] = _texts(name, column)
    if not columns:
        raise ClaudeInputError(
            "the prompt names no column of over=", hint="write {" + next(iter(known), "column") + "}"
        )
    pieces = [columns[text] if is_name else text for text, is_name in parts]
    prompts = [
        "".join([piece if isinstance(piece, str) else piece[row] for piece in pieces]) for row in range(len(frame))
    ]
    return prompts, frame


def frame_of(over: Any) -> Any:
    """Return the rows that prompts are filled from, as a DataFrame; a single column becomes a frame of one column."""
    import pandas as pd

    if isinstance(over, pd.DataFrame):
        return over
    if isinstance(over, pd.Series):
        return over.to_frame("value" if over.name is None else over.name)
    if hasattr(over, "__arrow_c_stream__"):
        import pyarrow as pa

        from ...core.tables.frames import to_frame

        return to_frame(pa.table(over))
    if isinstance(over, list) and all(isinstance(row, dict) for row in over):
        return pd.DataFrame(over)
    raise ClaudeInputError(
        f"over= must be a DataFrame, not {type(over).__name__}", hint="pandas, polars, Arrow, or a list of dicts"
    )


def _texts(name: str, column: Any) -> list[str]:
    values: Iterable[Any] = column.tolist()
    return [
        value if type(value) is str and value.isascii() else _text(value, name, column.index, row)
        for row, value in enumerate(values)
    ]


def _text(value: Any, name: str, index: Any, row: int) -> str:
    """Return a value's text; raise an error with the row if it is missing or has no text."""
    where = f"column {name!r}, row {shown(index[row])}"
    if isinstance(value, str):
        return prompt_text(value, where)
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")
    if missing or (isinstance(value, float) and math.isnan(value)):
        raise ClaudeInputError(f"{where} is missing", hint=f"leave such rows out: df.dropna(subset=[{name!r}])")
    if isinstance(value, bytes | bytearray | memoryview):
        raise ClaudeInputError(f"{where} is bytes, not text", hint="decode them first")
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return prompt_text(str(value), where)
