"""The text of a magic: its options, the variable for its result, and the expressions in a prompt. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError

_NAME = re.compile(r"^\s*([A-Za-z_]\w*)\s*<<\s*")
_PROMPT = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*")


_DIGITS = 20
"""Digits of the largest number of 64 bits."""


def whole(text: str) -> int | None:
    r"""Return the whole number in a text, or None where it is not one, or is too large to count to.

    >>> whole("25"), whole("2.5"), whole("\u00b2")
    (25, None, None)
    """
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


@dataclass(frozen=True, slots=True)
class Order:
    """The parsed text of a magic."""

    text: str
    name: str | None
    options: dict[str, str]

    def whole(self, option: str) -> int | None:
        """Return the option's whole number, None where it was not given."""
        text = self.options.get(option)
        if text is None:
            return None
        if (number := whole(text)) is None:
            raise InputError(f"--{option} {text[:40]}: give a whole number")
        return number


def order_of(magic: str, line: str, cell: str | None, options: Sequence[str] = (), flags: Sequence[str] = ()) -> Order:
    """Return the order that stands in a magic's line and cell.

    >>> order_of("kql", "result << --at 5", "select 1", ("at",))
    Order(text='select 1', name='result', options={'at': '5'})
    >>> order_of("kql", "result << select 1", None)
    Order(text='select 1', name='result', options={})
    """
    named = _NAME.match(line)
    rest = line[named.end() :] if named else line
    given_options: dict[str, str] = {}
    while (option := re.match(r"\s*--([A-Za-z][\w-]*)(?:=|\s+|$)", rest)) is not None:
        name = option[1]
        rest = rest[option.end() :]
        if name in flags:
            given_options[name] = ""
        elif name in options:
            value = re.match(r"""("[^"]*"|'[^']*'|\S+)\s*""", rest)
            if value is None:
                raise InputError(f"%%{magic}: --{name} needs a value")
            # Only a pair of quotes is removed; a single one is part of the value.
            quoted = len(value[1]) > 1 and value[1][0] in "'\"" and value[1][-1] == value[1][0]
            given_options[name] = value[1][1:-1] if quoted else value[1]
            rest = rest[value.end() :]
        elif name in ("o", "out"):
            rest = f"--out {rest}"
            break
        else:
            known = ", ".join(f"--{one}" for one in (*options, *flags)) or "none"
            raise InputError(f"%%{magic}: there is no option --{name}", hint=f"there are: {known}")
    if (short := re.match(r"\s*(-{1,2}o(?:ut)?\b\s*)?([A-Za-z_]\w*)\s*$", rest)) and cell is not None and not named:
        # The form of other tools.
        raise InputError(
            f"%%{magic}: {rest.strip()!r} is not understood", hint=f"{short[2]} << keeps the result in {short[2]}"
        )
    if cell is None:
        text = rest
    elif rest.strip():
        raise InputError(f"%%{magic}: {rest.strip()!r} is not understood", hint="write the query in the lines below")
    else:
        text = cell
    if not text.strip():
        raise InputError(f"%%{magic}: there is nothing to run", hint=f"write it below %%{magic}, or after %{magic}")
    return Order(text.strip(), named[1] if named else None, given_options)


def filled(prompt: str, value_of: Callable[[str], Any]) -> str:
    """Return a prompt with the text of each expression in braces; doubled braces are braces, other ones stay as they
    are.

    >>> filled("Hello {name}, {{this}} and {not code!} stay", {"name": "Ada"}.__getitem__)
    'Hello Ada, {this} and {not code!} stay'
    """

    def put(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        expression = (match[1] or "").strip()
        try:
            compile(expression, "<braces>", "eval")
        except (SyntaxError, ValueError):
            return match[0]
        return str(value_of(expression))

    return _PROMPT.sub(put, prompt)
