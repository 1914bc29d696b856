"""Exact decimals. SQLite has none, so such columns hold text, and a collation compares it as numbers.

SQLite's own numbers have 15 digits. So literals with more digits are passed as text, and a call with a column of
decimals as an argument (`SUM(amount)`, `COALESCE(amount, 0)`) is replaced by one that returns such text. Arithmetic
with `+ - * /` is in floating point.
"""

from __future__ import annotations

import decimal
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ....kimberlite.wire.sqltypes import Type, digits_of, summed
from ..refusal import EXECUTION, Refusal
from .schema import Table
from .tokens import Token

COLLATION = "kit_decimal"
_EXACT = decimal.Context(prec=200, Emax=10_000, Emin=-10_000, traps=[decimal.InvalidOperation, decimal.Overflow])
_FLOAT_DIGITS = 15
"""The number of digits that a floating-point number always keeps."""
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_SUMS = {"SUM": "kit_sum", "AVG": "kit_avg"}
_NO_NUMBERS = frozenset({Type.TEXT, Type.BOOLEAN, Type.TIMESTAMP, Type.DATE, Type.TIME})
"""Types of columns that do not add up."""
_HANDED_ON = ("MIN", "MAX", "COALESCE", "IFNULL", "NULLIF", "IIF")
"""Functions that return one of their arguments."""
_BEFORE_SIGN = frozenset(
    "AND BETWEEN BY ELSE IN LIKE NOT OFFSET OR RETURNING SELECT SET THEN VALUES WHEN WHERE".split()  # noqa: SIM905
)


