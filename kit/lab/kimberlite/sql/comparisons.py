"""Comparisons that SQLite would answer wrongly: times are stored as bytes, which are above all texts in SQLite."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ....kimberlite.wire.extensions import EVENTS_TABLE, STREAMS_TABLE
from ....kimberlite.wire.sqltypes import Type
from ..refusal import EXECUTION, Refusal
from .dialect import Statement
from .schema import Table
from .tokens import Token, place

_SIGNS = ("=", "==", "<>", "!=", "<", "<=", ">", ">=")
_TIMES = {Type.TIMESTAMP, Type.DATE, Type.TIME}


def check(statement: Statement, tables: Collection[Table], params: Sequence[Any]) -> None:
    """Refuse to compare a column of times with a text, whose answer would be all rows or none."""
    if statement.verb == "INSERT" and "select" not in statement.names:
        return
    kinds: dict[str, set[Type]] = {}
    for table in tables:
        if table.name.lower() in statement.names:
            for column in table.columns:
                kinds.setdefault(column.name.lower(), set()).add(column.kind)
    for table_name, column_name in ((EVENTS_TABLE, "ts"), (STREAMS_TABLE, "created")):
        if table_name in statement.names:
            kinds.setdefault(column_name, set()).add(Type.TIMESTAMP)
    times = {name for name, types in kinds.items() if types <= _TIMES}
    if not times:
        return
    words = statement.words
    # A name that is given to something else may be that of a text.
    times -= {_name(word) for before, word in itertools.pairwise(words) if before.upper == "AS"}
    for n, word in enumerate(words):
        if _name(word) in times and any(_is_text(other, params) for other in _compared(words, n)):
            kind = next(iter(kinds[_name(word)])).name
            hint = "a parameter" if kind == "TIME" else f"a parameter, or CAST('...' AS {kind})"
            at = place(statement.source, word.at)
            name = word.name.strip("[]")
            raise Refusal(
                EXECUTION,
                f"type mismatch: column {name} is {kind}, and this is a text: use {hint} at {at}",
            )


def _compared(words: Sequence[Token], n: int) -> Iterator[Token]:
    """Yield what the column at `n`, or the least or greatest of its values, is compared with."""
    begin = n - 2 if n > 1 and words[n - 1].is_sign(".") else n
    called = begin > 1 and words[begin - 1].is_sign("(") and words[begin - 2].upper in ("MIN", "MAX")
    if called and n + 1 < len(words) and words[n + 1].is_sign(")"):
        begin, n = begin - 2, n + 1
    if begin > 1 and words[begin - 1].text in _SIGNS:
        yield words[begin - 2]
    behind = list(words[n + 1 : n + 6])
    if behind and behind[0].upper == "NOT":
        del behind[0]
    if len(behind) < 2:
        return
    if behind[0].text in _SIGNS or behind[0].upper in ("BETWEEN", "LIKE", "REGEXP"):
        yield behind[1]
    if behind[0].upper == "BETWEEN" and len(behind) > 3 and behind[2].upper == "AND":
        yield behind[3]
    if behind[0].upper == "IN" and behind[1].is_sign("(") and len(behind) > 2:
        yield behind[2]


def _is_text(word: Token, params: Sequence[Any]) -> bool:
    if word.kind == "param":
        number = int(word.text[1:])
        return 0 < number <= len(params) and isinstance(params[number - 1], str)
    return word.kind == "text"


def _name(word: Token) -> str:
    return word.name.strip("[]").lower() if word.kind in ("word", "quoted") else ""
