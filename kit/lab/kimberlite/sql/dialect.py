"""Translating Kimberlite's SQL to SQLite's, token by token."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from ....kimberlite.types import MAX_I64
from ..refusal import EXECUTION, Refusal
from .stamps import nanoseconds, of_text
from .tokens import Token, cut, syntax_error

READS = ("SELECT", "SHOW", "WITH", "EXPLAIN", "VALUES", "(")
WRITES = ("INSERT", "UPDATE", "DELETE")
DDL = ("CREATE", "DROP", "ALTER")
_OPERATORS = {"ILIKE": "REGEXP", "@>": "MATCH"}
"""Operators that SQLite leaves to the program that embeds it."""
_CALLS = {"CURRENT_TIMESTAMP": "now()", "CURRENT_DATE": "today()"}
_NOT_OURS = ("REGEXP", "MATCH", "GLOB", "INDEXED")
_SCHEMA = "INFORMATION_SCHEMA"


@dataclass(slots=True)
class Statement:
    """One statement: its source, and its translation for SQLite."""

    source: str
    verb: str
    """The first word, in capitals."""
    tokens: list[Token]
    """The tokens for SQLite, each with its place in the source."""
    names: frozenset[str] = frozenset()
    """Every name that occurs, in small letters."""
    params: frozenset[int] = frozenset()
    position: int | None = None
    """From AT OFFSET."""
    time: int | None = None
    """From AS OF, in nanoseconds."""
    reason: str | None = None
    """From WITH BREAK_GLASS."""

    @property
    def sql(self) -> str:
        """The text for SQLite."""
        return "".join(token.text for token in self.tokens)

    @property
    def words(self) -> list[Token]:
        """The tokens without spaces and comments."""
        return [token for token in self.tokens if token.kind != "space"]

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.verb in READS

    def original(self, name: str) -> str:
        """Return what the source has where SQLite's text has this; SQLite names a column after its expression."""
        if name.isidentifier():
            return name
        starts, at = dict[int, int](), 0
        for n, token in enumerate(self.tokens):
            starts[at] = n
            at += len(token.text)
        starts[at] = len(self.tokens)
        begin = self.sql.find(name)
        first, behind = starts.get(begin), starts.get(begin + len(name))
        if begin < 0 or first is None or behind is None:
            return name
        end = self.tokens[behind].at if behind < len(self.tokens) else len(self.source)
        return self.source[self.tokens[first].at : end].strip()

    def queries(self) -> frozenset[str]:
        """Return the names that WITH gives to queries, in small letters."""
        if "with" not in self.names:
            return frozenset()
        words, names = self.words, set[str]()
        for n, token in enumerate(words[:-2]):
            if token.kind not in ("word", "quoted") or token.name.lower().startswith(("sqlite_", "pragma_")):
                continue
            behind = n + 1
            if words[behind].is_sign("("):
                behind = next((m for m in range(n, len(words)) if words[m].is_sign(")")), n) + 1
            if words[behind : behind + 1] and words[behind].upper == "AS":
                names.add(token.name.strip("[]").lower())
        return frozenset(names)


def parse(sql: str) -> Statement:
    """Return the statement for SQLite; refuse statements that this server does not know."""
    tokens = cut(sql)
    tokens, reason = _break_glass(sql, tokens)
    words = [token for token in tokens if token.kind != "space"]
    verb = words[0].upper or words[0].text
    if verb not in (*READS, *WRITES, *DDL):
        known = ("BEGIN", "COMMIT", "ROLLBACK", "GRANT", "REVOKE", "SET", "PRAGMA", "ATTACH", "EXECUTE", "VACUUM")
        if verb in known:
            raise Refusal(EXECUTION, f"{verb} is not supported by this server")
        raise syntax_error(f"Expected a statement, found: {words[0].text}", sql, words[0].at)
    statement = Statement(sql, verb, tokens, reason=reason)
    if verb in READS:
        _as_of(statement)
    if verb not in DDL:
        statement.tokens = _translated(statement)
    statement.names = frozenset(token.name.lower() for token in tokens if token.kind in ("word", "quoted"))
    statement.params = frozenset(int(token.text[1:]) for token in tokens if token.kind == "param")
    return statement


def _break_glass(sql: str, tokens: list[Token]) -> tuple[list[Token], str | None]:
    """Take `WITH BREAK_GLASS REASON='...'` off the beginning."""
    places = [n for n, token in enumerate(tokens) if token.kind != "space"][:5]
    words = [tokens[n] for n in places]
    if len(words) < 5 or [word.upper for word in words[:3]] != ["WITH", "BREAK_GLASS", "REASON"]:
        return tokens, None
    if not words[3].is_sign("=") or words[4].kind != "text" or len(tokens) == places[4] + 1:
        raise syntax_error("Expected REASON='...' and a statement", sql, words[2].at)
    rest = tokens[places[4] + 1 :]
    if not any(token.kind != "space" for token in rest):
        raise syntax_error("Expected a statement after the reason", sql, words[4].at)
    return rest, words[4].value


