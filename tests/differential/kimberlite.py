"""Random calls of a Kimberlite client: streams with offsets, tables with SQL."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

from kit.core.errors import KitError
from kit.kimberlite import Position, QueryResult, StreamId, TenantId

from .running import Call, World

COLUMNS = {"id": "BIGINT", "n": "BIGINT", "s": "TEXT", "b": "BOOLEAN", "tt": "TIMESTAMP"}
KNOWN = {
    "an event of 4 000 bytes or more": "the real server refuses it: RowVersionChainTooLarge",
    "large events between small ones": "the real server cannot store one of them: StorageError 12",
    "BETWEEN with another condition on the key": "the real server forgets one of the two",
    "a column beside an aggregate, without GROUP BY": "the real server leaves it out",
    "a comparison with NULL": "the real server takes NULL for a value, equal to itself and less than all others",
    "two statements at a position": "the real server looks at the position first",
    "UPDATE to NULL of a NOT NULL column": "the real server does it",
    "a condition on an INTEGER or SMALLINT": "the real server finds no row, as it compares with BIGINT literals",
    "a column that is called at": "in GROUP BY the real server drops the names of aggregates",
    "ORDER BY id DESC with LIMIT": "the real server sorts the first rows that it finds",
    "ORDER BY with DISTINCT or GROUP BY": "the real server sorts what goes in, and not what comes out",
    "COUNT(DISTINCT c)": "the real server counts each row",
    "HAVING with an aggregate that is not selected": "the real server finds no group",
    "UPDATE of a column that is not there": "the real server tells of rows that it has changed",
    "nullable and primary_key of a key": "the real server says true and false",
    "SUM or AVG of texts and booleans": "the real server refuses two rows and takes one for the sum",
    "INSERT without the primary key": "InternalError on the real server",
    "how many decimals an average has": "the real server has fewer",
}
"""Where the lab does not do as Kimberlite 0.9.1 does, because that is wrong there. Nothing here is asked of both."""
NUMBERS = [0, 1, -1, 2, 3, 7, 2**31 - 1, -(2**31)]
TEXTS = ["", "a", "b", "A", "ab", "ü", "it''s", "%", "_", " x ", "10"]
ALIKE = ["a%", "%b", "_", "%", "", "A%", "a_"]


def shown(value: Any) -> Any:
    """Return an answer as plain data."""
    if isinstance(value, QueryResult):
        return {"columns": list(value.columns), "rows": [tuple(map(shown, row)) for row in value.rows]}
    if isinstance(value, StreamId):
        return value.to_u64()
    if isinstance(value, Position):
        return int(value)
    return value if isinstance(value, bool | int | str | bytes | None) else str(value)


class KimberliteWorld(World):
    """One tenant; half of them have streams, the others tables, as the real server numbers both alike."""

    def __init__(self, chance: random.Random, name: str) -> None:
        super().__init__(chance, name)
        self.tenant = TenantId(1 + int(name.rpartition("-")[2]))
        self.sql = chance.random() < 0.5
        self.streams: dict[str, StreamId] = {}
        self.lengths: dict[int, int] = {}
        self.appended = 0
        self.tables: dict[str, list[str]] = {}
        self.ids = 0

    def first(self) -> list[tuple[str, Call]]:
        return [self._table() if self.sql else self._create() for _ in range(2)]

    def next(self) -> tuple[str, Call]:
        verbs = self._of_sql() if self.sql else self._of_streams()
        return self.chance.choices(list(verbs), list(verbs.values()))[0]()

    def seen(self, answer: Any) -> None:
        if self.appended and isinstance(answer, dict) and "length" in answer:
            self.lengths[self.appended] = answer["length"]
        self.appended = 0

    def error(self, error: KitError) -> Any:
        return {"error": type(error).__name__, "code": getattr(error, "code", None)}

    # -- streams

    def _of_streams(self) -> dict[Any, int]:
        return {
            self._create: 3, self._append: 30, self._batch: 15, self._length: 10, self._read: 30, self._listed: 2,
            self._unknown: 4, self._follow: 3,
        }  # fmt: skip

    def _create(self) -> tuple[str, Call]:
        name = self.chance.choice(["orders", "x", "ü", "a b", "-", ""])

        def call(client: Any) -> Any:
            found = client.create_stream(name, tenant_id=self.tenant)
            self.streams[name] = found
            self.lengths.setdefault(found.to_u64(), 0)
            return shown(found)

        return f"create_stream({name!r})", call

    def _stream(self) -> StreamId:
        return self.chance.choice(list(self.streams.values()) or [StreamId(self.tenant, 4000)])

    def _expected(self, stream: StreamId) -> int | None:
        length = self.lengths.get(stream.to_u64(), 0)
        return self.chance.choice([None, None, length, length, length + 1, 0, max(length - 1, 0)])

    def _append(self) -> tuple[str, Call]:
        stream = self._stream()
        expected, data = self._expected(stream), self.chance.randbytes(self.chance.choice([0, 1, 10, 300]))

        def call(client: Any) -> Any:
            self.appended = stream.to_u64()
            at = client.append(self.tenant, stream, data, expected_offset=expected)
            return {"at": int(at), "length": int(at) + 1}

        return f"append({stream}, {len(data)} bytes, expected_offset={expected})", call

    def _batch(self) -> tuple[str, Call]:
        stream = self._stream()
        expected, size = self._expected(stream), self.chance.choice([1, 2, 3, 50])
        events = [self.chance.randbytes(self.chance.choice([0, 1, 10])) for _ in range(size)]

        def call(client: Any) -> Any:
            self.appended = stream.to_u64()
            at = client.append_batch(self.tenant, stream, events, expected_offset=expected)
            return {"at": [int(one) for one in at], "length": int(at[-1]) + 1}

        return f"append_batch({stream}, {size}, expected_offset={expected})", call

    def _length(self) -> tuple[str, Call]:
        stream = self._stream()
        return f"stream_length({stream})", lambda client: int(client.stream_length(self.tenant, stream))

    def _read(self) -> tuple[str, Call]:
        stream = self._stream()
        length = self.lengths.get(stream.to_u64(), 0)
        start = self.chance.choice([0, 1, length // 2, max(length - 1, 0), length, length + 1, 2**40])
        limit = self.chance.choice([None, 1, 2, 100])

        def call(client: Any) -> Any:
            events = client.read_stream(self.tenant, stream, from_position=start, limit=limit)
            return [(int(event.position), event.data) for event in events]

        return f"read_stream({stream}, from_position={start}, limit={limit})", call

    def _follow(self) -> tuple[str, Call]:
        stream = self._stream()
        there = min(self.lengths.get(stream.to_u64(), 0), 20)

        def call(client: Any) -> Any:
            with client.subscribe(self.tenant, stream, from_position=0, credits=7) as following:
                events = list(islice(following, there))
            return [(int(event.position), event.data) for event in events]

        return f"subscribe({stream}, {there} events)", call

    def _listed(self) -> tuple[str, Call]:
        return "list_streams()", lambda client: [
            (one.number, one.length) for one in client.list_streams(tenant_id=self.tenant)
        ]

    def _unknown(self) -> tuple[str, Call]:
        stream = StreamId(self.tenant, 4000)
        what = self.chance.choice(["append", "read", "length"])
        calls: dict[str, Call] = {
            "append": lambda client: shown(client.append(self.tenant, stream, b"x", expected_offset=0)),
            "read": lambda client: len(client.read_stream(self.tenant, stream)),
            "length": lambda client: int(client.stream_length(self.tenant, stream)),
        }
        return f"{what}_unknown()", calls[what]

    # -- tables

    def _of_sql(self) -> dict[Any, int]:
        return {
            self._table: 2, self._insert: 25, self._select: 25, self._aggregate: 15,
            self._update: 6, self._remove: 4, self._wrong: 10, self._schema: 5, self._drop: 1,
        }  # fmt: skip

    def _name(self) -> str:
        return self.chance.choice(list(self.tables) or ["nowhere"])

    def _columns(self, table: str) -> list[str]:
        return self.tables.get(table, ["id", "n"])

    def _execute(self, sql: str, params: list[Any] | None = None) -> tuple[str, Call]:
        def call(client: Any) -> Any:
            return {"rows": client.execute(sql, params or [], tenant_id=self.tenant).rows_affected}

        return f"execute({sql!r}, {params})", call

    def _query(self, sql: str, params: list[Any] | None = None, *, ordered: bool = True) -> tuple[str, Call]:
        def call(client: Any) -> Any:
            found = shown(client.query(sql, params or [], tenant_id=self.tenant))
            # The order of groups is not defined.
            return found if ordered else {**found, "rows": sorted(found["rows"], key=repr)}

        return f"query({sql!r}, {params})", call

    def _table(self) -> tuple[str, Call]:
        chance = self.chance
        name = chance.choice(["t", "u", "orders", "MiXed"])
        columns = ["id", *sorted(chance.sample(sorted(COLUMNS.keys() - {"id"}), chance.randint(1, 4)))]
        if name not in self.tables:
            self.tables[name] = columns
        declared = [
            f"{one} {COLUMNS[one]}{' PRIMARY KEY' if one == 'id' else '' if one == 'tt' else chance.choice(['', '', ' NOT NULL'])}"
            for one in columns
        ]
        maybe = chance.choice(["", "", "IF NOT EXISTS "])
        return self._execute(f"CREATE TABLE {maybe}{name} ({', '.join(declared)})")

    def _drop(self) -> tuple[str, Call]:
        name = self.chance.choice([self._name(), "nowhere"])
        self.tables.pop(name, None)
        return self._execute(f"DROP TABLE {self.chance.choice(['', 'IF EXISTS '])}{name}")

    def _value(self, column: str, *, sound: bool = False) -> Any:
        """Return a value. A sound one is never refused: the real server keeps the rows before one that it refuses."""
        chance = self.chance
        if column == "id":
            self.ids += 1 if sound else chance.choice([1, 1, 1, 1, 0])
            return self.ids
        if chance.random() < 0.15 and not sound and column != "n":
            return None
        if column == "n":
            return chance.choice(NUMBERS)
        if column == "s":
            return chance.choice(TEXTS).replace("''", "'")
        if column == "b":
            return chance.random() < 0.5
        return chance.randrange(10**9)

    def _literal(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return str(value).upper()
        return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"

    def _insert(self) -> tuple[str, Call]:
        chance, name = self.chance, self._name()
        columns = [one for one in self._columns(name) if one != "tt"]
        count = chance.choice([1, 1, 1, 2, 5])
        rows = [[self._value(one, sound=count > 1) for one in columns] for _ in range(count)]
        end = chance.choice(["", "", "", " ON CONFLICT (id) DO NOTHING"])
        if len(rows) == 1 and chance.random() < 0.5:
            slots = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
            return self._execute(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({slots}){end}", rows[0])
        values = ", ".join(f"({', '.join(map(self._literal, row))})" for row in rows)
        return self._execute(f"INSERT INTO {name} ({', '.join(columns)}) VALUES {values}{end}")

    def _where(self, name: str) -> str:
        chance = self.chance
        if chance.random() < 0.3:
            return ""
        column = chance.choice([one for one in self._columns(name) if one != "tt"])
        some = self._literal(self._value(column, sound=True))
        if chance.random() < 0.15:
            found = f"{column} IS {chance.choice(['', 'NOT '])}NULL"
        elif column == "s":
            found = chance.choice(
                [f"s = {some}", f"s <> {some}", f"s LIKE '{chance.choice(ALIKE)}'", f"s IN ('a', {some})"]
            )
        elif column == "b":
            found = f"b = {some}"
        else:
            low, high = sorted(chance.sample(range(-5, 30), 2))
            found = chance.choice(
                [f"{column} {chance.choice(['=', '<', '<=', '>', '>=', '<>'])} {some}", f"{column} BETWEEN {low} AND {high}",
                 f"{column} IN ({low}, {high}, {some})"]
            )  # fmt: skip
        if chance.random() < 0.2 and column != "id":
            found = f"{found} {chance.choice(['AND', 'OR'])} id < {chance.randint(0, 20)}"
        return f" WHERE {found}"

    def _select(self) -> tuple[str, Call]:
        chance, name = self.chance, self._name()
        columns = self._columns(name)
        what = chance.choice(
            ["*", ", ".join(chance.sample(columns, chance.randint(1, len(columns)))), "id, n AS m", "s"]
        )
        distinct = chance.choice(["", "", "", "DISTINCT "])
        order = chance.choice(["", " ORDER BY id", " ORDER BY id DESC"])
        # A limit is asked for without a condition: the real server stops looking after so many rows.
        end = (
            f"{order} LIMIT {chance.randint(0, 30)}"
            if order == " ORDER BY id" and not distinct and chance.random() < 0.3
            else self._where(name) + order
        )
        return self._query(f"SELECT {distinct}{what} FROM {name}{end}", ordered=bool(order) and not distinct)

    def _aggregate(self) -> tuple[str, Call]:
        chance, name = self.chance, self._name()
        columns = self._columns(name)
        group = chance.choice([None, *[one for one in columns if one != "id"]])
        kinds = chance.sample(
            [
                "COUNT(*)",
                *(f"{f}({c})" for f in ("COUNT", "MIN", "MAX") for c in columns),
                *(f"SUM({c})" for c in columns if c in ("id", "n")),
            ],
            2,
        )
        if chance.random() < 0.3:
            kinds[0] += " AS c"
        picked = ", ".join(([group] if group else []) + kinds)
        end = f" GROUP BY {group}" if group else ""
        if group and "COUNT(*)" in kinds and chance.random() < 0.4:
            end += f" HAVING COUNT(*) > {chance.randint(0, 2)}"
        return self._query(f"SELECT {picked} FROM {name}{self._where(name)}{end}", ordered=False)

    def _update(self) -> tuple[str, Call]:
        name = self._name()
        column = self.chance.choice([one for one in self._columns(name) if one not in ("id", "tt")] or ["tt"])
        value = "NULL" if column == "tt" else self._literal(self._value(column, sound=True))
        return self._execute(f"UPDATE {name} SET {column} = {value}{self._where(name)}")

    def _remove(self) -> tuple[str, Call]:
        name = self._name()
        return self._execute(f"DELETE FROM {name} WHERE id = {self.chance.randint(0, self.ids + 1)}")

    def _schema(self) -> tuple[str, Call]:
        name = self.chance.choice([self._name(), "nowhere"])
        what = self.chance.choice(["describe", "tables", "columns"])
        if what == "describe":
            return f"describe_table({name!r})", lambda client: [
                (one.name, one.data_type, one.nullable or one.name == "id")
                for one in client.describe_table(name, tenant_id=self.tenant)
            ]
        if what == "columns":
            what, call = self._query(f"SHOW COLUMNS FROM {name}")
            return what, lambda client: {
                **call(client),
                "rows": [row[: 3 if row[0] != "id" else 2] for row in call(client)["rows"]],
            }
        return "list_tables()", lambda client: sorted(
            (one.name, one.column_count) for one in client.list_tables(tenant_id=self.tenant) if one.name[0] != "_"
        )

    def _wrong(self) -> tuple[str, Call]:
        name = self._name()
        at = self.chance.choice([None, None, None, 2**62])
        sql = self.chance.choice(
            [
                "SELECT * FROM nowhere", "SELEC 1", f"SELECT missing FROM {name}", f"SELECT * FROM {name} WHERE missing = 1",
                f"SELECT * FROM {name} WHERE id = $1", f"SELECT * FROM {name}; SELECT * FROM {name}", "",
                f"SELECT * FROM {name} WHERE s = 1", f"SELECT * FROM {name} WHERE n = 'a'",
                f"SELECT * FROM {name} ORDER BY missing",
                "INSERT INTO nowhere (id) VALUES (1)", f"INSERT INTO {name} (id, missing) VALUES (1, 2)",
                f"INSERT INTO {name} (id) VALUES ('a')",
                f"INSERT INTO {name} (id, n) VALUES (1)", f"INSERT INTO {name} (id) VALUES ($1)",
                "UPDATE nowhere SET n = 1", "DELETE FROM nowhere",
                "CREATE TABLE keyless (n BIGINT)", "CREATE TABLE odd (id NOTATYPE PRIMARY KEY)", "DROP TABLE nowhere",
                "ALTER TABLE nowhere ADD COLUMN x TEXT", f"ALTER TABLE {name} ADD COLUMN n BIGINT", "VACUUM", "BEGIN",
                "SHOW COLUMNS FROM nowhere", "SHOW NOTHING",
            ]
        )  # fmt: skip
        reads = sql.startswith(("SELECT", "SHOW"))
        at = None if ";" in sql else at

        def call(client: Any) -> Any:
            if reads:
                return shown(client.query(sql, at=at, tenant_id=self.tenant))
            return {"rows": client.execute(sql, tenant_id=self.tenant).rows_affected}

        return f"wrong({sql!r}, at={at})", call
