"""The names of a result's columns: those that the server sends, and those that the statement asks for.

The server names an aggregate after its call, `COUNT(*)`, whatever AS says. It puts the columns of GROUP BY before the
aggregates, under their own names, and sends also those that were not selected. Only simple lists of a SELECT are
understood here: anything else leaves the columns as the server sent them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")|(?P<word>[^\W\d][\w$]*)"""
    r"""|(?P<number>\d+)|(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX")
_NO_COLUMN = {"NULL", "TRUE", "FALSE", "CASE", "CAST", "NOT", "EXISTS", "INTERVAL"}
_NO_COLUMN |= {"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"}
_BEHIND = {"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "AT", "AS", "FOR", "FETCH"}
_SETS = {"UNION", "INTERSECT", "EXCEPT"}


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the list of a SELECT."""

    server_name: str
    """The server's name for it: `SUM(amount)`, or the column's own name."""
    shown: str
    """The name that the statement asks for."""
    aggregate: bool


@dataclass(frozen=True, slots=True)
class Grouped:
    """A SELECT of plain columns and aggregates of plain columns."""

    items: tuple[Item, ...]
    groups: tuple[str, ...]
    """The columns of GROUP BY, by their own names."""

    def in_server_order(self) -> list[int]:
        """Return the items in the server's order."""
        places = {name.casefold(): n for n, name in reversed(list(enumerate(self.groups)))}

        def rank(n: int) -> tuple[bool, int]:
            item = self.items[n]
            return item.aggregate, len(places) if item.aggregate else places.get(
                item.server_name.casefold(), len(places)
            )

        return sorted(range(len(self.items)), key=rank)


class _Token(tuple[str, str]):
    @property
    def upper(self) -> str:
        return self[1].upper() if self[0] == "word" else ""

    @property
    def name(self) -> str | None:
        if self[0] == "quoted":
            return self[1][1:-1].replace('""', '"')
        return self[1] if self[0] == "word" else None


def grouped(sql: str) -> Grouped | None:
    """Return what a SELECT with aggregates, GROUP BY or DISTINCT lists; None where it is anything else.

    >>> found = grouped('SELECT city, count( * ) AS n, SUM(t.fee) "the fees" FROM t GROUP BY city')
    >>> [(item.server_name, item.shown) for item in found.items], found.groups
    ([('city', 'city'), ('COUNT(*)', 'n'), ('SUM(fee)', 'the fees')], ('city',))
    >>> grouped("SELECT SUM(a) + 1 AS n FROM t"), grouped("SELECT a AS b FROM t")
    (None, None)
    """
    tokens = [_Token((match.lastgroup or "", match[0])) for match in _TOKEN.finditer(sql) if match.lastgroup != "space"]
    if not tokens or tokens[0].upper != "SELECT":
        return None
    distinct = len(tokens) > 1 and tokens[1].upper == "DISTINCT"
    listed, rest = _until(tokens[2 if distinct else 1 :], "FROM")
    if not rest or any(token.upper in _SETS for token in _outer(rest)):
        return None
    items = [_item(part) for part in _parts(listed)]
    known = [item for item in items if item is not None]
    if len(known) != len(items):
        return None
    groups = _groups(rest, known)
    if groups is None or not (distinct or groups or any(item.aggregate for item in known)):
        return None
    return Grouped(tuple(known), tuple(groups))


def arranged(sql: str, names: Sequence[str]) -> list[tuple[int, str]] | None:
    """Return which of the columns that came are shown, in which order, under which names; None to leave them.

    >>> arranged("SELECT COUNT(*) AS n, city AS c FROM t GROUP BY city", ["city", "COUNT(*)"])
    [(1, 'n'), (0, 'c')]
    >>> arranged("SELECT COUNT(*) AS n, city AS c FROM t GROUP BY city", ["n", "c"])
    """
    grouping = grouped(sql)
    if grouping is None:
        return None
    left = dict(enumerate(name.casefold() for name in names))
    out = []
    for item in grouping.items:
        at = next((n for n, name in left.items() if name == item.server_name.casefold()), None)
        if at is None:
            return None
        del left[at]
        out.append((at, item.shown))
    # The rest was not selected; it may only be columns of GROUP BY.
    return out if set(left.values()) <= {name.casefold() for name in grouping.groups} else None


def _until(tokens: Sequence[_Token], word: str) -> tuple[list[_Token], list[_Token]]:
    depth = 0
    for n, token in enumerate(tokens):
        depth += (token[1] == "(") - (token[1] == ")")
        if not depth and token.upper == word:
            return list(tokens[:n]), list(tokens[n:])
    return list(tokens), []


def _outer(tokens: Sequence[_Token]) -> list[_Token]:
    """Return the tokens that stand in no parentheses."""
    depth, out = 0, []
    for token in tokens:
        depth += (token[1] == "(") - (token[1] == ")")
        if not depth:
            out.append(token)
    return out


def _parts(tokens: Sequence[_Token]) -> list[list[_Token]]:
    parts: list[list[_Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token[1] == "(") - (token[1] == ")")
        if token[1] == "," and not depth:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _item(tokens: list[_Token]) -> Item | None:
    call = len(tokens) > 3 and tokens[0].upper in _AGGREGATES and tokens[1][1] == "("
    if call:
        close = next((n for n, token in enumerate(tokens) if token[1] == ")"), 0)
        inside, behind = tokens[2:close], tokens[close + 1 :]
        if inside and inside[0].upper in ("DISTINCT", "ALL"):
            inside = inside[1:]
        name = "*" if [token[1] for token in inside] == ["*"] else _column(inside)
        if behind and behind[0].upper == "FILTER" and len(behind) > 1 and behind[1][1] == "(":
            depth = 0
            for n, token in enumerate(behind):
                depth += (token[1] == "(") - (token[1] == ")")
                if n and not depth:
                    behind = behind[n + 1 :]
                    break
        server_name = None if name is None else f"{tokens[0].upper}({name})"
    else:
        ends = 3 if len(tokens) > 2 and tokens[1][1] == "." else 1
        server_name, behind = _column(tokens[:ends]), tokens[ends:]
    if server_name is None:
        return None
    if not behind:
        return Item(server_name, server_name, call)
    if behind[0].upper == "AS":
        behind = behind[1:]
    shown = behind[0].name if len(behind) == 1 else None
    return None if shown is None else Item(server_name, shown, call)


def _column(tokens: list[_Token]) -> str | None:
    """Return the name of a column, without that of its table."""
    if len(tokens) == 3 and tokens[0].name and tokens[1][1] == ".":
        return tokens[2].name
    if len(tokens) != 1 or tokens[0].upper in _NO_COLUMN:
        return None
    return tokens[0].name


def _groups(rest: Sequence[_Token], items: Sequence[Item]) -> list[str] | None:
    """Return the columns of GROUP BY; None where they are not plain."""
    _, behind = _until(rest[1:], "GROUP")
    if not behind:
        return []
    if len(behind) < 2 or behind[1].upper != "BY":
        return None
    end = next((n for n, token in enumerate(behind) if n > 1 and token.upper in _BEHIND), len(behind))
    groups = []
    for part in _parts(behind[2:end]):
        part = [token for token in part if token[1] != ";"]
        if len(part) == 1 and part[0][0] == "number":
            n = int(part[0][1]) - 1
            name = items[n].server_name if 0 <= n < len(items) and not items[n].aggregate else None
        else:
            name = _column(part)
        if name is None:
            return None
        named = next((item.server_name for item in items if item.shown.casefold() == name.casefold()), name)
        groups.append(named if not any(item.server_name.casefold() == name.casefold() for item in items) else name)
    return groups