def number(value: Any) -> Decimal | None:
    """Return the exact number of a value of SQL; None if it is not a number.

    >>> number("1.50"), number(0.1), number("1e3x")
    (Decimal('1.50'), Decimal('0.1'), None)
    """
    if isinstance(value, int):
        return Decimal(value)
    text = repr(value) if isinstance(value, float) else value
    return Decimal(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None


def shown(value: Decimal) -> str:
    """Return a decimal in its wire form, without trailing zeros.

    >>> shown(Decimal("1.50")), shown(Decimal("1E+3")), shown(Decimal("-0.00"))
    ('1.5', '1000', '0')
    """
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def cast(value: Any, declared: str) -> Any:
    """Do `CAST(value AS DECIMAL(p, s))`, rounded to the declared number of digits behind the point.

    >>> cast("1.005", "DECIMAL ( 10 , 2 )"), cast("99999999999999.99994", "DECIMAL(18,4)")
    ('1.01', '99999999999999.9999')
    """
    result = number(value.strip() if isinstance(value, str) else value)
    if result is None:
        raise ValueError(f"{value!r} is not a number")
    digits = digits_of(declared)
    if digits is None:
        return shown(result)
    try:
        return shown(result.quantize(Decimal(1).scaleb(-digits[1]), ROUND_HALF_UP, _EXACT))
    except decimal.InvalidOperation:
        raise ValueError(f"{value!r:.80} is too large for {declared}") from None


def install(db: sqlite3.Connection) -> frozenset[str]:
    """Add what decimals need to a connection; the names of the functions."""
    db.create_collation(COLLATION, _compared)
    db.create_window_function("kit_sum", 1, _Sum)
    db.create_window_function("kit_avg", 1, _Average)
    return frozenset({"kit_sum", "kit_avg"})


def exact(tokens: list[Token], tables: Collection[Table], names: Collection[str]) -> tuple[list[Token], dict[str, str]]:
    """Return the statement's tokens with decimals kept exact, and the types of columns that are made of them.

    `names` are all names in the statement, in lower case. The types are keyed by the columns' names or expressions.
    """
    used = [table for table in tables if table.name.lower() in names]
    kinds: dict[str, set[Type | None]] = {}
    for column in (column for table in used for column in table.columns):
        kinds.setdefault(column.name.lower(), set()).add(column.kind)
    sure = {c.name.lower(): c.declared for t in used for c in t.columns if kinds[c.name.lower()] == {Type.DECIMAL}}
    others = {name: kind.pop() for name, kind in kinds.items() if len(kind) == 1 and name not in sure}
    if Type.DECIMAL in set().union(*kinds.values()):
        tokens = _literals(tokens)
    return _calls(tokens, sure, others)


def _literals(tokens: Sequence[Token]) -> list[Token]:
    """Return numbers that SQLite would shorten, as texts; it makes numbers of these wherever it needs some."""
    out: list[Token] = []
    for token in tokens:
        if token.kind == "number" and _is_long(token.text):
            text, at = token.text, token.at
            words = [n for n, row in enumerate(out) if row.kind != "space"][-2:]
            if words and out[words[-1]].is_sign("-") and (len(words) < 2 or _starts(out[words[0]])):
                text, at = f"-{text}", out[words[-1]].at
                del out[words[-1] :]
            out.append(Token("text", f"'{text}'", at))
        else:
            out.append(token)
    return out


def _is_long(text: str) -> bool:
    if text[:2] in ("0x", "0X"):
        return False
    mantissa = re.split("[eE]", text)[0]
    digits = mantissa.replace(".", "").strip("0")
    return len(digits) > (_FLOAT_DIGITS if text != mantissa or "." in text else 18)


def _starts(token: Token) -> bool:
    """Return whether a sign after this is that of a number."""
    return token.upper in _BEFORE_SIGN or (token.kind == "sign" and token.text != ")")


def _calls(
    tokens: list[Token], columns: Mapping[str, str], others: Mapping[str, Type | None]
) -> tuple[list[Token], dict[str, str]]:
    out, types = list(tokens), dict[str, str]()
    words = [n for n, token in enumerate(tokens) if token.kind != "space"]
    calls: list[_Call] = []
    for k, n in enumerate(words):
        token = tokens[n]
        if token.is_sign("("):
            calls.append(_Call(k - 1, tokens[words[k - 1]].upper if k else ""))
        elif token.is_sign(")") and calls:
            call = calls.pop()
            function = tokens[words[call.at]]
            if call.other is not None and call.function in ("MIN", "MAX"):
                source = "".join(one.text for one in tokens[words[call.at] : words[_end(tokens, words, k)] + 1])
                types[source.lower()] = types[_alias(tokens, words, _end(tokens, words, k) + 1)] = call.other.name
            if not call.declared or (call.function in _SUMS and not call.alone):
                continue
            kind = {"SUM": summed(call.declared), "AVG": "REAL"}.get(
                call.function, call.declared if call.alone else "DECIMAL"
            )
            name = _SUMS.get(call.function, function.text)
            last = _end(tokens, words, k)
            if call.function != "AVG":
                # With the same collation as the column.
                name = f"cast({name}"
                out[words[last]] = out[words[last]]._replace(
                    text=f"{out[words[last]].text} as text) collate {COLLATION}"
                )
            out[words[call.at]] = function._replace(text=name)
            source = "".join(one.text for one in tokens[words[call.at] : words[last] + 1])
            types[source.lower()] = types[_alias(tokens, words, last + 1)] = kind
        elif calls and calls[-1].function in (*_SUMS, "MIN", "MAX") and others.get(_name(token)) in _NO_NUMBERS:
            first = k - 2 if tokens[words[k - 1]].is_sign(".") else k
            if first == calls[-1].at + 2 and tokens[words[k + 1]].is_sign(")"):
                calls[-1].other = others[_name(token)]
                if calls[-1].function in _SUMS:
                    message = f"type mismatch: {calls[-1].function} of '{token.name}', whose values are not numbers"
                    raise Refusal(EXECUTION, message)
        elif calls and calls[-1].function in (*_SUMS, *_HANDED_ON) and _name(token) in columns:
            first = k - 2 if tokens[words[k - 1]].is_sign(".") else k
            before, after = tokens[words[first - 1]], tokens[words[k + 1]]
            if (before.text in ("(", ",") or before.upper == "DISTINCT") and after.text in (")", ","):
                calls[-1].declared = columns[_name(token)]
                calls[-1].alone = after.text == ")" and (first == calls[-1].at + 2 or before.upper == "DISTINCT")
    types.pop("", None)
    return out, types


@dataclass
class _Call:
    """An open parenthesis, with the word before it."""

    at: int
    function: str
    declared: str = ""
    """The type of a column of decimals that is an argument."""
    alone: bool = False
    other: Type | None = None
    """The type of the one column that is its argument, where that has no numbers."""


def _end(tokens: Sequence[Token], words: Sequence[int], k: int) -> int:
    """Return the last word of a call that is closed at `k`, with its FILTER and OVER."""
    for word in ("FILTER", "OVER"):
        if k + 2 < len(words) and tokens[words[k + 1]].upper == word:
            k, depth = k + 2, int(tokens[words[k + 2]].is_sign("("))
            while depth and k + 1 < len(words):
                k += 1
                depth += tokens[words[k]].is_sign("(") - tokens[words[k]].is_sign(")")
    return k


def _name(token: Token) -> str:
    return token.name.strip("[]").lower() if token.kind in ("word", "quoted") else ""


def _alias(tokens: Sequence[Token], words: Sequence[int], k: int) -> str:
    """Return the name that is given to the expression which ended before a word, in small letters; "" where none is."""
    following = [tokens[n] for n in words[k : k + 3]]
    if following and following[0].upper == "AS":
        return _name(following[1]) if len(following) > 1 else ""
    ends = len(following) == 1 or (len(following) > 1 and (following[1].is_sign(",") or following[1].upper == "FROM"))
    return _name(following[0]) if ends else ""


def _compared(left: str, right: str) -> int:
    a, b = number(left), number(right)
    if a is None or b is None:
        return (left > right) - (left < right) if a is b else 1 if a is None else -1
    return (a > b) - (a < b)


class _Rows:
    """The numbers of a group, or of a moving window."""

    def __init__(self) -> None:
        self.count = 0
        self.total = Decimal(0)

    def step(self, value: Any) -> None:
        parsed = number(value)
        if parsed is not None:
            self.count += 1
            self.total = _EXACT.add(self.total, parsed)

    def inverse(self, value: Any) -> None:
        parsed = number(value)
        if parsed is not None:
            self.count -= 1
            self.total = _EXACT.subtract(self.total, parsed)

    def value(self) -> Any:
        raise NotImplementedError

    def finalize(self) -> Any:
        return self.value()


class _Sum(_Rows):
    def value(self) -> Any:
        return shown(self.total) if self.count else None


class _Average(_Rows):
    def value(self) -> Any:
        return float(_EXACT.divide(self.total, Decimal(self.count))) if self.count else None
