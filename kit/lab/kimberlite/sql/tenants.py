"""Operations on a tenant's tables: reading, changing, defining, listing."""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from ....kimberlite.wire.extensions import EVERYTHING, TYPES_MARK, Extensions
from ....kimberlite.wire.framing import MAX_PAYLOAD
from ....kimberlite.wire.naming import grouped
from ....kimberlite.wire.protocol.postcard import TEXT as WIRE_TEXT
from ....kimberlite.wire.protocol.postcard import list_of
from ..refusal import AHEAD, EXECUTION, EXISTS, STORAGE, TABLE_NOT_FOUND, Refusal
from . import comparisons, decimals, schema
from .database import Database, of_disk
from .ddl import AddColumn, CreateIndex, CreateTable, Definition, DropColumn, DropTable, definition
from .dialect import Statement, parse
from .helpers import Helpers
from .rows import Encoder, Reordered, column_name
from .tokens import place, syntax_error

_OPEN = 32
"""The number of databases that are kept open."""
Params = list[Any]
Outcome = tuple[int, int]
"""The number of changed rows, and the number of earlier entries in the table's own log."""


def file_of(folder: Path, tenant: int) -> Path:
    """Return the database of a tenant's tables."""
    return folder / f"kimberlite-{tenant}.sqlite"


