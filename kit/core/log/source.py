"""What each service implements for its logs, and all verbs use: reading by position, appending, following."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import InputError, KitError
from ..words import nearest
from .places import At, FromEnd, Place, place_of

if TYPE_CHECKING:
    from ..secrets import Secret
    from ..tables.frames import BodyMode


@dataclass(frozen=True)
class Piece:
    """The records from `first` up to, not including, `stop`; there are fewer rows where some are hidden."""

    first: int
    stop: int
    batch: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Pages:
    """The records of one read as they arrive, and the expected number of them for a progress bar."""

    batches: Iterator[pa.RecordBatch]
    total: Callable[[], int | None]


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of an append: its first position where the service tells it, the count, and the service's answer."""

    first: int | None
    count: int
    answer: Any


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Records that are encoded and not sent: how many there are, where that is known, and what sends them.

    `send` takes a function and calls it with the number of further records that have arrived.
    """

    count: int | None
    send: Callable[[Callable[[int], Any]], Sent]


class Moved(Exception):
    """The log ends at `actual`, so this try appended nothing; an earlier one, if `unsure`, may have."""

    def __init__(self, actual: int | None, *, unsure: bool = False) -> None:
        super().__init__(actual)
        self.actual, self.unsure = actual, unsure


class Ranged(ABC):
    """A source of records by position. Making one causes no traffic; reading does."""

    label: str
    """Its name in errors and in files."""
    position: str
    """The column of positions, the first of `head`."""
    head: pa.Schema
    """The columns beside the bodies."""
    optional: tuple[str, ...] = ()
    """Columns of lists that are only shown where a record has items in them."""
    body: str = "body"
    unit: str = "records"
    refuse: type[KitError] = InputError
    """The error that is raised for a wrong argument."""
    checks: bool = False
    """Whether `put` writes all or nothing, and nothing unless the log ends at the position that it is given."""
    keeps: tuple[str, ...] = ()
    """Columns beside the bodies that `put` can write."""

    @abstractmethod
    def bounds(self) -> tuple[int, int]:
        """Return the first position there is, and the one that the next record will get."""

    @abstractmethod
    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        """Yield the records of a range, in order: the columns of `head`, then the raw body."""

    def stop(self) -> int:
        """Return the position that the next record will get."""
        return self.bounds()[1]

    def pages(self, start: Place, limit: int | None, until: Place | None) -> Pages:
        """Return the records from a place on, up to another or to the end as it is now, as `shown` takes them."""
        bounds = self.bounds()
        return self.between(bounds, self.at(start, bounds), limit, until)

    def between(self, bounds: tuple[int, int], first: int, limit: int | None, until: Place | None) -> Pages:
        """Return the records from a position on, as far as the log has them."""
        first = max(bounds[0], first)
        stop = bounds[1] if until is None else min(bounds[1], self.at(until, bounds))
        stop = max(first, stop if limit is None else min(stop, first + limit))
        return Pages((piece.batch for piece in self.pieces(first, stop)), lambda: stop - first)

    def shown(
        self, pages: Sequence[pa.RecordBatch], body: BodyMode, types: Mapping[str, pa.DataType]
    ) -> tuple[pa.Table, dict[str, Any]]:
        """Return records in the form of a frame, and the decisions about them for `df.attrs`."""
        table = pa.Table.from_batches(pages, pa.schema([*self.head, (self.body, pa.binary())]))
        return shown(table, self.body, body, types, as_text=self.as_text)

    def place(self, moment: int, *, last: bool = False) -> int | None:
        """Return the position of the first record at or after a time, in milliseconds; None if the service cannot tell.

        With `last`, the position after the last record before the time; both are one where times never go back.
        """
        return None

    def as_text(self, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return bodies of text in their displayed form."""
        return texts

    def time_at(self, position: int) -> int | None:
        """Return the time of the record at a position, in milliseconds; None where records carry no times."""
        return None

    def placed(self, given: Any, what: str = "start") -> Place:
        """Return the position that a caller means; raise if it is not one."""
        return place_of(given, what, self.refuse)

    def at(self, place: Place, bounds: tuple[int, int] | None = None) -> int:
        """Return the position of a place in the log; of a time that of the first record at or after it."""
        if isinstance(place, At):
            return place.position
        if isinstance(place, FromEnd):
            first, stop = bounds or self.bounds()
            return max(first, stop - place.count)
        position = self.place(place.ceiling)
        if position is None:
            position = self._bisected(place.ceiling, *(bounds or self.bounds()))
        return position

    def _bisected(self, moment: int, first: int, stop: int) -> int:
        """Return the first position whose record is not before a time, asked one at a time."""
        low, high = first, stop
        while low < high:
            middle = (low + high) // 2
            time = self.time_at(middle)
            if time is None:
                raise self.refuse(
                    f"{self.label}: its {self.unit} carry no times, so positions cannot be found by time",
                    hint='give a position, or "tail-100"',
                )
            low, high = (middle + 1, high) if time < moment else (low, middle)
        return low

    def start(self, given: Any) -> int:
        """Return the position that a caller's `start` means."""
        return self.at(self.placed(given, "start"))

    def until(self, given: Any) -> int:
        """Return the position that a caller's `until` means; the range excludes it."""
        return self.at(self.placed(given, "until"))

    def known(self, columns: Collection[str] | str, names: Sequence[str]) -> list[str]:
        """Return the columns that a caller wants, all of which have to be there."""
        chosen = [columns] if isinstance(columns, str) else [*columns]
        for name in chosen:
            if name not in names:
                raise self.refuse(
                    f"columns={chosen}: {self.label} has no column {name!r}",
                    hint=nearest(str(name), names) or f"there are {', '.join(names)}; name later ones with types=",
                )
        return chosen

    def outgoing(self, data: Any, *, body: str | None = None) -> Outgoing:
        """Return the encoded records of an append; raise if a value cannot be stored. Nothing is sent yet."""
        raise self.refuse(f"{self.label} cannot be appended to from here")

    def write(self, data: Any, *, once: bool, **options: Any) -> tuple[int | None, int]:
        """Append, and return where the records are now, and how many; with `once` nothing is ever sent twice."""
        sent = self.outgoing(data, **options).send(lambda count: None)
        return sent.first, sent.count

    def fitting(self, page: pa.RecordBatch) -> int:
        """Return how many of the first rows of a page `put` takes at once, at least one."""
        return int(page.num_rows)

    def put(self, page: pa.RecordBatch, end: int) -> int:
        """Append the rows of a page where the log ends at a position; return where the first one is.

        Where the log `checks`, and ends elsewhere, nothing is written and `Moved` is raised.
        """
        sent = self.outgoing(self.given(page.column("body").to_pylist())).send(lambda count: None)
        return end if sent.first is None else sent.first

    def content(self, bodies: pa.Array) -> pa.Array:
        """Return raw bodies as they were given, which is what another log is to have."""
        return bodies

    def given(self, bodies: Sequence[bytes]) -> Sequence[Any]:
        """Return bodies that another log has as `outgoing` takes them for the same."""
        return bodies

    def same(self, body: bytes, stored: bytes) -> bool:
        """Return whether a stored body equals the one that was appended."""
        return body == stored

    def follow(self, start: Place, body: BodyMode, types: Mapping[str, Any] | None) -> Any:
        """Return the source of a feed from a position on."""
        raise self.refuse(f"{self.label} cannot be followed")

    def close(self) -> None:  # noqa: B027  most have none of their own
        """Close the connection, where it is the source's own."""

    @abstractmethod
    def recipe(self) -> tuple[Callable[..., Ranged], tuple[Any, ...], dict[str, Secret]]:
        """Return how another process makes the same source: a function, arguments without secrets, secrets by name."""


def shown(
    rows: pa.Table,
    raw: str,
    body: BodyMode,
    types: Mapping[str, pa.DataType] | None,
    *,
    as_text: Callable[[pa.ChunkedArray], pa.ChunkedArray] | None = None,
    fast: bool = True,
) -> tuple[pa.Table, dict[str, Any]]:
    """Return records with the bodies of the column `raw` in the form of a frame, and the decisions about them.

    `as_text` gives bodies of text in their displayed form; `fast=False` avoids, for few rows, what the fast JSON reader
    takes to start.
    """
    from ..tables.frames import expand_bodies

    table = rows.drop_columns([raw])
    expanded = expand_bodies(rows[raw], body, taken=table.column_names, raw=raw, types=types, fast=fast)
    for name, column in expanded.columns.items():
        text = as_text is not None and name == raw and expanded.mode == "text"
        table = table.append_column(name, as_text(column) if as_text is not None and text else column)
    return table, expanded.attrs
