"""Kimberlite in a notebook: SQL, streams, tables and metrics as DataFrames."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core import progress
from ...core.completion import Handles, Listing, Names
from ...core.environment import Environment, missing, origin
from ...core.errors import SetupError, warn
from ...core.explorer import Explorer
from ...core.faces import state_of
from ...core.log.declared import named
from ...core.log.looking import LookingThrough
from ...core.secrets import Secret, hidden, masked
from ..client import sql
from ..client.address import tenant_of
from ..client.client import Client
from ..client.sql import ExecuteResult
from ..client.stream_registry import StreamLike
from ..errors import KimberliteError, KimberliteInputError
from ..types import Position, StreamId, TenantId
from ..wire.protocol.enums import DataClass
from ..wire.protocol.structs import Audit
from .handle import Stream

if TYPE_CHECKING:
    import pandas as pd


METRICS_PORT = 9090


CLIENT = Client


def connect(
    environment: Environment | Mapping[str, str],
    *,
    address: str | Sequence[str] | None = None,
    api_key: str | Secret | None = None,
    tenant_id: TenantId | int | None = None,
    metrics_url: str | None = None,
    **options: Any,
) -> Kimberlite:
    """Return the explorer for `kit.connect("kimberlite", ...)`; other options are those of `kit.kimberlite.Client`."""
    environment = Environment(environment)
    address, metrics_url, api_key = masked(address), masked(metrics_url), hidden(api_key)
    named = environment.address("KIMBERLITE_ADDRESS")
    if api_key is None:
        api_key = environment.secret_for("KIMBERLITE_API_KEY", address, [named])
    if tenant_id is None:
        tenant_id = tenant_of(environment)
    if metrics_url is None and (address is None or (named and origin(address) == origin(named))):
        metrics_url = environment.address("KIMBERLITE_METRICS_URL")
    address = address or named
    lacking = missing(
        "kimberlite",
        (address, "an address", "address", "KIMBERLITE_ADDRESS"),
        (tenant_id is not None, "a tenant", "tenant_id", "KIMBERLITE_TENANT"),
    )
    if lacking is not None:
        raise lacking
    return Kimberlite(Client(address, tenant_id, api_key, **options), metrics_url)


class Kimberlite(Explorer[Client], Handles[StreamLike, Stream], LookingThrough):
    """Explore Kimberlite: every verb returns a DataFrame.

    `client` is the plain client. A stream is given by its name, its number, or a `StreamId`. Tab completes streams in
    `k["`, and tables in `k.tables["`.
    """

    service = "kimberlite"
    title = "Kimberlite"
    tree = "kit.kimberlite.explore.browsing"
    shown = ".query(sql), .streams(), .tables()"
    tries = (
        (".streams(), .tables(), .describe(table)", "what there is"),
        ('.query("select ... where x = $1", value)', "rows, typed as the columns are declared"),
        (".query(sql, at=bookmark)", "the same as it was; bookmark = .position()"),
        (".insert(table, df)", "the rows of a DataFrame as rows of a table"),
        (".read(stream, start=, limit=)", "events as a DataFrame"),
        (".live(stream)", "events as they come"),
        (".append(stream, df)", "the rows of a DataFrame as events"),
        (".server(), .metrics()", "how the server is"),
    )

    def __init__(self, client: Client, metrics_url: str | None = None) -> None:
        super().__init__(client)
        tables = Names(lambda: [table.name for table in client.list_tables()])
        self.tables = Listing("tables", self._all_tables, self.describe, tables)
        """The tables: call it for a frame, index it for the columns of one."""
        self._metrics_url = metrics_url
        self._names = Names(lambda: [row.name or str(row.number) for row in client.list_streams() if not row.hidden])

    def query(self, sql_text: str, *params: Any, at: Any = None, audit: Audit | None = None) -> pd.DataFrame:
        """Return the rows of a SELECT with the declared types of the columns; an empty result has the same types.

        Parameters stand as `$1`, `$2` in the text. `at` reads the tables as they were: at a position as `position()`
        tells it, or at a time. Columns that stayed text although they are declared otherwise are listed in
        `df.attrs["as_text"]`; a result that was cut by the server says so by a warning, and in `attrs["truncated"]`.
        Columns have the names and the order of the SELECT, `AS` included, also where the server forgets them.
        """
        from ..wire.extensions import TYPES_MARK
        from ..wire.results import result_columns
        from .tables import capped, declared_types, mentioned, result_frame

        client = self.client
        if sql.is_write(sql_text):
            raise KimberliteInputError(
                "query() only reads, and this changes something",
                hint="use execute(sql, *params)",
            )
        state = state_of(client)
        payload = state.driver.run(
            sql.query_payload(state.registry, sql_text, params, at, state.settings.tenant_id, audit)
        )
        declared: dict[str, str] = {}
        if not state.extensions.types or TYPES_MARK.encode() not in payload[-65536:]:
            names = mentioned(sql_text, client.list_tables())
            declared = declared_types({name: client.describe_table(name) for name in names})
        result = result_columns(payload, declared, sql_text)
        attrs: dict[str, Any] = {"truncated": False}
        if not state.extensions.events and (note := capped(len(result))):
            attrs = {"truncated": True, "note": note}
            warn(note)
        return result_frame(result, attrs)

    def execute(self, sql_text: str, *params: Any, audit: Audit | None = None) -> ExecuteResult:
        """Run a statement (CREATE TABLE, INSERT, UPDATE, DELETE); return how many rows it changed. Never
        repeated automatically."""
        self.tables.forget()
        return self.client.execute(sql_text, params, audit=audit)

    def insert(self, table: str, data: Any, *, audit: Audit | None = None) -> pd.DataFrame:
        """Insert the rows of a DataFrame, an Arrow table, or dicts; return `rows` and `log_offset` of each statement.

        Columns are found by name and written by their declared types, every digit of them. What a column cannot hold
        is refused before anything is sent, with its row and column. Rows go some hundred to a statement: on the lab
        each statement is written whole or not at all. After an error, its `inserted` says how many rows are there.

        >>> import kit, pandas as pd
        >>> from decimal import Decimal
        >>> with kit.Lab("kimberlite", join=False) as lab:
        ...     k = lab.kimberlite
        ...     _ = k.execute("CREATE TABLE prices (id BIGINT PRIMARY KEY, price DECIMAL(9,2))")
        ...     _ = k.insert("prices", pd.DataFrame({"id": [1, 2], "price": [Decimal("1.10"), Decimal("2.5")]}))
        ...     k.query("SELECT * FROM prices ORDER BY id")["price"].tolist()
        [Decimal('1.10'), Decimal('2.50')]
        """
        import pyarrow as pa

        from ...core.tables.frames import to_frame
        from .inserting import statements

        statements_of = statements(
            table, self.client.describe_table(table), data, lab=state_of(self.client).extensions.types
        )
        results = []
        with progress.bar(
            sum(one.rows for one in statements_of), what=f"insert into {table}"[:40], unit=" rows"
        ) as bar:
            for item in statements_of:
                try:
                    results.append((item.rows, self.client.execute(item.sql, item.params, audit=audit).log_offset))
                except KimberliteError as error:
                    error.inserted = sum(rows for rows, _ in results)  # type: ignore[attr-defined]
                    raise
                bar.update(item.rows)
        return to_frame(
            pa.table(
                {
                    "rows": pa.array([rows for rows, _ in results], pa.int64()),
                    "log_offset": pa.array([at for _, at in results], pa.int64()),
                }
            ),
            {"table": table, "inserted": sum(rows for rows, _ in results)},
        )

    def position(self) -> Position:
        """Return a bookmark: `query(..., at=bookmark)` sees the tables as they are now."""
        return self.client.position()

    read = named(Stream.read, "stream", "StreamLike")
    append = named(Stream.append, "stream", "StreamLike")
    live = named(Stream.live, "stream", "StreamLike")
    subscribe = named(Stream.subscribe, "stream", "StreamLike")

    def _logs(self, prefix: str) -> dict[str, Stream]:
        rows = [row for row in self.client.list_streams() if not row.hidden]
        named = {row.name or str(row.number): self[row.name or row.number] for row in rows}
        return {name: named[name] for name in sorted(named) if name.startswith(prefix)}

    def streams(self) -> pd.DataFrame:
        """Return one row per stream: id, number, name, length. See `Client.list_streams` for real servers."""
        from .tables import stream_frame

        return stream_frame(self.client.list_streams())

    def create(self, name: str, data_class: DataClass | None = None) -> StreamId:
        """Return the stream of that name, created if it does not exist."""
        self._names.forget()
        return self.client.create_stream(name, data_class)

    def _all_tables(self) -> pd.DataFrame:
        """Return one row per table: name and number of columns."""
        from .tables import table_frame

        return table_frame(self.client.list_tables())

    def describe(self, table: str) -> pd.DataFrame:
        """Return one row per column of a table: column, type, nullable, primary_key."""
        from .tables import column_frame

        return column_frame(self.client.describe_table(table))

    def server(self) -> pd.DataFrame:
        """Return one row about the server: version, capabilities, uptime."""
        from ...core.tables.frames import from_rows

        info = self.client.server_info()
        return from_rows(
            [
                {
                    "address": state_of(self.client).settings.where,
                    "version": info.build_version,
                    "protocol": info.protocol_version,
                    "mode": info.cluster_mode.name.lower(),
                    "uptime_seconds": info.uptime_secs,
                    "tenants": info.tenant_count,
                    "capabilities": ", ".join(info.capabilities),
                }
            ]
        )

    def metrics(self) -> pd.DataFrame:
        """Return the server's own counters as tidy rows: time, metric, value, unit, and a column per label.

        They come from its HTTP side port, 9090 on the same host unless `metrics_url=` or KIMBERLITE_METRICS_URL says
        otherwise.
        """
        from ...core.http.exchange import Driver, Settings
        from ...core.http.operations import Request, call
        from ...core.http.retry import Policy
        from .tables import metric_frame

        url, server = self._metrics_url, state_of(self.client).settings
        if url is None:
            place = server.places[0]
            url = f"http://{place._replace(port=METRICS_PORT)}"
        base = url.rstrip("/").removesuffix("/metrics")
        # The lab's port needs the key; it is never sent to another host than the server's.
        host = base.removeprefix("http://").removeprefix("https://").rpartition(":")[0]
        own = host.strip("[]") in {place.host for place in server.places}
        driver = Driver(Settings("kimberlite", base, server.api_key if own else None))
        try:
            # The real server closes the connection after each answer, and may cut a long one.
            request = Request("GET", "/metrics", op="metrics", safe=True, limit=16 * 1024 * 1024)
            response = driver.run(call(request, Policy(attempts=3, base=0.1)))
        finally:
            driver.close()
        if not response.ok:
            raise SetupError(f"{base}/metrics answered with status {response.status}", hint="give metrics_url=")
        return metric_frame(response.text(), time.time())

    def __missing__(self, stream: StreamLike) -> Stream:
        return Stream(self.client, stream, self._names)

    def _where(self) -> str:
        """Return the address, and whose data it is."""
        settings = state_of(self.client).settings
        return f"{settings.where}, tenant {settings.tenant_id}"
