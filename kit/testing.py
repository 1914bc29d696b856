"""For tests of code that uses kit: a private lab, which can be made to misbehave, a clock, and checks for logs.

from kit.testing import check_log, private_lab

with private_lab("s2") as lab:
    check_log(lambda: lab.s2["demo-shop"].create(new_name()))
    lab.faults("s2", "reset", count=2)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from .core.clock import Clock as _Clock

if TYPE_CHECKING:
    import pandas as pd

    from .core.log.log import Log
    from .lab.lab import Lab

__all__ = ["LOG_CHECKS", "Clock", "check_log", "private_lab"]

Make: TypeAlias = "Callable[[], Log[Any]]"
"""A function that creates a new, empty log with a new name on each call."""
_ROWS = [{"n": n, "city": ("Oslo", "Bergen", "Tromsø")[n % 3], "total": n / 8} for n in range(40)]


def private_lab(*services: str, demo: bool = False, **options: Any) -> Lab:
    """Return a private lab without demo data; `lab.faults(...)` makes it misbehave."""
    from .lab.lab import Lab

    return Lab(*services, demo=demo, join=False, **options)


class Clock(_Clock):
    """A clock that goes on only when a client waits by it, or by `advance`: pauses between tries take no time.

    >>> clock = Clock()
    >>> with private_lab("amdahl", clock=clock) as lab:
    ...     _ = lab.faults("amdahl", 503, count=2, retry_after=60)
    ...     lab.amdahl.query("select 1 as one")["one"].tolist(), clock.pauses
    ([1], [60.0, 60.0])

    It is given to a client, to `kit.connect` or to a lab's explorers, and only these go by it. `pauses` are the seconds
    that they have waited between tries. Waits for an answer are real, as servers are, and so are those of feeds.
    """

    def __init__(self) -> None:
        self._passed = 0.0
        self._lock = threading.Lock()
        self._begin = super().time(), super().monotonic()
        self.pauses: list[float] = []

    def time(self) -> float:
        return self._begin[0] + self._passed

    def monotonic(self) -> float:
        return self._begin[1] + self._passed

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)

    async def wait(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)  # a client that is told to stop is asked at each pause

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._passed += seconds


def check_log(make: Make) -> None:
    """Check that logs keep what every log promises; an AssertionError says which promise was broken, and how.

    The checks ask no log what it is. `LOG_CHECKS` has them one by one.

    >>> with private_lab("kimberlite") as lab:
    ...     names = (f"check-{n}" for n in range(100))
    ...     check_log(lambda: lab.kimberlite[lab.kimberlite.client.create_stream(next(names))])
    """
    for check in LOG_CHECKS:
        try:
            check(make)
        except AssertionError as error:
            raise AssertionError(f"{check.__name__}: {check.__doc__}\n{error}") from error


def nothing(make: Make) -> None:
    """Check that a log with nothing in it reads as a frame of no rows, with a position and a time."""
    log = make()
    for frame in (log.read(), log.head(), log.tail(), log.read("-1h"), log.read(5, 3)):
        assert len(frame) == 0 and list(frame.columns)[:2] == [log.source().position, "time"], frame
    assert len(log) == log.tail().attrs["tail"] and log, "the next position of a log is its length, and it is true"


def kinds(make: Make) -> None:
    """Check that dicts, frames and Arrow, one or many, are appended as the same records."""
    import pandas as pd
    import pyarrow as pa

    table = pa.Table.from_pylist(_ROWS)
    for data in (_ROWS, pd.DataFrame(_ROWS), table, table.to_reader(), iter(_ROWS)):
        log = make()
        log.append(data)
        assert _rows(log.read()) == _ROWS, f"appended as {type(data).__name__}"
    log = make()
    log.append(_ROWS[0])
    assert _rows(log.read()) == _ROWS[:1]


def values(make: Make) -> None:
    """Check that texts and bytes come back as they were, and that what is not JSON keeps its bytes and is counted."""
    log = make()
    texts = ["a", "ä\N{SNOWMAN}", '"quoted"', "two\nlines", ""]
    log.append(texts)
    assert log.read(body="text").iloc[:, -1].tolist() == texts
    log = make()
    log.append([{"a": 1}, "no object", {"a": 2}])
    frame = log.read(body="json")
    assert frame.attrs["undecoded"] == 1 and frame["a"].dropna().tolist() == [1, 2]
    assert [b"no object" in bytes(value) for value in frame[log.source().body].dropna()] == [True]


def refused(make: Make) -> None:
    """Check that bad input is refused with its row and nothing is appended, and that bad arguments are refused."""
    from .core.errors import InputError

    log = make()
    log.append(_ROWS)
    length = len(log)
    for call, words in (
        (lambda: log.append([{"a": 1}, {"a": object()}]), "1"),
        (lambda: log.read(colums=["n"]), "columns"),
        (lambda: log.read(columns=["citi"]), "city"),
        (lambda: log.append(_ROWS, bodi="n"), "body"),
        (lambda: log.read(limit=-1), "limit"),
        (lambda: log.tail(-1), "n="),
        (lambda: log.read("lastest"), "latest"),
        (lambda: log.read("15m"), "15m ago"),
        (lambda: log.read(datetime.now()), "zone"),
        (lambda: log.read(types={"n": "no type"}), "n"),
    ):
        try:
            call()
        except InputError as error:
            assert words in str(error), f"{words!r} is not in: {error}"
        else:
            raise AssertionError(f"no error was raised; its message should contain {words!r}")
    assert len(log) == length, "nothing is written by a call that is refused"


def places(make: Make) -> None:
    """Check that `start`, `until` and `limit` cut as a list of Python does, in every form."""
    import numpy as np

    log = make()
    log.append(_ROWS[:25])
    log.append(_ROWS[25:])
    first, stop = log.source().bounds()
    position = log.source().position
    assert log.read()[position].tolist() == list(range(first, stop)) and stop - first == 40
    starts = {"earliest": 0, first + 7: 7, np.uint64(first + 39): 39, "tail-5": 35, "tail-100": 0, "latest": 40}
    untils = {None: 40, first + 20: 20, np.int64(first): 0, "tail-1": 39, "latest": 40, stop + 9: 40}
    for start, begin in starts.items():
        for until, end in untils.items():
            for limit in (None, 3):
                expected = list(range(first, stop))[begin:end][:limit]
                frame = log.read(start, limit, until)
                assert frame[position].tolist() == expected, f"read({start!r}, {limit}, {until!r})"
                assert _rows(frame) == _ROWS[begin:end][:limit]
    rows = log.read(limit=10)
    assert log.read(rows[position].max() + 1, 1)["n"].tolist() == [10], "the next position goes on"
    assert log.head(4)["n"].tolist() == [0, 1, 2, 3] and log.tail(4)["n"].tolist() == [36, 37, 38, 39]
    assert log.tail(2).attrs["tail"] == stop == len(log)


def times(make: Make) -> None:
    """Record are found by time, in every form; a log that carries no times says so."""
    from .core.errors import KitError

    log = make()
    log.append(_ROWS)
    known = log.read()["time"].dropna()
    day = timedelta(days=1)
    if not len(known):
        try:
            log.read("-1h")
        except KitError as error:
            assert "time" in str(error), error
            return
        raise AssertionError("a time was found in a log that has no times")
    assert known.dt.tz is not None and str(known.dt.tz) == "UTC" and known.is_monotonic_increasing
    early, late = known.min().to_pydatetime(), datetime.now(UTC) + day
    for start in (early, early.isoformat(), early - day, "-1d", day, "yesterday"):
        assert len(log.read(start)) == 40, f"from {start!r} on"
    assert not len(log.read(late)) and not len(log.read(until=early - day)) and len(log.read(until=late)) == 40


def columns(make: Make) -> None:
    """Check that chosen columns are those of the whole, also of no records."""
    log = make()
    log.append(_ROWS)
    whole = log.read()
    for names in (["city"], ["total", "n"], "n", [log.source().position, "city"]):
        some = log.read(3, 9, columns=names)
        expected = [names] if isinstance(names, str) else names
        assert list(some.columns) == expected
        assert some.equals(whole[expected].iloc[3:12].reset_index(drop=True)), names
    oslo = [row for row in _ROWS if row["city"] == "Oslo"]
    for where in ("city = Oslo", {"city": "Oslo"}, lambda rows: rows["city"] == "Oslo"):
        assert _rows(log.read(where=where)) == oslo, where
    assert log.read(4, 2, where="city = Oslo", columns="n")["n"].tolist() == [6, 9]
    none = log.read(limit=0)
    assert len(none) == 0 and dict(none.dtypes) == dict(whole.dtypes), "no records have the dtypes of all"


def tables(make: Make) -> None:
    """Check that Arrow, polars, SQL, Parquet and Dask have the rows of `read`; each Arrow stream is its own."""
    import tempfile

    import pyarrow as pa

    from .core.errors import SetupError
    from .engines.joining import sql

    log = make()
    log.append(_ROWS)
    whole = log.read()
    table_of_log: Any = log.read(into="arrow")
    for table in (pa.table(log), log.arrow().read_all(), table_of_log):
        assert table.column_names == list(whole.columns) and table.select(list(_ROWS[0])).to_pylist() == _ROWS
    assert log.arrow(5, 3, body="json").read_all()["n"].to_pylist() == [5, 6, 7]
    with tempfile.TemporaryDirectory() as folder:
        scan = log.to_parquet(folder)
        assert pa.table(scan).select(list(_ROWS[0])).to_pylist() == _ROWS
        log.append(_ROWS[:2])
        assert pa.table(log.to_parquet(folder)).num_rows == 42, "the same call again writes what came since"
    try:
        assert sql("select sum(n) as s from log", log=log)["s"].tolist() == [sum(range(40)) + 1]
        if "to_dask" not in type(log).lacks:
            assert log.to_dask(partitions=3).compute()["n"].tolist() == [*range(40), 0, 1]
    except SetupError:
        pass  # DuckDB or Dask is not installed


def searched(make: Make) -> None:
    """Check that `find` returns the right records from either end and resumes from its receipt; `profile` counts."""
    log = make()
    log.append(_ROWS)
    name, position = "n", log.source().position
    expected = _ROWS[30:]
    for question in ({"where": "n >= 30"}, {"path": "$.n >= 30"}, {"where": lambda frame: frame[name] >= 30}):
        matches = log.find(**question)
        assert _rows(matches) == expected and matches.kit.scan.complete, question
        first = log.find(**question, limit=3, newest_first=True)
        rest = log.find(**question, resume=first)
        assert _rows(first) + _rows(rest) == expected[::-1] and not first.kit.scan.complete, question
    scan = log.find(f'"n":{_ROWS[7][name]},', context=1, limit=1).kit.scan
    assert (scan.found, scan.records) in ((1, 8), (0, len(_ROWS))), "a limit stops at the last match"
    assert log.find(where=f"{position} >= 35").kit.scan.records == len(_ROWS) - 35, "ruled out by position is not read"
    profile = log.profile()
    assert (
        profile.records == len(_ROWS) and set(_ROWS[0]) <= set(profile.df["field"]) and not profile.df["missing"].any()
    )


def copied(make: Make) -> None:
    """Check that a copy has the same records, each once, and that the same call continues where it stopped."""
    import tempfile
    from pathlib import Path

    log, target = make(), make()
    log.append(_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.json")
        log.copy_to(target, until=15, checkpoint=path)
        result = log.copy_to(target, checkpoint=path)
        assert _rows(target.read()) == _ROWS and result.records == len(_ROWS) and not result.uncertain
        log.to_jsonl(Path(folder, "x.jsonl"))
        again = make()
        again.append(Path(folder, "x.jsonl"))
        assert _rows(again.read()) == _ROWS, "lines come back as they were"


def live(make: Make) -> None:
    """Check that a feed has each record once and in order, from a place on, or from now on."""
    from .live.feed.feed import Feed

    log = make()
    log.append(_ROWS[:10])
    with Feed(log, start=4) as old, Feed(log) as new:
        old.wait(n=6, timeout=20)
        log.append(_ROWS[10:])
        old.wait(n=36, timeout=20)
        assert old.df["n"].tolist() == list(range(4, 40))
        new.wait(n=30, timeout=20)
        assert new.df["n"].tolist() == list(range(10, 40))


def gaps(make: Make) -> None:
    """Check that what a log lacks raises by name, with the reason and what to do instead."""
    log = make()
    for name, gap in type(log).lacks.items():
        try:
            getattr(log, name)()
        except log.refuse as error:
            assert name in str(error) and gap.why in str(error) and gap.instead in str(error), error
        else:
            raise AssertionError(f"{name} is declared as missing, but works")


def shown(make: Make) -> None:
    """Check that it shows itself in one line, and as HTML."""
    log = make()
    assert str(log.name) in repr(log) and "\n" not in repr(log) and "<table" in log._repr_html_()


LOG_CHECKS: tuple[Callable[[Make], None], ...] = (
    nothing, kinds, values, refused, places, times, columns, tables, searched, copied, live, gaps, shown,
)  # fmt: skip
"""The checks of `check_log`, for `pytest.mark.parametrize`."""


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Return the records as they were appended."""
    return frame[list(_ROWS[0])].to_dict("records")
