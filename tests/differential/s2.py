"""Random calls of an S2 client: basins, streams, appends with conditions, reads from everywhere."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from kit.core.errors import KitError
from kit.s2 import (
    AppendInput,
    BasinConfig,
    CommandRecord,
    FencingTokenMismatchError,
    ReadLimit,
    ReadUnwrittenError,
    Record,
    SeqNum,
    SeqNumMismatchError,
    StorageClass,
    StreamConfig,
    TailOffset,
    Timestamp,
    Timestamping,
    TimestampingMode,
)

from .running import Call, World

NOW = int(time.time() * 1000)
GONE = ("basin_deletion_pending", "basin_not_found", "stream_deletion_pending", "stream_not_found")
"""The real server deletes in the background: what is being deleted and what is gone is told apart by time alone."""


LEFT_OUT = {
    "deleted_at": "the real server deletes in the background",
    "location": "`s2 lite` knows of none and tells null; the lab tells one, as the service does",
}
"""Fields that are not compared, each with its reason."""


def shown(value: Any) -> Any:
    """Return a value of the client as plain data; a time of today is only that."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items() if name not in LEFT_OUT}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    if isinstance(value, datetime):
        return "now" if abs(value.timestamp() * 1000 - NOW) < 10**8 else value
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value - NOW) < 10**8:
        return "now"
    return value


