"""Parsing statements that create and change tables: SQLite's own parser accepts far more than this dialect."""

from __future__ import annotations

from dataclasses import dataclass

from ....kimberlite.wire.sqltypes import TYPES, Type
from ..refusal import EXECUTION, Refusal
from .dialect import Statement
from .tokens import Token, syntax_error

MAX_COLUMNS = 500
MAX_NAME = 128


@dataclass(slots=True, frozen=True)
class Column:
    """A column of a table."""

    name: str
    declared: str
    kind: Type
    nullable: bool = True


@dataclass(slots=True, frozen=True)
class CreateTable:
    name: str
    columns: list[Column]
    key: list[str]
    if_not_exists: bool = False


@dataclass(slots=True, frozen=True)
class DropTable:
    name: str
    if_exists: bool = False


@dataclass(slots=True, frozen=True)
class AddColumn:
    table: str
    column: Column


@dataclass(slots=True, frozen=True)
class DropColumn:
    table: str
    name: str


@dataclass(slots=True, frozen=True)
class CreateIndex:
    name: str
    table: str
    columns: list[str]
    if_not_exists: bool = False


Definition = CreateTable | DropTable | AddColumn | DropColumn | CreateIndex


class _Words:
    """A position in the tokens of a statement."""

    def __init__(self, statement: Statement) -> None:
        self._words = statement.words
        self._source = statement.source
        self._at = 0

    def next(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    def peek(self) -> Token:
        return self._words[self._at] if self._at < len(self._words) else Token("end", "", len(self._source))

    def take(self, *words: str) -> bool:
        """Go past these words or signs if they come next."""
        for n, word in enumerate(words):
            at = self._at + n
            token = self._words[at] if at < len(self._words) else None
            if token is None or (token.upper or token.text) != word:
                return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise self.wrong(f"Expected {' '.join(words)}")

    def name(self, what: str) -> str:
        token = self.next()
        if token.kind not in ("word", "quoted"):
            raise self.wrong(f"Expected the name of a {what}", token)
        name = token.name
        if len(name) > MAX_NAME or not name.isidentifier():
            raise self.wrong(f"the name of a {what} has letters, digits and _, at most {MAX_NAME}", token)
        # The last is the number that SQLite gives each row, by which a table is tied to its history.
        if name.lower().startswith(("sqlite_", "kit_", "information_schema", "_rowid_")):
            raise self.wrong(f"the name {name} is reserved", token)
        return name

    def names(self, what: str) -> list[str]:
        self.expect("(")
        listed = [self.name(what)]
        while self.take(","):
            listed.append(self.name(what))
        self.expect(")")
        return listed

    def end(self) -> None:
        if self.peek().kind != "end":
            raise self.wrong("Expected the end of the statement")

    def wrong(self, message: str, token: Token | None = None) -> Refusal:
        token = token or self.peek()
        text = token.text or "the end"
        return syntax_error(f"{message}, found: {text}", self._source, token.at)


def definition(statement: Statement) -> Definition:
    """Return what a CREATE, DROP or ALTER asks for."""
    words = _Words(statement)
    made: Definition
    if words.take("CREATE", "TABLE"):
        made = _create_table(words)
    elif words.take("DROP", "TABLE"):
        if_exists = words.take("IF", "EXISTS")
        made = DropTable(words.name("table"), if_exists)
    elif words.take("ALTER", "TABLE"):
        made = _alter_table(words)
    elif words.take("CREATE", "INDEX") or words.take("CREATE", "UNIQUE", "INDEX"):
        if statement.words[1].upper == "UNIQUE":
            raise Refusal(EXECUTION, "UNIQUE indexes are not supported; make the columns the primary key")
        if_not_exists = words.take("IF", "NOT", "EXISTS")
        name = words.name("index")
        words.expect("ON")
        table = words.name("table")
        made = CreateIndex(name, table, words.names("column"), if_not_exists)
    else:
        what = " ".join(token.text for token in statement.words[:2])
        raise Refusal(EXECUTION, f"{what} is not supported by this server")
    words.end()
    return made


def _create_table(words: _Words) -> CreateTable:
    if_not_exists = words.take("IF", "NOT", "EXISTS")
    name = words.name("table")
    words.expect("(")
    columns, key = list[Column](), list[str]()
    while True:
        if words.take("PRIMARY", "KEY"):
            if key:
                raise words.wrong("a table has one PRIMARY KEY")
            key = words.names("column")
        else:
            column, in_key = _column(words)
            if column.name.lower() in {other.name.lower() for other in columns}:
                raise words.wrong(f"the column {column.name} occurs twice")
            columns.append(column)
            if in_key and key:
                raise words.wrong("a table has one PRIMARY KEY")
            if in_key:
                key = [column.name]
        if words.take(","):
            continue
        words.expect(")")
        break
    if not key:
        raise words.wrong(f"the table {name} needs a PRIMARY KEY")
    if len(columns) > MAX_COLUMNS:
        raise words.wrong(f"a table has at most {MAX_COLUMNS} columns")
    known = {column.name.lower(): column.name for column in columns}
    for part in key:
        if part.lower() not in known:
            raise words.wrong(f"the column {part} of the PRIMARY KEY does not exist")
    in_keys = {one.lower() for one in key}
    columns = [
        Column(one.name, one.declared, one.kind, one.nullable and one.name.lower() not in in_keys) for one in columns
    ]
    return CreateTable(name, columns, [known[one.lower()] for one in key], if_not_exists)


def _column(words: _Words) -> tuple[Column, bool]:
    """Return a column, and whether it is the primary key."""
    name = words.name("column")
    token = words.next()
    kind = TYPES.get(token.upper)
    if kind is None:
        message = f"unsupported data type '{token.text}' of {name}: there are {', '.join(sorted(TYPES))}"
        raise words.wrong(message, token) if token.kind != "word" else Refusal(EXECUTION, message)
    declared = token.upper
    if declared == "DOUBLE":
        words.take("PRECISION")
    if words.take("("):
        digits = [words.next()]
        while words.take(","):
            digits.append(words.next())
        if any(not digit.text.isdigit() for digit in digits):
            raise words.wrong("Expected a number of digits", digits[-1])
        words.expect(")")
        declared += f"({','.join(digit.text for digit in digits)})"
    nullable, in_key = True, False
    while True:
        if words.take("NOT", "NULL"):
            nullable = False
        elif words.take("PRIMARY", "KEY"):
            in_key = True
        elif words.take("NULL"):
            nullable = True
        elif words.take("DEFAULT"):
            # The real server reads a default and does not apply it.
            words.take("-")
            if words.next().kind not in ("number", "text", "word"):
                raise words.wrong("Expected a literal")
        elif words.peek().upper in ("UNIQUE", "REFERENCES", "CHECK"):
            raise Refusal(EXECUTION, f"{words.peek().upper} is not supported by this server")
        else:
            return Column(name, declared, kind, nullable), in_key


def _alter_table(words: _Words) -> Definition:
    table = words.name("table")
    if words.take("ADD"):
        words.take("COLUMN")
        column, in_key = _column(words)
        if in_key or not column.nullable:
            raise Refusal(EXECUTION, "an added column can be neither NOT NULL nor PRIMARY KEY")
        return AddColumn(table, column)
    if words.take("DROP"):
        words.take("COLUMN")
        return DropColumn(table, words.name("column"))
    raise Refusal(EXECUTION, "only ADD COLUMN and DROP COLUMN are supported by this server")