class Tenants:
    """The tables of all tenants, each in a file of its own."""

    def __init__(self, folder: Path, *, writes: bool, extensions: Extensions = EVERYTHING) -> None:
        self._folder = folder
        self._writes = writes
        self._open: OrderedDict[int, Database] = OrderedDict()
        self._none: Database | None = None
        self._types = extensions.types
        self._helpers = Helpers(folder / "kimberlite.sqlite", extensions)

    def newest(self) -> int:
        """Return the newest position of all."""
        positions = [0]
        for path in self._folder.glob("kimberlite-*.sqlite"):
            tenant = path.stem.removeprefix("kimberlite-")
            if tenant.isdigit():
                positions.append(schema.newest(self._database(int(tenant)).db))
        return max(positions)

    def close(self) -> None:
        """Close all open databases."""
        for base in (*self._open.values(), *([self._none] if self._none else [])):
            base.close()
        self._open.clear()
        self._helpers.close()

    def query(
        self, tenant: int, sql: str, params: Params, *, position: int | None, current: int, now: int, seconds: float
    ) -> bytes:
        """Return the body of an answer to a SELECT, with the types of its columns behind it."""
        statement = parse(sql)
        if not statement.reads:
            raise Refusal(EXECUTION, f"{statement.verb} changes data and cannot be read at a position")
        base = self._database(tenant)
        if statement.position is not None:
            position = statement.position
        if position is not None and position > current:
            raise Refusal(AHEAD, f"position {position} is ahead of current log position {current}")
        base.functions.time = now
        # One transaction, so that types, views and rows are of the same time.
        base.db.execute("begin")
        try:
            if statement.time is not None:
                position = schema.position_at(base.db, statement.time)
                if position is None and statement.time < self._horizon(base.db):
                    raise Refusal(EXECUTION, "AS OF names a time before the first that is retained")
                position = position or 0
            if statement.verb == "SHOW":
                return self._show(base.db, statement, position)
            return self._select(base, tenant, statement, params, position, seconds)
        finally:
            base.undo()

    def _horizon(self, db: sqlite3.Connection) -> int:
        oldest = db.execute('select min(at) from "~commits"').fetchone()[0]
        return 0 if oldest is None else int(oldest)

    def _select(
        self, base: Database, tenant: int, statement: Statement, params: Params, position: int | None, seconds: float
    ) -> bytes:
        explains = statement.verb == "EXPLAIN"
        if explains:
            if [token.upper for token in statement.words[:3]][1:] == ["QUERY", "PLAN"]:
                raise syntax_error("Expected a statement", statement.source, statement.words[1].at)
            statement = parse(statement.source[statement.words[0].at + len("EXPLAIN") :])
            if not statement.reads or statement.verb in ("EXPLAIN", "SHOW"):
                raise Refusal(EXECUTION, f"EXPLAIN of {statement.verb} is not supported by this server")
            statement.tokens.insert(0, statement.tokens[0]._replace(kind="word", text="explain query plan "))
        # The transaction removes everything that is made here.
        names = self._helpers.make(base.db, tenant, statement, params)
        if position is None:
            names += [table.name for table in schema.tables(base.db)]
        else:
            names += schema.show_as_of(base.db, position)
        tables = schema.tables(base.db, position)
        comparisons.check(statement, tables, params)
        statement.tokens, made = decimals.exact(statement.tokens, tables, statement.names)
        declared = [] if explains else base.declared(statement)

        def use(cursor: sqlite3.Cursor) -> bytes:
            if explains:
                plan = "\n".join(row[3] for row in cursor)
                return _result(["plan"], [(plan,)])
            sources = [statement.original(column[0]) for column in cursor.description]
            columns = [column_name(source) for source in sources]
            kinds = [made.get(source.lower()) or kind for source, kind in zip(sources, declared, strict=False)]
            order = _order(statement, columns)
            if order == list(range(len(columns))):
                encoder = Encoder(columns, kinds)
                body = encoder.body(cursor)
            else:
                encoder = Encoder([columns[n] for n in order], [kinds[n] if n < len(kinds) else "" for n in order])
                body = encoder.body(Reordered(cursor, order))
            return _with_types(body, encoder.types()) if self._types else body

        return base.run(statement, params, seconds, names, use, views=position is not None)

    def _show(self, db: sqlite3.Connection, statement: Statement, position: int | None) -> bytes:
        words = [token.upper for token in statement.words]
        tables = schema.tables(db, position)
        if words == ["SHOW", "TABLES"]:
            return _result(["table_name"], [(table.name,) for table in tables])
        if len(words) == 4 and words[:3] == ["SHOW", "COLUMNS", "FROM"]:
            name = statement.words[3].name
            for table in tables:
                if table.name.lower() == name.lower():
                    rows = [(one.name, one.declared, one.nullable) for one in table.columns]
                    return _result(["column_name", "data_type", "nullable"], rows)
            at = place(statement.source, statement.words[3].at)
            raise Refusal(TABLE_NOT_FOUND, f"table '{name}' not found at {at}")
        raise Refusal(EXECUTION, "only SHOW TABLES and SHOW COLUMNS FROM are supported by this server")

    def execute(
        self, tenant: int, sql: str, params: Params, *, position: int, now: int | None, seconds: float
    ) -> bytes:
        """Change data or tables as one commit, at the current time or another, and return the body of the answer."""
        statement = parse(sql)
        if statement.reads:
            raise Refusal(EXECUTION, f"{statement.verb} changes nothing")
        base = self._database(tenant)
        base.functions.time = time.time_ns() if now is None else now
        base.db.execute("begin immediate")
        try:
            base.db.execute('update "~now" set position = ?', (position,))
            if statement.verb in ("INSERT", "UPDATE", "DELETE"):
                changed, offset = self._change(base, statement, params, seconds)
            else:
                changed, offset = self._define(base.db, statement, position)
            # The time of its end: how things were at an earlier time is the same for those who ask before and after it.
            at = time.time_ns() if now is None else now
            base.db.execute('insert into "~commits" (position, at) values (?, ?)', (position, at))
            base.db.execute("commit")
        except BaseException as error:
            base.undo()
            if isinstance(error, sqlite3.Error):
                raise Refusal(STORAGE if of_disk(error) else EXECUTION, str(error)) from None
            raise
        return _result(["rows_affected", "log_offset"], [(changed, offset)])

    def _change(self, base: Database, statement: Statement, params: Params, seconds: float) -> Outcome:
        words = statement.words
        at = {"INSERT": ("INTO",), "UPDATE": (), "DELETE": ("FROM",)}[statement.verb]
        n = 1
        if at:
            n = next((n + 1 for n, token in enumerate(words) if token.upper in at), 1)
        name = words[n].name.strip("[]") if n < len(words) else ""
        table = schema.table(base.db, name)
        if table is None and name.isidentifier():
            raise Refusal(TABLE_NOT_FOUND, f"table '{name}' not found at {place(statement.source, words[n].at)}")

        def use(cursor: sqlite3.Cursor) -> int:
            # Rows of RETURNING are not sent, but the statement only ends once they are fetched.
            for _ in cursor:
                pass
            return max(cursor.rowcount, 0)

        tables = schema.tables(base.db)
        comparisons.check(statement, tables, params)
        names = [table.name for table in tables]
        statement.tokens, _ = decimals.exact(statement.tokens, tables, statement.names)
        changed = base.run(statement, params, seconds, names, use, changes=True)
        if table is None:
            return changed, 0
        base.db.execute('update "~tables" set changes = changes + ? where id = ?', (changed, table.id))
        return changed, table.changes + changed

    def _define(self, db: sqlite3.Connection, statement: Statement, position: int) -> Outcome:
        definition_of = definition(statement)
        table = schema.table(
            db, definition_of.name if isinstance(definition_of, CreateTable | DropTable) else definition_of.table
        )
        if isinstance(definition_of, CreateTable):
            if table is None:
                schema.create(db, definition_of.name, definition_of.columns, definition_of.key, position)
            elif not definition_of.if_not_exists:
                raise Refusal(EXISTS, f"table '{definition_of.name}' already exists")
            return 0, 0
        if table is None:
            if isinstance(definition_of, DropTable) and definition_of.if_exists:
                return 0, 0
            name = definition_of.name if isinstance(definition_of, DropTable) else definition_of.table
            raise Refusal(TABLE_NOT_FOUND, f"table '{name}' not found")
        self._redefine(db, table, definition_of, position)
        return 0, table.changes

    def _redefine(self, db: sqlite3.Connection, table: schema.Table, target: Definition, position: int) -> None:
        known = {column.name.lower(): column for column in table.columns}
        if isinstance(target, DropTable):
            schema.drop(db, table, position)
        elif isinstance(target, AddColumn):
            if target.column.name.lower() in known:
                raise Refusal(EXISTS, f"column '{target.column.name}' already exists in table '{table.name}'")
            schema.add_column(db, table, target.column, position)
        elif isinstance(target, DropColumn):
            column = known.get(target.name.lower())
            if column is None:
                raise Refusal(EXECUTION, f"column '{target.name}' not found in table '{table.name}'")
            if column.name in table.key:
                raise Refusal(EXECUTION, f"column '{column.name}' belongs to the primary key of '{table.name}'")
            schema.drop_column(db, table, column, position)
        elif isinstance(target, CreateIndex):
            for name in target.columns:
                if name.lower() not in known:
                    raise Refusal(EXECUTION, f"column '{name}' not found in table '{table.name}'")
            columns = ", ".join(map(schema.quoted, target.columns))
            names = {row[0].lower() for row in db.execute("select name from main.sqlite_master where type = 'index'")}
            if target.name.lower() not in names:
                db.execute(f"create index {schema.quoted(target.name)} on {schema.quoted(table.name)} ({columns})")
            elif not target.if_not_exists:
                raise Refusal(EXISTS, f"index '{target.name}' already exists")

    def drop_all(self, tenant: int, *, position: int) -> int:
        """Drop a tenant's tables; how many there were."""
        base = self._database(tenant)
        db = base.db
        db.execute("begin immediate")
        try:
            tables = schema.tables(db)
            for table in tables:
                schema.drop(db, table, position)
            db.execute('insert into "~commits" (position, at) values (?, ?)', (position, time.time_ns()))
            db.execute("commit")
        except BaseException:
            base.undo()
            raise
        return len(tables)

    def tables(self, tenant: int) -> list[dict[str, Any]]:
        """Return the tables, with how many columns each has."""
        return [
            {"name": table.name, "columns": len(table.columns)} for table in schema.tables(self._database(tenant).db)
        ]

    def describe(self, tenant: int, name: str) -> dict[str, Any]:
        """Return a table's columns."""
        table = self._known(tenant, name)
        return {
            "name": table.name,
            "columns": [
                [column.name, column.declared, column.nullable, column.name in table.key] for column in table.columns
            ],
        }

    def indexes(self, tenant: int, name: str) -> list[dict[str, Any]]:
        """Return a table's indexes, without that of its primary key."""
        table, db = self._known(tenant, name), self._database(tenant).db
        result = []
        for row in db.execute(f"pragma main.index_list({schema.quoted(table.name)})").fetchall():
            if row[3] == "c":
                columns = [info[2] for info in db.execute(f"pragma main.index_info({schema.quoted(row[1])})")]
                result.append({"name": row[1], "columns": columns})
        return sorted(result, key=lambda one: str(one["name"]))

    def _known(self, tenant: int, name: str) -> schema.Table:
        table = schema.table(self._database(tenant).db, name)
        if table is None:
            raise Refusal(TABLE_NOT_FOUND, f"table '{name}' not found")
        return table

    def _database(self, tenant: int) -> Database:
        path = file_of(self._folder, tenant)
        database = self._open.get(tenant)
        if database is None:
            if self._writes or path.exists():
                database = Database(path, writes=self._writes)
            if database is None or not database.made:
                # No file is made for a tenant that never wrote, and the writer may just be making it.
                if database is not None:
                    database.close()
                self._none = self._none or Database(None)
                return self._none
            self._open[tenant] = database
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(tenant)
        return database


def _order(statement: Statement, names: list[str]) -> list[int]:
    """Return the order of the columns in the answer, and give those of aggregates and groups the server's names.

    A SELECT that only this server takes, say with arithmetic on a sum, has its columns as it lists them.
    """
    grouping = grouped(statement.source)
    if grouping is None or len(grouping.items) != len(names):
        return list(range(len(names)))
    for n, item in enumerate(grouping.items):
        if item.aggregate or item.shown != item.server_name:
            names[n] = item.server_name
    return grouping.in_server_order()


def _result(columns: list[str], rows: list[tuple[Any, ...]]) -> bytes:
    """Return a small result."""
    from ....kimberlite.wire.protocol.responses import Query
    from ....kimberlite.wire.protocol.schema import kind_of

    out = bytearray()
    kind_of(Query).write(out, Query(columns, rows))
    return bytes(out)


def _with_types(body: bytes, types: list[str]) -> bytes:
    """Return the body with the types of its columns appended, if there is room."""
    out = bytearray()
    WIRE_TEXT.write(out, TYPES_MARK)
    list_of(WIRE_TEXT).write(out, types)
    return body + out if len(body) + len(out) < MAX_PAYLOAD - 16 else body
