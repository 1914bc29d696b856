"""The text of a magic: its options, the variable for its result, and the expressions in braces. No I/O."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .core.errors import InputError

_NAME = re.compile(r"^\s*([A-Za-z_]\w*)\s*<<\s*")
# What SQL holds besides: strings, quoted names, comments. Braces in there are the query's own.
_SQL = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/|\$(?:[A-Za-z_]\w*)?\$.*?\$(?:[A-Za-z_]\w*)?\$|\{([^{}]*)\}""",
    re.DOTALL,
)
_PROMPT = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*")


_DIGITS = 20
"""As many as a number of 64 bits has."""


def whole(text: str) -> int | None:
    r"""The whole number that a text is; None where it is none, or one that nothing counts to.

    >>> whole("25"), whole("2.5"), whole("\u00b2")
    (25, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


@dataclass(frozen=True, slots=True)
class Order:
    """What a magic was asked to do."""

    text: str
    name: str | None
    options: dict[str, str]

    def whole(self, option: str) -> int | None:
        """The option's whole number, None where it was not given."""
        given = self.options.get(option)
        if given is None:
            return None
        if (number := whole(given)) is None:
            raise InputError(f"--{option} {given[:40]}: give a whole number")
        return number


def order_of(magic: str, line: str, cell: str | None, options: Sequence[str] = (), flags: Sequence[str] = ()) -> Order:
    """The order that stands in a magic's line and cell.

    >>> order_of("kql", "result << --at 5", "select 1", ("at",))
    Order(text='select 1', name='result', options={'at': '5'})
    >>> order_of("kql", "result << select 1", None)
    Order(text='select 1', name='result', options={})
    """
    named = _NAME.match(line)
    rest = line[named.end() :] if named else line
    found: dict[str, str] = {}
    while (option := re.match(r"\s*--([A-Za-z][\w-]*)(?:=|\s+|$)", rest)) is not None:
        name = option[1]
        rest = rest[option.end() :]
        if name in flags:
            found[name] = ""
        elif name in options:
            value = re.match(r"""("[^"]*"|'[^']*'|\S+)\s*""", rest)
            if value is None:
                raise InputError(f"%%{magic}: --{name} wants a value")
            # Two quotes around it; one alone begins nothing, and is a part of the value.
            quoted = len(value[1]) > 1 and value[1][0] in "'\"" and value[1][-1] == value[1][0]
            found[name] = value[1][1:-1] if quoted else value[1]
            rest = rest[value.end() :]
        else:
            known = ", ".join(f"--{one}" for one in (*options, *flags)) or "none"
            raise InputError(f"%%{magic}: there is no option --{name}", hint=f"there are: {known}")
    if cell is None:
        text = rest
    elif rest.strip():
        raise InputError(f"%%{magic}: what is {rest.strip()!r} for?", hint="the query goes in the lines below")
    else:
        text = cell
    if not text.strip():
        raise InputError(f"%%{magic}: there is nothing to run", hint=f"write it below %%{magic}, or after %{magic}")
    return Order(text.strip(), named[1] if named else None, found)


def bound(text: str, value_of: Callable[[str], Any], mark: Callable[[int, Any], str]) -> tuple[str, list[Any]]:
    """The SQL with a mark for each expression in braces, and their values. Braces in strings and comments stay.

    >>> bound("select * from t where a = {x + 1} and b = '{x}'", {"x + 1": 2}.__getitem__, "${0}".format)
    ("select * from t where a = $1 and b = '{x}'", [2])
    """
    values: list[Any] = []
    marks: dict[str, str] = {}

    def marked(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        expression = found[1].strip()
        # A struct such as {'a': 1} begins with a quote or a name and a colon; that is SQL's own.
        if not expression or expression[0] in "'\"" or re.match(r"\w+\s*:(?!:)", expression):
            return found[0]
        if expression not in marks:
            values.append(_plain(value_of(expression), expression))
            marks[expression] = mark(len(values), values[-1])
        return marks[expression]

    return _SQL.sub(marked, text), values


def _plain(value: Any, expression: str) -> Any:
    """Values of numpy and pandas as Python's own; what no service could bind is refused."""
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    elif hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    kinds = (type(None), bool, int, float, str, bytes, dt.date, dt.time, decimal.Decimal)
    if not isinstance(value, kinds):
        kind = type(value).__name__
        raise InputError(
            f"{{{expression}}} is a {kind}: a parameter is one value", hint="for a table, use its name in %%sql"
        )
    return value


def literal(value: Any) -> str:
    """A value as SQL text that means the same in every dialect, whatever is in it.

    >>> literal("it's"), literal(None), literal(True), literal(2.5)
    ("concat('it', chr(39), 's')", 'NULL', 'TRUE', '2.5')
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | decimal.Decimal):
        return f"({value})" if value < 0 else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{value} is no number that SQL can compare with")
        return f"({value!r})" if value < 0 else repr(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC)
        return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, dt.date):
        return f"DATE '{value:%Y-%m-%d}'"
    if isinstance(value, dt.time):
        return f"TIME '{value:%H:%M:%S.%f}'"
    if isinstance(value, bytes):
        raise InputError("bytes cannot be bound here", hint="decode them first")
    # Quotes, backslashes and control characters are what dialects read differently: they go by their number.
    parts = re.findall(r"[^'\\\x00-\x1f\x7f]+|['\\\x00-\x1f\x7f]", value)
    made = [f"chr({ord(part)})" if re.fullmatch(r"['\\\x00-\x1f\x7f]", part) else f"'{part}'" for part in parts]
    return made[0] if len(made) == 1 else f"concat({', '.join(made)})" if made else "''"


def filled(prompt: str, value_of: Callable[[str], Any]) -> str:
    """A prompt with the text of each expression in braces; doubled braces are braces, other ones stay as they are.

    >>> filled("Hello {name}, {{this}} and {not code!} stay", {"name": "Ada"}.__getitem__)
    'Hello Ada, {this} and {not code!} stay'
    """

    def put(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        expression = (found[1] or "").strip()
        try:
            compile(expression, "<braces>", "eval")
        except (SyntaxError, ValueError):
            return found[0]
        return str(value_of(expression))

    return _PROMPT.sub(put, prompt)
