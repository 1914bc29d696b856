"""S2 in a notebook: basins, streams, tokens and metrics as DataFrames, and handles on streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...core.clock import Clock
from ...core.completion import Handles, Names
from ...core.environment import Environment
from ...core.explorer import Explorer
from ...core.faces import state_of
from ...core.html import one_line
from ...core.log.looking import LookingThrough
from ...core.log.places import Moment
from ...core.processes import OfOneProcess
from ...core.secrets import Secret, hidden, masked
from ..client.client import SyncS2
from ..client.endpoints import Endpoints, found
from ..configs import BasinConfig, StreamConfig
from ..errors import S2InputError
from ..limits import encryption_key as key_of
from ..settings import Compression, Retry, Timeout
from ..wire.metrics import AccountMetricSet, BasinMetricSet, StreamMetricSet, TimeseriesInterval
from .handle import Stream
from .log_places import place_of
from .tables import info_frame, metric_frame, token_rows

if TYPE_CHECKING:
    import pandas as pd

    from ...core.tables.frames import BodyMode
    from ...live.view import LiveView


CLIENT = SyncS2


def connect(
    environment: Environment | Mapping[str, str],
    *,
    access_token: str | Secret | None = None,
    endpoints: Endpoints | None = None,
    timeout: Timeout | None = None,
    retry: Retry | None = None,
    compression: Compression = Compression.NONE,
    verify: Any = True,
    clock: Clock | None = None,
) -> S2Explorer:
    """Return the explorer for `kit.connect("s2", ...)`; the default endpoints are those of the cloud."""
    environment = Environment(environment)
    access_token, endpoints = hidden(access_token), masked(endpoints)
    endpoints, access_token = found(endpoints, access_token, environment)
    options: dict[str, Any] = {"timeout": timeout, "retry": retry, "compression": compression, "verify": verify}
    return S2Explorer(SyncS2(access_token, endpoints=endpoints, clock=clock, **options))


class S2Explorer(Explorer[SyncS2], Handles[str, "Basin"]):
    """Explore S2: every verb returns a DataFrame or a handle.

    >>> import kit
    >>> with kit.Lab("s2", join=False) as lab:
    ...     lab.s2["demo-shop"]["orders"].read(limit=3)["seq_num"].tolist()
    [0, 1, 2]

    `s2["basin"]["stream"]` gives handles without traffic; Tab completes both names. `client` is the plain client.
    """

    service = "s2"
    title = "S2"
    tree = "kit.s2.explore.browsing"
    shown = '.basins(), .streams(basin), .metrics(set), ["basin"]["stream"]'
    tries = (
        (".basins(), .streams(basin)", "what there is"),
        ('["basin"]["stream"].read(limit=100)', "records as a DataFrame"),
        ('["basin"]["stream"].append(df)', "the rows of a DataFrame appended"),
        (".metrics(set, basin=)", "operations, throughput, storage"),
        (".tokens(), .locations()", "who may do what, and where"),
    )

    def __init__(self, client: SyncS2) -> None:
        super().__init__(client)
        self._names = Names(lambda: [info.name for info in client.list_all_basins()])

    def basins(self, prefix: str = "") -> pd.DataFrame:
        """Return one row per basin, in order of names."""
        return info_frame(self.client.list_all_basins(prefix=prefix, include_deleted=True), "location")

    def streams(self, basin: str, prefix: str = "") -> pd.DataFrame:
        """Return one row per stream of a basin, in order of names."""
        return self[basin].streams(prefix)

    def tokens(self, prefix: str = "") -> pd.DataFrame:
        """Return one row per access token: its id, its expiry, and what it allows, without the credential."""
        return token_rows(self.client.list_all_access_tokens(prefix=prefix))

    def locations(self) -> pd.DataFrame:
        """Return one row per location that basins can be made in."""
        import pyarrow as pa

        from ...core.tables.frames import from_rows

        rows = [{"name": location.name, "is_private": location.is_private} for location in self.client.list_locations()]
        return from_rows(rows, pa.schema([("name", pa.string()), ("is_private", pa.bool_())]))

    def metrics(
        self,
        set: str | None = None,
        *,
        basin: str | None = None,
        stream: str | None = None,
        start: datetime | str | int | None = None,
        end: datetime | str | int | None = None,
        interval: str | None = None,
    ) -> pd.DataFrame:
        """Return a set of metrics as tidy rows: time, metric, value, unit, interval, basin, stream, label.

        For the account: "active-basins", "account-ops". With `basin=`: "storage", "append-ops", "read-ops",
        "append-throughput", "read-throughput", "basin-ops". With `stream=` too: "storage". The first of them, unless
        you say which. `start` and `end` are times, or seconds since 1970; `interval` is "minute", "hour" or "day".
        """
        set = set or ("active-basins" if basin is None else "storage")
        options: dict[str, Any] = {"start": _seconds(start, "start"), "end": _seconds(end, "end")}
        options["interval"] = None if interval is None else _member(TimeseriesInterval, interval, "interval")
        if stream is not None and basin is None:
            raise S2InputError("stream= needs basin= too")
        if basin is None and set not in {metric_set.value for metric_set in AccountMetricSet}:
            for kind, arguments in ((BasinMetricSet, "basin="), (StreamMetricSet, "basin= and stream=")):
                if set in {member.value for member in kind}:
                    raise S2InputError(f"metrics({set!r}) is not a set of the account", hint=f"give {arguments}")
        if basin is None:
            answer = self.client.account_metrics(set=_member(AccountMetricSet, set, "set"), **options)
        elif stream is None:
            answer = self.client.basin_metrics(basin, set=_member(BasinMetricSet, set, "set"), **options)
        else:
            answer = self.client.stream_metrics(basin, stream, set=_member(StreamMetricSet, set, "set"), **options)
        return metric_frame(answer, basin, stream)

    def create_basin(self, name: str, config: BasinConfig | None = None) -> Basin:
        """Create a basin, or reconfigure the existing one; return a handle on it."""
        self.client.ensure_basin(name, config=config)
        self._names.forget()
        return self[name]

    def delete_basin(self, name: str) -> None:
        """Delete a basin with all its streams."""
        self.client.delete_basin(name)
        self._names.forget()

    def __missing__(self, basin: str) -> Basin:
        return Basin(self.client, basin, self._names)

    def _where(self) -> str:
        """Return the address."""
        return state_of(self.client).transport.endpoints.account


class Basin(Handles[str, Stream], LookingThrough, OfOneProcess):
    """A handle on a basin: `basin["stream"]` returns a stream, `streams()` lists them. Made by `s2["name"]`."""

    def __init__(self, client: SyncS2, name: str, basins: Names | None = None) -> None:
        self.name = name
        self._basins = basins or Names(lambda: [info.name for info in client.list_all_basins()])
        self._client = client
        self._basin = client.basin(name)
        self._names = Names(lambda: [info.name for info in self._basin.list_all_streams()])

    def _logs(self, prefix: str) -> dict[str, Stream]:
        with self._basins.explained(self.name, "s2.basins()", "basin_not_found"):
            return {info.name: self[info.name] for info in self._basin.list_all_streams(prefix=prefix)}

    def streams(self, prefix: str = "") -> pd.DataFrame:
        """Return one row per stream, in order of names."""
        with self._basins.explained(self.name, "s2.basins()", "basin_not_found"):
            return info_frame(self._basin.list_all_streams(prefix=prefix, include_deleted=True), "cipher")

    def read_many(
        self,
        prefix: str = "",
        *,
        streams: Iterable[str] | None = None,
        start: Any = 0,
        limit: int | None = None,
        until: Any = None,
        body: BodyMode = "auto",
        types: Mapping[str, Any] | None = None,
        commands: bool = False,
        at_once: int = 8,
        max_bytes: int = 2 * 1024**3,
    ) -> pd.DataFrame:
        """Return the records of all streams whose names begin with `prefix`, or of those named, as one DataFrame.

        Columns: `stream`, then those of `read`; in order of names, each stream in its own order. `start`, `limit` and
        `until` are those of `read`, for each stream. `at_once` are read side by side. A stream that cannot be read, or
        not to its end, is reported by a warning and in `df.attrs["failed"]`, by name, and the records read so far are
        kept; the same holds for what would be more than `max_bytes` of records together.

        >>> import kit
        >>> with kit.Lab("s2", join=False) as lab:
        ...     lab.s2["demo-shop"].read_many(streams=["clicks", "orders"], limit=2)["stream"].tolist()
        ['clicks', 'clicks', 'orders', 'orders']
        """
        from .read_many import read_many

        if not isinstance(prefix, str):
            raise S2InputError(f"a prefix must be text, not {type(prefix).__name__}", hint="for several: streams=[...]")
        if isinstance(streams, str):
            raise S2InputError("streams= takes a list of names", hint=f"streams=[{streams!r}], or prefix=")
        names = [info.name for info in self._basin.list_all_streams(prefix=prefix)] if streams is None else [*streams]
        handles = [self[name] for name in names]
        return read_many(handles, start, limit, until, body, types, commands, at_once, max_bytes, {"basin": self.name})

    def live(
        self,
        prefix: str = "",
        *,
        start: Any = "tail",
        body: BodyMode = "auto",
        where: Any = None,
        tolerance: float = 1.0,
        rows: int = 20,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        from_checkpoint: Any = None,
        **columns: Any,
    ) -> LiveView:
        """Return a live view of all streams whose names begin with `prefix`: their records in the order of time.

        Streams are those that exist now; `source` says which one a record is from. `tolerance` is how many seconds a
        record waits for older ones of other streams; see `kit.Feed` for this, for `where` and for the bounds.
        """
        from ...live.feed.adapters import source_of
        from ...live.feed.merged import Merged
        from ...live.view import live

        if not isinstance(prefix, str):
            raise S2InputError(f"a prefix must be text, not {type(prefix).__name__}")
        names = [info.name for info in self._basin.list_all_streams(prefix=prefix)]
        if not names:
            raise S2InputError(f"{self.name} has no stream that starts with {prefix!r}", hint="see .streams()")
        source = Merged([source_of(self[name], start=start, body=body) for name in names], tolerance)
        bounds = {"max_rows": max_rows, "max_bytes": max_bytes, "from_checkpoint": from_checkpoint}
        return live(source, rows, where, bounds, columns)

    def create(self, name: str, config: StreamConfig | None = None) -> Stream:
        """Create a stream, or reconfigure the existing one; return a handle on it."""
        self._basin.ensure_stream(name, config=config)
        self._names.forget()
        return self[name]

    def delete(self, name: str) -> None:
        """Delete a stream with all its records."""
        self._basin.delete_stream(name)
        self._names.forget()

    def config(self) -> BasinConfig:
        """Return the configuration of the basin."""
        return self._client.get_basin_config(self.name)

    def stream(self, name: str, *, encryption_key: bytes | str | Secret | None = None) -> Stream:
        """Return a handle on a stream; the key is for basins with encryption."""
        encryption_key = key_of(encryption_key)
        return Stream(self._basin.stream(name, encryption_key=encryption_key), self._basin, self._names, self._basins)

    __missing__ = stream

    def __repr__(self) -> str:
        return one_line(f'<Basin {self.name}: .streams(), .create(name), ["stream"]>')


def _member(kind: Any, given: Any, what: str) -> Any:
    if isinstance(given, kind):
        return given
    try:
        return kind(given)
    except ValueError:
        choices = ", ".join(repr(member.value) for member in kind)
        raise S2InputError(f"{what}={given!r} is not allowed", hint=f"choose one of {choices}") from None


def _seconds(given: datetime | str | int | None, what: str) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    place = place_of(given, what)
    if not isinstance(place, Moment):
        raise S2InputError(f"{what}={given!r} is not a time", hint="give a time with a zone, or seconds since 1970")
    return place.milliseconds // 1000
