"""Cutting SQL text into tokens that know their place in the text, for messages."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..refusal import SYNTAX, Refusal

MAX_DEPTH = 50
MAX_NOTS = 100

_TOKEN = re.compile(
    r"""
      (?P<space>  \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<bytes>  [xX]'[0-9a-fA-F]*' )
    | (?P<text>   '(?:[^']|'')*' )
    | (?P<quoted> "(?:[^"]|"")+" )
    | (?P<word>   [^\W\d][\w$]* )
    | (?P<param>  \$\d{1,9}(?!\d) )
    | (?P<number> 0[xX][0-9a-fA-F]+ | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? )
    | (?P<sign>   ->> | -> | @> | <= | >= | <> | != | == | \|\| | << | >> | [-+*/%=<>(),.;&|~] )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A token of SQL."""

    kind: str
    """space, bytes, text, quoted, word, param, number or sign"""
    text: str
    at: int

    @property
    def upper(self) -> str:
        """A plain word in capitals; empty for any other token."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The name that a word or a quoted name stands for."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text

    @property
    def value(self) -> str:
        """The contents of a text."""
        return self.text[1:-1].replace("''", "'")

    def is_sign(self, sign: str) -> bool:
        """Return whether it is this sign."""
        return self.kind == "sign" and self.text == sign


def cut(sql: str) -> list[Token]:
    """Return the tokens of one statement, spaces and comments included, without a semicolon at its end.

    >>> [token.text for token in cut("SELECT 'it''s' -- so" + chr(10) + ";")]
    ['SELECT', ' ', "'it''s'", ' ', '-- so', '\\n']
    """
    if "\0" in sql:
        raise syntax_error("a statement cannot hold a NUL character", sql, sql.index("\0"))
    tokens, at, ended, depth, nots = list[Token](), 0, False, 0, 0
    for match in _TOKEN.finditer(sql):
        token = Token(match.lastgroup or "", match[0], match.start())
        if token.at != at:
            raise _no_token(sql, at)
        at = match.end()
        if ended and token.kind != "space":
            raise syntax_error("Expected a single statement, found several", sql, token.at)
        if token.kind == "sign":
            if token.text == ";":
                ended = True
                continue
            depth += (token.text == "(") - (token.text == ")")
        elif token.kind == "word":
            nots += len(token.text) == 3 and token.upper == "NOT"
        elif token.kind == "quoted" and "~" in token.text:
            # The server's own tables have names of this kind.
            raise syntax_error(f"found: {token.text}", sql, token.at)
        if depth > MAX_DEPTH or nots > MAX_NOTS:
            raise syntax_error(f"nested too deeply: {MAX_DEPTH} parentheses, {MAX_NOTS} NOT", sql, token.at)
        tokens.append(token)
    if at != len(sql):
        raise _no_token(sql, at)
    if not any(token.kind != "space" for token in tokens):
        raise syntax_error("Expected a statement, found nothing", sql, 0)
    return tokens


def _no_token(sql: str, at: int) -> Refusal:
    char = sql[at]
    if char == "?":
        return syntax_error("placeholders are $1, $2 ..., not ?", sql, at)
    if char in "'\"":
        return syntax_error(f"a {'text' if char == chr(39) else 'name'} is not closed", sql, at)
    return syntax_error(f"found: {char!r}", sql, at)


def place(sql: str, at: int) -> str:
    """Return the place of a character in the server's form.

    >>> place("SELECT" + chr(10) + "  x", 9)
    'Line: 2, Column: 3'
    """
    return f"Line: {sql.count(chr(10), 0, at) + 1}, Column: {at - sql.rfind(chr(10), 0, at)}"


def syntax_error(message: str, sql: str, at: int) -> Refusal:
    """Return the refusal of a syntax error, with the place."""
    return Refusal(SYNTAX, f"sql parser error: {message} at {place(sql, at)}")
