r"""SQL with expressions in braces: finding them, and binding their values or writing them as literals.

A brace inside a string, a quoted name or a comment belongs to the query. Where these end differs between dialects:
`'\'` is complete in one and unfinished in another, and comments nest in some. If the text were read in the wrong way,
a value could land inside a string and end it. So a text that dialects read differently is refused as soon as it has
an expression in braces, and so is a string or comment without an end.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Callable
from typing import Any

from ..core.errors import InputError

_BRACES = re.compile(r"\{([^{}]*)\}")
_STRUCT = re.compile(r"\w+\s*:(?!:)")
_DOLLARS = re.compile(r"\$(?:[^\W\d]\w*)?\$")
_OPENING = re.compile(r"""['"`{$#]|--|/\*""")
_LINE_END = re.compile(r"\n|\Z")
_ODD_LINE_END = re.compile("\r(?!\n)|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_COMMENT_MARK = re.compile(r"/\*|\*/")
_ESCAPING = re.compile(r"(?<!\w)[eE]\Z")
_ESCAPES = re.compile(r"(?:\\.|''|[^\\'])*'", re.DOTALL)
_REST = {quote: re.compile(f"(?:{quote}{quote}|[^{quote}])*{quote}") for quote in "'\"`"}
_TOUCHING_BEFORE = re.compile(r"""[\w'"`$}.]""")
_TOUCHING_AFTER = re.compile(r"""[\w'"`${]|\.\d""")
_SHOWN = 30


def bound(
    text: str, value_of: Callable[[str], Any], mark: Callable[[int, Any], str], *, any_dialect: bool = False
) -> tuple[str, list[Any]]:
    """Return the SQL with a mark for each expression in braces, and their values.

    Braces in strings, quoted names and comments stay. The text is read as DuckDB and PostgreSQL do; with `any_dialect`
    what others read differently is refused too.

    >>> bound("select * from t where a = {x + 1} and b = '{x}'", {"x + 1": 2}.__getitem__, "${0}".format)
    ("select * from t where a = $1 and b = '{x}'", [2])
    """
    places, problem = _places(text, any_dialect)
    if not places:
        return text, []
    if problem:
        raise InputError(
            f"{problem}: the place of the values of {{expressions}} is ambiguous",
            hint="put that text into a variable and write it as an expression as well, or leave it out",
        )
    values: list[Any] = []
    marks: dict[str, str] = {}
    made, at = [], 0
    for place in places:
        expression = place[1].strip()
        _check_alone(text, place, expression)
        if expression not in marks:
            values.append(_plain(value_of(expression), expression))
            marks[expression] = mark(len(values), values[-1])
        made += [text[at : place.start()], marks[expression]]
        at = place.end()
    return "".join([*made, text[at:]]), values


def _places(text: str, any_dialect: bool) -> tuple[list[re.Match[str]], str]:
    """Return the expressions, and the first problem that makes their list uncertain."""
    places: list[re.Match[str]] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        if opening[0] == "{":
            match = _BRACES.match(text, opening.start())
            if match is not None and _is_expression(match[1].strip()):
                places.append(match)
                at = match.end()
            else:
                at = opening.end()
            continue
        end, problem = _end(text, opening, any_dialect)
        if problem:
            # Later braces count as well: any of them makes the problem relevant.
            return places + [brace for brace in _BRACES.finditer(text, at) if _is_expression(brace[1].strip())], problem
        at = end
    return places, ""


def _is_expression(inner: str) -> bool:
    # A struct such as {'a': 1} begins with a quote, or with a name and a colon; it belongs to SQL.
    return bool(inner) and inner[0] not in "'\"" and not _STRUCT.match(inner)


def _end(text: str, opening: re.Match[str], any_dialect: bool) -> tuple[int, str]:
    """Return where a string, name or comment ends, or the problem with it."""
    start, what = opening.start(), opening[0]
    shown = repr(text[start : start + _SHOWN])
    if what == "--":
        match = _LINE_END.search(text, start)
        assert match is not None
        if _ODD_LINE_END.search(text, start, match.start()):
            return 0, f"the comment {shown} has a line end that not all see as one"
        return match.end(), ""
    if what == "/*":
        return _comment_end(text, start, shown, any_dialect)
    if what == "#":
        return opening.end(), f"# begins a comment in some dialects ({shown})" if any_dialect else ""
    if what == "$":
        return _dollar_end(text, start, shown)
    escaping = what == "'" and _ESCAPING.search(text[max(0, start - 2) : start]) is not None
    match = (_ESCAPES if escaping else _REST[what]).match(text, start + 1)
    if match is None:
        return 0, f"{shown} is never closed"
    inside = text[start : match.end()]
    if any_dialect and (re.search(r"\\+['\"`]", inside) or inside.startswith(what * 3)):
        return 0, f"not all dialects see the same end of {inside[:_SHOWN]!r}"
    return match.end(), ""


def _comment_end(text: str, start: int, shown: str, any_dialect: bool) -> tuple[int, str]:
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth > 1 and any_dialect:
            return 0, f"the comment {shown} has another one inside"
        if not depth:
            return mark.end(), ""
    return 0, f"the comment {shown} is never closed"


def _dollar_end(text: str, start: int, shown: str) -> tuple[int, str]:
    if start and (text[start - 1].isalnum() or text[start - 1] in "_$"):
        return 0, f"a $ inside of a name or number ({shown})"
    tag = _DOLLARS.match(text, start)
    if tag is None:
        if re.match(r"\$\w", text[start : start + 2]):
            return 0, f"the text already has a parameter ({shown})"
        return start + 1, ""
    end = text.find(tag[0], tag.end())
    return (end + len(tag[0]), "") if end >= 0 else (0, f"{shown} is never closed")


def _check_alone(text: str, place: re.Match[str], expression: str) -> None:
    """Refuse an expression that would melt into what stands beside it."""
    if _TOUCHING_BEFORE.match(text[max(0, place.start() - 1) : place.start()]) or _TOUCHING_AFTER.match(
        text, place.end()
    ):
        raise InputError(
            f"{{{expression}}} is directly beside {text[max(0, place.start() - 10) : place.end() + 10]!r}",
            hint="an expression in braces is a whole value; it cannot be a name or a part of a text",
        )


def _plain(value: Any, expression: str) -> Any:
    """Return values of numpy and pandas as Python's own; what no service could bind is refused."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        # Python's own times have no nanoseconds, and numpy's become numbers where they have some.
        value = _of_pandas(value) if value.dtype.kind in "mM" else value.item()
    if type(value).__name__ in ("NaTType", "NAType"):
        value = None
    if hasattr(value, "to_pydatetime") and not value.nanosecond:
        value = value.to_pydatetime()
    kinds = (type(None), bool, int, float, str, bytes, dt.date, dt.time, dt.timedelta, decimal.Decimal)
    if not isinstance(value, kinds):
        kind = type(value).__name__
        raise InputError(
            f"{{{expression}}} is a {kind}: a parameter is one value", hint="for a table, use its name in %%sql"
        )
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        raise InputError(f"{{{expression}}} is {value}: SQL has no such number", hint="use None, or a float")
    return value


def _of_pandas(value: Any) -> Any:
    import pandas as pd

    return pd.Timestamp(value[()]) if value.dtype.kind == "M" else pd.Timedelta(value[()])


_EXPONENT = 100
"""The largest number of zeros that a decimal is written with."""


def literal(value: Any) -> str:
    """Return a value as SQL text that means the same in every dialect, whatever is in it.

    >>> literal("it's"), literal(None), literal(True), literal(2.5)
    ("concat('it', chr(39), 's')", 'NULL', 'TRUE', '2.5')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"({value})" if value < 0 else str(value)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _EXPONENT:
            raise InputError(f"{value} is not a number that SQL can compare with")
        return f"({value:f})" if value.is_signed() else f"{value:f}"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{value} is not a number that SQL can compare with")
        # A zero has a sign too: two of them in a row would begin a comment.
        return f"({value!r})" if math.copysign(1, value) < 0 else repr(value)
    if isinstance(value, dt.datetime):
        if getattr(value, "nanosecond", 0):
            raise InputError(f"{value} has digits below a microsecond, which not all dialects read", hint="round it")
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return f"TIMESTAMP '{value.isoformat(' ', 'microseconds')}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, dt.time):
        if value.tzinfo is not None:
            raise InputError(f"{value} has a zone, which a time of day in SQL has not", hint="take the zone off")
        return f"TIME '{value:%H:%M:%S.%f}'"
    if isinstance(value, dt.timedelta):
        raise InputError("durations cannot be bound here", hint="compare with a time, or with a number")
    if isinstance(value, bytes):
        raise InputError("bytes cannot be bound here", hint="decode them first")
    # Dialects read quotes, backslashes and control characters differently, so they are written by number.
    parts = re.findall(r"[^'\\\x00-\x1f\x7f]+|['\\\x00-\x1f\x7f]", value)
    made = [f"chr({ord(part)})" if re.fullmatch(r"['\\\x00-\x1f\x7f]", part) else f"'{part}'" for part in parts]
    return made[0] if len(made) == 1 else f"concat({', '.join(made)})" if made else "''"
