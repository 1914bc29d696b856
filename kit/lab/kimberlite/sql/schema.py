"""A tenant's database: its tables, their form in SQLite, and their history.

Every table of a user is a table of that name, with the current rows, and a table of versions: each row that ever
existed, with the positions from which and until which it existed. Triggers write the versions. A query at a position
gets views of the same names that show the versions at that position.

Names that begin with `~` belong to the server; no statement of a user can use them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ....kimberlite.wire.sqltypes import Type
from .ddl import Column

FOREVER = 2**63 - 1
SQL = """
create table if not exists "~now" (position integer not null);
insert into "~now" select 0 where not exists (select 1 from "~now");
create table if not exists "~commits" (position integer primary key, at integer not null);
create index if not exists "~commits_at" on "~commits" (at);
create table if not exists "~tables" (
    id integer primary key, name text not null, key text not null, made integer not null, dropped integer not null,
    changes integer not null default 0
);
create table if not exists "~columns" (
    id integer primary key, table_id integer not null, name text not null, declared text not null, kind text not null,
    nullable integer not null, made integer not null, dropped integer not null
);
"""
_AFFINITY = {
    # With a blank: as the key, a column of exactly INTEGER would be SQLite's number of the row, and never missing.
    Type.INTEGER: "{0} ",
    Type.REAL: "{0} REAL",
    Type.DECIMAL: "{0} TEXT",
    Type.TEXT: "{0} TEXT",
    Type.BYTES: "{0} BLOB",
    Type.BOOLEAN: "{0} BOOLEAN",
    Type.DATE: "{0} DATE",
    Type.TIME: "{0} TIME",
    Type.TIMESTAMP: "{0} TIMESTAMP",
}
_CHECK = {
    Type.INTEGER: "typeof({0}) = 'integer'",
    Type.REAL: "typeof({0}) in ('real', 'integer')",
    # A schema cannot call our functions, so a number is recognised by what it is not.
    Type.DECIMAL: "typeof({0}) = 'text' and {0} glob '*[0-9]*' and not {0} glob '*[^-+.eE0-9]*'"
    " and not {0} glob '*.*.*' and not {0} glob '*[eE]*[.eE]*' and not {0} glob '*[-+.0-9][-+]*'"
    " and not {0} glob '[eE]*' and not {0} glob '*[-+eE]' and not {0} glob '*[-+.][eE]*'",
    Type.TEXT: "typeof({0}) = 'text'",
    Type.BYTES: "typeof({0}) = 'blob'",
    Type.BOOLEAN: "{0} in (0, 1)",
    Type.DATE: "typeof({0}) = 'integer'",
    Type.TIME: "typeof({0}) = 'integer'",
    Type.TIMESTAMP: "typeof({0}) = 'blob' and length({0}) = 12",
}
_COLLATION = {Type.DECIMAL: " collate kit_decimal"}
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "INT": 32, "INT2": 16, "INT4": 32}
MISMATCH = "type mismatch: "
"""The prefix of the names of checks; SQLite reports the name when a check fails."""


@dataclass(slots=True, frozen=True)
class TableColumn(Column):
    """A column with the number that identifies it in the versions."""

    id: int = 0


@dataclass(slots=True, frozen=True)
class Table:
    """A table as it is, or as it was at a position."""

    id: int
    name: str
    key: list[str]
    columns: list[TableColumn]
    changes: int

    @property
    def versions(self) -> str:
        """The table of its versions."""
        return f'"~v{self.id}"'


def tables(db: sqlite3.Connection, position: int | None = None) -> list[Table]:
    """Return the tables, by name; at a position, or now."""
    at = FOREVER - 1 if position is None else position
    rows = db.execute(
        'select id, name, key, changes from "~tables" where made <= ? and dropped > ? order by name', (at, at)
    ).fetchall()
    return [_table(db, row, at) for row in rows]


def table(db: sqlite3.Connection, name: str) -> Table | None:
    """Return the table of that name, as it is now; names differ in more than their case."""
    row = db.execute(
        'select id, name, key, changes from "~tables" where lower(name) = lower(?) and dropped = ?', (name, FOREVER)
    ).fetchone()
    return _table(db, row, FOREVER - 1) if row else None


def _table(db: sqlite3.Connection, row: tuple[int, str, str, int], at: int) -> Table:
    rows = db.execute(
        'select name, declared, kind, nullable, id from "~columns"'
        " where table_id = ? and made <= ? and dropped > ? order by id",
        (row[0], at, at),
    )
    columns = [TableColumn(name, declared, Type(kind), bool(null), id) for name, declared, kind, null, id in rows]
    return Table(row[0], row[1], row[2].split(","), columns, row[3])


def quoted(name: str) -> str:
    """Return the name as SQL has it."""
    return f'"{name}"'


def column_sql(column: Column) -> str:
    """Return a column as SQLite's table has it, with what its type allows."""
    name, kind = quoted(column.name), column.kind
    declared = _AFFINITY[kind].format(column.declared)
    check = _CHECK[kind].format(name)
    bits = _BITS.get(column.declared)
    if bits:
        check += f" and {name} between {-(1 << bits - 1)} and {(1 << bits - 1) - 1}"
    rule = f"{MISMATCH}column {column.name} is {column.declared}"
    null = "" if column.nullable else " not null"
    return (
        f'{name} "{declared}"{_COLLATION.get(kind, "")}{null} constraint "{rule}" check ({name} is null or ({check}))'
    )


