"""A stream in a notebook: read, tail, append, and what else can be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core import progress
from ..core.errors import Interrupted
from ..core.html import one_line, table, text
from ..core.log.log import Log
from ..core.log.places import Moment, count_of
from . import bulk
from .basin import SyncS2Basin
from .configs import StreamConfig
from .errors import ReadUnwrittenError, S2InputError
from .positions import SeqNum, StreamPosition, TailOffset
from .reading import Plan, plan_of
from .starts import place_of, start_of
from .stream import SyncS2Stream
from .types import AppendAck, AppendInput, CommandRecord, ReadLimit

if TYPE_CHECKING:
    import pandas as pd

    from ..core.completion import Names
    from ..core.frames import BodyMode
    from ..live.view import LiveView
    from .columns import RecordColumns
    from .feeding import StreamSource
    from .ranged import StreamRange


class Stream(Log):
    """A handle on a stream; no traffic before a verb is called. Made by `s2["basin"]["stream"]`.

    `client` is the plain client's handle, for what has no verb here.
    """

    def __init__(self, client: SyncS2Stream, basin: SyncS2Basin, siblings: Names, basins: Names) -> None:
        self.client = client
        self._basin = basin
        self._siblings, self._basins = siblings, basins

    @property
    def name(self) -> str:
        """The stream's name."""
        return self.client.name

    def read(
        self,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        *,
        columns: Sequence[str] | str | None = None,
        types: Mapping[str, Any] | None = None,
        commands: bool = False,
    ) -> pd.DataFrame:
        """The records from `start` on, up to the tail as it is now, as a DataFrame.

        `start` and `until` are places as every log has them: a sequence number, "earliest", "latest", "tail-100", a
        time with a zone, or one from now like "-1h"; what is at `until` is not read. Columns: `seq_num`, `time`,
        `headers` where there are any, then the bodies, as `body` says: "json" (a column per key), "text", "bytes", or
        "auto", which looks and tells in `df.attrs`. `types` gives the keys of JSON types of your own, as
        `{"price": pa.decimal128(18, 4)}`; `columns` names those that are wanted, so that no other is decoded. Orders to
        the service (fences, trims) are left out unless `commands` is true.
        """
        if columns is not None or limit == 0:
            return self._columns_of(columns, start, limit, until, body, types, commands=commands)
        from ..core.frames import to_frame
        from ..core.tables.typed import checked
        from .columns import record_table

        plan, typed = self._plan(start, limit, until), checked(types or {})
        batches: list[RecordColumns] = []

        def frame() -> pd.DataFrame:
            found, attrs = record_table(batches, body, typed)
            return to_frame(found, {"stream": self.name, **attrs})

        with progress.bar(self._expected(plan), what=f"read {self.name}"[:40], unit=" records") as bar:
            try:
                for one in self._columns(plan, commands, bar.update):
                    batches.append(one)
            except KeyboardInterrupt:
                raise Interrupted(frame(), "records") from None
        return frame()

    def tail(self, n: int = 10, body: BodyMode = "auto", *, types: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The newest `n` records; `df.attrs["tail"]` is the sequence number that the next one will get."""
        if n < 0:
            raise S2InputError(f"n={n}: ask for a number of records from 0 up")
        frame = self.read(TailOffset(n), limit=n, body=body, types=types, commands=True)
        frame.attrs["tail"] = self.position().seq_num
        return frame

    def position(self) -> StreamPosition:
        """Return the tail: the sequence number that the next record will get, and the timestamp of the last one."""
        with self._explained():
            return self.client.check_tail()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Names of the basin and the stream that are not there, told with those that are near."""
        with (
            self._basins.explained(self._basin.name, "s2.basins()", "basin_not_found"),
            self._siblings.explained(self.name, f"s2[{self._basin.name!r}].streams()", "stream_not_found"),
        ):
            yield

    def append(
        self,
        data: Any,
        *,
        body: str | None = None,
        timestamp: str | None = None,
        headers: str | None = None,
        match_seq_num: int | None = None,
        fencing_token: str | None = None,
    ) -> AppendAck:
        """Where the records are now. Takes a DataFrame, or records, bytes, texts and dicts, one or many.

        A DataFrame's rows become JSON objects, unless `body` names the column of the bodies (one called `body` alone
        is taken for that). `timestamp` and `headers` name columns that hold these. S2 keeps times in milliseconds
        since 1970: finer ones are rounded down, earlier ones refused. Many records are several appends, one after the
        other; where `match_seq_num` is given each has to follow the one before.
        """
        from .appending import append_encoded
        from .bodies import bodies_of
        from .inputs import encode_inputs

        given = bodies_of(data, body=body, timestamp=timestamp, headers=headers)
        inputs = encode_inputs(
            given.bodies,
            timestamps=given.timestamps,
            headers=given.headers,
            match_seq_num=match_seq_num,
            fencing_token=fencing_token,
        )
        with (
            self._explained(),
            progress.bar(len(given.bodies), what=f"append to {self.name}"[:40], unit=" records") as bar,
        ):
            return append_encoded(self.client, inputs, bar.update).ack

    def source(self, **kind: Any) -> StreamRange:
        """What Arrow, SQL, Parquet and Dask read."""
        from .ranged import StreamRange

        return StreamRange(self.client, self._basin.name, **kind)

    def live(
        self,
        start: Any = "tail",
        body: BodyMode = "auto",
        *,
        where: Any = None,
        types: Mapping[str, Any] | None = None,
        commands: bool = False,
        rows: int = 20,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        from_checkpoint: Any = None,
        **columns: Any,
    ) -> LiveView:
        """The stream as it moves: a live view of the records from `start` on, by default those that come from now on.

        It runs while other cells do: `view.df`, `view.wait(n=100)`, `view.pause()`, `view.close()`. `start` and `body`
        are those of `read`. `where`, or `column=value` here, says which records are wanted; see `kit.Feed` for this
        and for the bounds. `from_checkpoint` goes on where an earlier feed stood.
        """
        from ..live.view import live

        bounds = {"max_rows": max_rows, "max_bytes": max_bytes, "from_checkpoint": from_checkpoint}
        return live(self._source(start, body, types=types, commands=commands), rows, where, bounds, columns)

    def _source(
        self,
        start: Any = "tail",
        body: BodyMode = "auto",
        *,
        types: Mapping[str, Any] | None = None,
        commands: bool = False,
    ) -> StreamSource:
        """What a feed of this stream follows; `kit.Feed(stream, start=...)` asks for it."""
        from .feeding import StreamSource

        return StreamSource(self.client, start, body, types, commands=commands)

    def fence(self, token: str) -> AppendAck:
        """Fences the stream: from here on, appends that name another fencing token fail. An empty token lifts it."""
        return self.client.append(AppendInput([CommandRecord.fence(token)]))

    def trim(self, before: int) -> AppendAck:
        """Removes the records before this sequence number; the service does so after a while."""
        return self.client.append(AppendInput([CommandRecord.trim(before)]))

    def config(self) -> StreamConfig:
        """How the stream is set up, defaults filled in."""
        return self._basin.get_stream_config(self.name)

    def reconfigure(self, config: StreamConfig) -> StreamConfig:
        """How the stream is set up after a change of the given fields."""
        return self._basin.reconfigure_stream(self.name, config=config)

    def __repr__(self) -> str:
        return one_line(f"<Stream {self.name} of {self._basin.name}: .read(limit=100), .tail(), .append(df), .live()>")

    def _repr_html_(self) -> str:
        return text(f"Stream {self.name} of {self._basin.name}") + table(("try", "to get"), _TRY)

    def _plan(self, start: Any, limit: int | None, until: Any) -> Plan:
        limit, begin, end = count_of(limit, "limit", S2InputError), start_of(start), None
        if until is not None:
            stop = place_of(until, "until")
            if isinstance(stop, Moment):
                end = max(0, stop.milliseconds)
            else:
                # The service ends a read at a time, or after so many records: a position is so many after the first.
                ranged = self.source()
                first = begin.value if isinstance(begin, SeqNum) else ranged.at(place_of(start))
                count = max(0, ranged.at(stop) - first)
                begin, limit = SeqNum(first), count if limit is None else min(limit, count)
        # Bounded, or told to wait for nothing: a read for a frame ends at the tail.
        wait = None if limit is not None or until is not None else 0
        return plan_of(begin, ReadLimit(count=limit), end, False, wait)

    def _columns(self, plan: Plan, commands: bool, seen: Any) -> Iterator[RecordColumns]:
        if plan.count == 0:
            return
        try:
            with self._explained():
                yield from bulk.columns(self.client, plan, commands=commands, seen=seen)
        except ReadUnwrittenError:
            return  # at the tail there is nothing, which is no error in a notebook

    def _expected(self, plan: Plan) -> int | None:
        """How many records will come, as far as a bar needs to know and the service can tell."""
        if not progress.wanted() or (plan.count is not None and plan.count <= bulk.SMALL):
            return plan.count
        if isinstance(plan.start, TailOffset):
            most = plan.start.value
        elif isinstance(plan.start, SeqNum) and plan.until is None:
            most = max(0, self.position().seq_num - plan.start.value)
        else:
            return plan.count
        return most if plan.count is None else min(most, plan.count)


_TRY = (
    (".read(limit=100)", "records as a DataFrame, from the beginning"),
    ('.read("tail-100"), .tail()', "the newest"),
    (".live()", "records as they come"),
    (".append(df)", "rows appended as JSON"),
    (".arrow(), .to_dask()", "records as a stream of Arrow batches, as a frame of Dask"),
    (".to_parquet(path), kit.sql(query, s=stream)", "records in files; SQL over them"),
    (".fence(token), .trim(n), .config()", "orders to the service"),
)