class S2World(World):
    """One basin with a few streams."""

    def __init__(self, chance: random.Random, name: str) -> None:
        super().__init__(chance, name)
        self.basin = f"differ-{name}"
        self.basins = [self.basin, f"{self.basin}-b", f"{self.basin}-c"]
        self.streams = ["a", "b", "a/b", "ü" * 3]
        self.tails = dict.fromkeys(self.streams, 0)
        self.dropped: set[str] = set()
        self.tokens = ["", "t", "other", "ü"]
        self.times = [0, 1, 1000, 10**12, 10**12 + 1, 2 * 10**12, NOW * 2, 2**64 - 1]
        self.appended = ""

    def first(self) -> list[tuple[str, Call]]:
        config = self.chance.choice([None, BasinConfig(), self._basin_config()])
        made: list[tuple[str, Call]] = [
            (f"create_basin({config})", lambda s2: shown(s2.create_basin(self.basin, config=config)))
        ]
        for name in self.streams[:2]:
            made.append((f"create_stream({name!r})", lambda s2, name=name: self._create_stream(s2, name, None)))
        return made

    def next(self) -> tuple[str, Call]:
        verbs = {
            self._append: 30, self._read: 30, self._tail: 6, self._session: 5, self._read_session: 6, self._command: 8,
            self._create: 3, self._ensure: 3, self._reconfigure: 3, self._config: 3, self._list: 4, self._delete: 1,
            self._basin: 4, self._missing: 2,
        }  # fmt: skip
        return self.chance.choices(list(verbs), list(verbs.values()))[0]()

    def seen(self, answer: Any) -> None:
        if self.appended and isinstance(answer, dict) and "end" in answer:
            self.tails[self.appended] = answer["end"]["seq_num"]
        self.appended = ""

    def error(self, error: KitError) -> Any:
        told: dict[str, Any] = {
            "error": type(error).__name__,
            "code": getattr(error, "code", None),
            "status": error.status,
        }
        if told["code"] in GONE:
            return {"error": "gone"} if self.dropped else told
        if isinstance(error, ReadUnwrittenError):
            told["tail"] = shown(error.tail)
        if isinstance(error, SeqNumMismatchError):
            told["expected"] = error.expected_seq_num
        if isinstance(error, FencingTokenMismatchError):
            told["expected"] = error.expected_fencing_token
        return told

    # -- streams and basins

    def _name(self) -> str:
        return self.chance.choice(self.streams)

    def _stream_config(self) -> StreamConfig:
        pick = self.chance.choice
        return StreamConfig(
            storage_class=pick([None, StorageClass.STANDARD, StorageClass.EXPRESS]),
            retention_policy=pick([None, None, 3600, 10**9, "infinite", 0]),
            timestamping=pick(
                [None, Timestamping(pick([None, *TimestampingMode]), pick([None, True, False])), Timestamping()]
            ),
            delete_on_empty_min_age=pick([None, None, 0, 10**6]),
        )

    def _basin_config(self) -> BasinConfig:
        pick = self.chance.choice
        return BasinConfig(
            default_stream_config=pick([None, self._stream_config()]),
            create_stream_on_append=pick([None, True, False]),
            create_stream_on_read=pick([None, True, False]),
        )

    def _create_stream(self, s2: Any, name: str, config: StreamConfig | None) -> Any:
        return shown(s2.basin(self.basin).create_stream(name, config=config))

    def _create(self) -> tuple[str, Call]:
        name, config = self._name(), self.chance.choice([None, self._stream_config()])
        return f"create_stream({name!r}, {config})", lambda s2: self._create_stream(s2, name, config)

    def _ensure(self) -> tuple[str, Call]:
        name, config = self._name(), self.chance.choice([None, self._stream_config()])
        return (
            f"ensure_stream({name!r}, {config})",
            lambda s2: shown(s2.basin(self.basin).ensure_stream(name, config=config)),
        )

    def _reconfigure(self) -> tuple[str, Call]:
        name, config = self._name(), self._stream_config()
        return (
            f"reconfigure_stream({name!r}, {config})",
            lambda s2: shown(s2.basin(self.basin).reconfigure_stream(name, config=config)),
        )

    def _config(self) -> tuple[str, Call]:
        name = self._name()
        return f"get_stream_config({name!r})", lambda s2: shown(s2.basin(self.basin).get_stream_config(name))

    def _list(self) -> tuple[str, Call]:
        prefix = self.chance.choice(["", "", "a", "a/", "ü", "zz"])
        after = self.chance.choice(["", "", "a", "a/b"])
        limit = self.chance.choice([0, 1, 2, 3, 1000, 5000])

        def call(s2: Any) -> Any:
            page = s2.basin(self.basin).list_streams(prefix=prefix, start_after=after, limit=limit)
            if self.dropped:
                return (
                    [shown(one) for one in page.items if one.name not in self.dropped] if limit in (0, 1000) else None
                )
            return shown(page)

        return f"list_streams(prefix={prefix!r}, start_after={after!r}, limit={limit})", call

    def _delete(self) -> tuple[str, Call]:
        name = self._name()

        def call(s2: Any) -> Any:
            self.dropped.add(name)
            return s2.basin(self.basin).delete_stream(name)

        # A name that is free again after a while is not used again, as nobody knows when that is.
        self.streams = [one for one in self.streams if one != name] + [f"{name}{len(self.dropped)}"]
        self.tails.setdefault(self.streams[-1], 0)
        return f"delete_stream({name!r})", call

    def _basin(self) -> tuple[str, Call]:
        name, config = self.chance.choice(self.basins), self.chance.choice([None, self._basin_config()])
        given = config or BasinConfig()
        what = self.chance.choice(["create", "ensure", "reconfigure", "config", "list"])
        calls: dict[str, Call] = {
            "create": lambda s2: shown(s2.create_basin(name, config=config)),
            "ensure": lambda s2: shown(s2.ensure_basin(name, config=config)),
            "reconfigure": lambda s2: shown(s2.reconfigure_basin(name, config=given)),
            "config": lambda s2: shown(s2.get_basin_config(name)),
            "list": lambda s2: shown(s2.list_basins(prefix=self.basin)),
        }
        return f"{what}_basin({name!r}, {config})", calls[what]

    def _missing(self) -> tuple[str, Call]:
        where = self.chance.choice([(self.basin, "missing"), ("missing-basin-x", "a")])
        what = self.chance.choice(["read", "append", "tail", "config", "delete", "list", "stream"])

        def call(s2: Any) -> Any:
            stream = s2.basin(where[0]).stream(where[1])
            if what == "read":
                return shown(stream.read(start=SeqNum(0)))
            if what == "append":
                return shown(stream.append(AppendInput([Record(b"x")])))
            if what == "tail":
                return shown(stream.check_tail())
            if what == "config":
                return shown(s2.basin(where[0]).get_stream_config(where[1]))
            if what == "delete":
                return s2.basin("missing-basin-x").delete_stream("missing")
            if what == "list":
                return shown(s2.basin("missing-basin-x").list_streams())
            return shown(s2.basin("missing-basin-x").create_stream("a"))

        return f"{what}_missing({where})", call

    # -- records

    def _record(self) -> Record:
        chance = self.chance
        body = chance.choice([b"", b"x", chance.randbytes(chance.randint(0, 300)), b"\x00" * 3])
        names = [b"", b"fence", b"k", b"\xff"] if chance.random() < 0.1 else [b"k", b"\xff", b"trim"]
        headers = [
            (chance.choice(names), chance.choice([b"", b"v", b"\x00\xff", b"fence"]))
            for _ in range(chance.choice([0, 0, 0, 1, 2]))
        ]
        return Record(body, headers, timestamp=chance.choice([None, None, *self.times]))

    def _input(self, name: str) -> AppendInput:
        chance = self.chance
        count = chance.choice([1, 1, 1, 2, 3, 10])
        tail = self.tails[name]
        return AppendInput(
            [self._record() for _ in range(count)],
            match_seq_num=chance.choice([None, None, None, tail, tail, tail + 1, 0, 2**64 - 1]),
            fencing_token=chance.choice([None, None, None, *self.tokens]),
        )

    def _append(self) -> tuple[str, Call]:
        name = self._name()
        given = self._input(name)

        def call(s2: Any) -> Any:
            self.appended = name
            return shown(s2.basin(self.basin).stream(name).append(given))

        return f"append({name!r}, {given})", call

    def _session(self) -> tuple[str, Call]:
        name = self._name()
        given = [self._input(name) for _ in range(self.chance.randint(1, 4))]

        def call(s2: Any) -> Any:
            self.appended = name
            acks: list[Any] = []
            problem: KitError | None = None
            try:
                with s2.basin(self.basin).stream(name).append_session() as session:
                    tickets = []
                    try:
                        for one in given:
                            tickets.append(session.submit(one))
                    except KitError as error:
                        problem = error
                    for ticket in tickets:
                        # What comes after the first that is refused is refused for that.
                        acks.append(shown(ticket.result()))
                        # What was sent behind it is in the log already, or not yet.
                        del acks[-1]["tail"]
            except KitError as error:
                problem = problem or error
            told = {"acks": acks, "error": problem and self.error(problem)}
            return {**told, "end": acks[-1]["end"]} if acks else told

        return f"append_session({name!r}, {given})", call

    def _command(self) -> tuple[str, Call]:
        name, chance = self._name(), self.chance
        if chance.random() < 0.4:
            # Fences are taken away more often than they are set, or nothing could be appended any more.
            record = CommandRecord.fence(chance.choice(["", "", *self.tokens]))
            token = chance.choice([None, *self.tokens])
        else:
            tail = self.tails[name]
            record = CommandRecord.trim(chance.choice([0, 1, max(tail - 2, 0), tail, tail + 1, tail + 5, 2**63]))
            token = None
        given = AppendInput([record], fencing_token=token)

        def call(s2: Any) -> Any:
            self.appended = name
            stream = s2.basin(self.basin).stream(name)
            ack = stream.append(given)
            if record.headers[0][1] == b"trim":
                self._settled(stream, int.from_bytes(record.body, "big"), ack.end.seq_num)
            return shown(ack)

        return f"command({name!r}, {given})", call

    def _settled(self, stream: Any, point: int, end: int) -> None:
        """Wait until what was trimmed is gone: the real server does that in the background."""
        for _ in range(200):
            try:
                records = stream.read(start=SeqNum(0), limit=ReadLimit(count=1)).records
            except ReadUnwrittenError:
                return
            if not records or records[0].seq_num >= min(point, end):
                return
            time.sleep(0.01)

    # -- reading

    def _tail(self) -> tuple[str, Call]:
        name = self._name()
        return f"check_tail({name!r})", lambda s2: shown(s2.basin(self.basin).stream(name).check_tail())

    def _options(self, name: str) -> dict[str, Any]:
        chance, tail = self.chance, self.tails[name]
        start = chance.choice(
            [
                SeqNum(chance.choice([0, 0, 1, tail // 2, max(tail - 1, 0), tail, tail + 1, 2**64 - 1])),
                Timestamp(chance.choice(self.times)),
                TailOffset(chance.choice([0, 1, 2, tail, tail + 1, 2**64 - 1])),
            ]
        )
        limit = chance.choice(
            [None, None, ReadLimit(chance.choice([None, 0, 1, 3, 5000]), chance.choice([None, 0, 9, 100, 2**30]))]
        )
        options: dict[str, Any] = {"start": start, "limit": limit}
        if chance.random() < 0.2:
            options["until_timestamp"] = chance.choice(self.times)
        if chance.random() < 0.3:
            options["clamp_to_tail"] = True
        if chance.random() < 0.2:
            options["ignore_command_records"] = True
        if chance.random() < 0.2:
            options["wait"] = 0
        return options

    def _read(self) -> tuple[str, Call]:
        name = self._name()
        options = self._options(name)
        return f"read({name!r}, {options})", lambda s2: shown(s2.basin(self.basin).stream(name).read(**options))

    def _read_session(self) -> tuple[str, Call]:
        name = self._name()
        options = {**self._options(name), "wait": 0}

        def call(s2: Any) -> Any:
            records: list[Any] = []
            with s2.basin(self.basin).stream(name).read_session(**options) as session:
                for batch in session:
                    records += shown(batch.records)
            return records

        return f"read_session({name!r}, {options})", call