def create(db: sqlite3.Connection, name: str, columns: Sequence[Column], key: Sequence[str], position: int) -> None:
    """Make a table with its versions."""
    row = db.execute(
        'insert into "~tables" (name, key, made, dropped) values (?, ?, ?, ?) returning id',
        (name, ",".join(key), position, FOREVER),
    ).fetchone()
    for column in columns:
        _register(db, row[0], column, position)
    parts = [*(column_sql(column) for column in columns), f"primary key ({', '.join(map(quoted, key))})"]
    db.execute(f"create table {quoted(name)} ({', '.join(parts)})")
    made = table(db, name)
    assert made is not None
    declarations = "".join(f", c{column.id} {_declared(column)}" for column in made.columns)
    db.execute(f"create table {made.versions} (row integer, since integer, until integer{declarations})")
    db.execute(f'create unique index "~v{made.id}_row" on {made.versions} (row) where until = {FOREVER}')
    _triggers(db, made)


def _declared(column: Column) -> str:
    """Return the declared type in quotes, as SQLite finds it again through views, and how its values compare."""
    return f'"{_AFFINITY[column.kind].format(column.declared)}"{_COLLATION.get(column.kind, "")}'


def _register(db: sqlite3.Connection, table_id: int, column: Column, position: int) -> int:
    row = db.execute(
        'insert into "~columns" (table_id, name, declared, kind, nullable, made, dropped)'
        " values (?, ?, ?, ?, ?, ?, ?) returning id",
        (table_id, column.name, column.declared, column.kind.value, column.nullable, position, FOREVER),
    ).fetchone()
    return int(row[0])


def _triggers(db: sqlite3.Connection, made: Table) -> None:
    """Return the triggers that keep the versions of a table."""
    now = '(select position from "~now")'
    places = "".join(f", c{column.id}" for column in made.columns)
    values = "".join(f", new.{quoted(column.name)}" for column in made.columns)
    inserted = f"new._rowid_, {now}, {FOREVER}{values}"
    begin = f"insert into {made.versions} (row, since, until{places}) values ({inserted});"  # noqa: S608
    end = f"update {made.versions} set until = {now} where row = old._rowid_ and until = {FOREVER};"  # noqa: S608
    for event, body in (("insert", begin), ("update", end + begin), ("delete", end)):
        db.execute(f'drop trigger if exists "~{event}{made.id}"')
        db.execute(f'create trigger "~{event}{made.id}" after {event} on {quoted(made.name)} begin {body} end')


def drop(db: sqlite3.Connection, dropped: Table, position: int) -> None:
    """Remove a table; how it was stays."""
    db.execute(f"drop table {quoted(dropped.name)}")
    db.execute('update "~tables" set dropped = ? where id = ?', (position, dropped.id))


def add_column(db: sqlite3.Connection, to: Table, column: Column, position: int) -> None:
    """Add a column without a value in any row."""
    number = _register(db, to.id, column, position)
    db.execute(f"alter table {quoted(to.name)} add column {column_sql(column)}")
    db.execute(f"alter table {to.versions} add column c{number} {_declared(column)}")
    changed = table(db, to.name)
    assert changed is not None
    _triggers(db, changed)


def drop_column(db: sqlite3.Connection, of: Table, column: TableColumn, position: int) -> None:
    """Remove a column; how it was stays."""
    for event in ("insert", "update", "delete"):
        # SQLite refuses to drop a column that a trigger names.
        db.execute(f'drop trigger "~{event}{of.id}"')
    db.execute(f"alter table {quoted(of.name)} drop column {quoted(column.name)}")
    db.execute('update "~columns" set dropped = ? where id = ?', (position, column.id))
    changed = table(db, of.name)
    assert changed is not None
    _triggers(db, changed)


def show_as_of(db: sqlite3.Connection, position: int) -> list[str]:
    """Put views in the place of all tables, as they were at a position; the names of the views.

    A table that was made later has no rows yet, and the columns that it has now: as on the real server, which plans a
    statement on the tables of today.
    """
    at_the_time = tables(db, position)
    there = {was.name.lower() for was in at_the_time}
    later = [one for one in tables(db) if one.name.lower() not in there]
    for one in (*at_the_time, *later):
        columns = ", ".join(f"c{column.id} as {quoted(column.name)}" for column in one.columns)
        db.execute(
            f"create temp view {quoted(one.name)} as select {columns} from main.{one.versions}"  # noqa: S608
            f" where since <= {position} and until > {position}"
        )
    return [one.name for one in (*at_the_time, *later)]


def position_at(db: sqlite3.Connection, time: int) -> int | None:
    """Return the newest position that was written by a time; None where nothing was."""
    row = db.execute('select max(position) from "~commits" where at <= ?', (time,)).fetchone()
    return None if row[0] is None else int(row[0])


def newest(db: sqlite3.Connection) -> int:
    """Return the newest position there is."""
    return int(db.execute('select coalesce(max(position), 0) from "~commits"').fetchone()[0])