def _as_of(statement: Statement) -> None:
    """Take `AT OFFSET n`, `AS OF [TIMESTAMP] '...'` and `FOR SYSTEM_TIME AS OF '...'` off the end."""
    places = [n for n, token in enumerate(statement.tokens) if token.kind != "space"]
    words = [statement.tokens[n] for n in places]
    shape = [word.upper or word.kind for word in words[-5:]]
    if shape[-3:] == ["AT", "OFFSET", "number"]:
        if not words[-1].text.isdigit() or len(words[-1].text) > 20:
            raise syntax_error(f"Expected a position, found: {words[-1].text}", statement.source, words[-1].at)
        statement.position, count = int(words[-1].text), 3
    elif shape[-5:] == ["FOR", "SYSTEM_TIME", "AS", "OF", "text"]:
        count = 5
    elif shape[-4:] == ["AS", "OF", "TIMESTAMP", "text"]:
        count = 4
    elif shape[-3:] == ["AS", "OF", "text"]:
        count = 3
    else:
        return
    if statement.position is None:
        text = words[-1].value
        try:
            time = nanoseconds(of_text(text))
        except ValueError:
            message = f"Expected an RFC 3339 time between 1678 and 2262, found: {words[-1].text}"
            raise syntax_error(message, statement.source, words[-1].at) from None
        # Without nanoseconds it means the end of that microsecond, so that rows written in it are included.
        statement.time = time if re.search(r"[.,]\d{7}", text) else min(time + 999, MAX_I64)
    del statement.tokens[places[-count] :]


def _translated(statement: Statement) -> list[Token]:
    """Return the tokens as SQLite knows them."""
    source, tokens = statement.source, statement.tokens
    out, closing, depth = list[Token](), list[int](), 0
    places = [n for n, token in enumerate(tokens) if token.kind != "space"]
    following = dict(itertools.pairwise(places))

    def after(n: int, steps: int) -> Token:
        for _ in range(steps):
            n = following.get(n, -1)
            if n < 0:
                return Token("space", "", len(source))
        return tokens[n]

    skip = -1
    for n, token in enumerate(tokens):
        if n <= skip:
            continue
        if token.kind == "param":
            # SQLite looks through all parameters with a name for each one, but not through those with a number.
            out.append(token._replace(text=f"?{token.text[1:]}"))
            continue
        if token.kind not in ("word", "quoted", "sign"):
            out.append(token)
            continue
        upper = token.upper
        text = token.text
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
            if closing and closing[-1] == depth + 1:
                closing.pop()
        if upper in ("MAIN", "TEMP") and after(n, 1).is_sign("."):
            raise syntax_error(f"found: {text}.", source, token.at)
        if upper in _NOT_OURS:
            raise syntax_error(f"found: {text}", source, token.at)
        if upper in _OPERATORS or text in _OPERATORS:
            text = _OPERATORS[upper or text]
        elif upper in _CALLS:
            text = _CALLS[upper]
        elif token.kind == "quoted" and "]" not in text:
            # SQLite reads an unknown quoted name as text, but not one in brackets.
            text = f"[{token.name}]"
        elif upper == _SCHEMA and after(n, 1).is_sign(".") and after(n, 2).kind in ("word", "quoted"):
            text = f"[information_schema.{after(n, 2).name.lower()}]"
            skip = following[following[n]]
        elif upper == "EXTRACT" and after(n, 1).is_sign("(") and after(n, 2).upper and after(n, 3).upper == "FROM":
            text = f"extract('{after(n, 2).text.lower()}',"
            depth += 1
            skip = following[following[following[n]]]
        elif upper == "CAST" and after(n, 1).is_sign("("):
            text = "kit_cast"
            closing.append(depth + 1)
        elif upper == "AS" and closing and closing[-1] == depth:
            kind, skip = _type_until_close(statement, n, depth)
            text = f", '{kind}'"
        out.append(token if text is token.text else Token(token.kind, text, token.at))
    return out


def _type_until_close(statement: Statement, n: int, depth: int) -> tuple[str, int]:
    """Return the type's name behind an AS, up to the parenthesis that closes the CAST; and the last token of it."""
    words, inner, last = list[str](), 0, n
    for m in range(n + 1, len(statement.tokens)):
        token = statement.tokens[m]
        if token.is_sign(")") and not inner:
            break
        inner += token.is_sign("(") - token.is_sign(")")
        last = m
        if token.kind != "space":
            words.append(token.upper or token.text)
    kind = " ".join(words)
    if not words or "'" in kind:
        raise syntax_error("Expected a type", statement.source, statement.tokens[n].at)
    return kind, last
