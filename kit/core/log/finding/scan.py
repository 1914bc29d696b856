"""The receipt of a search: what was looked at, whether that was all, and where to continue.

A frame that was found carries it as plain figures in `df.attrs["scan"]`, and as a `Scan` in `df.kit.scan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, cast

from ...errors import InputError
from ...html import one_line, table, text


@dataclass
class Scan:
    """What a search has looked at. Ranges of positions exclude their end."""

    source: str = ""
    """The log, or the logs."""
    question: str = ""
    start: int = 0
    """The first position that was asked for."""
    stop: int = 0
    """The position after the last that was asked for."""
    begin: int = 0
    """The first position that was looked at."""
    end: int = 0
    """The position after the last that was looked at."""
    newest_first: bool = False
    open: bool = False
    """Whether the search ended at the newest record, so that there may be more by now."""
    records: int = 0
    bytes: int = 0
    """Bytes of bodies that were looked at."""
    found: int | None = 0
    """How many matches there are; None for a scan without a question."""
    first_time: int | None = None
    """Milliseconds since 1970 of the earliest record that was looked at, where records carry times."""
    last_time: int | None = None
    complete: bool = False
    """Whether all that was asked for was looked at."""
    why: str = ""
    """Why the search ended."""
    seconds: float = 0.0
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of a search through several logs: the receipt of each."""

    @property
    def rest(self) -> tuple[int, int]:
        """The positions that were not looked at: the first, and the one after the last."""
        return (self.start, self.begin) if self.newest_first else (self.end, self.stop)

    @property
    def next(self) -> int:
        """Where to continue: the next position, or with `newest_first` the position before which to search."""
        return self.begin if self.newest_first else self.end

    @property
    def times(self) -> tuple[datetime, datetime] | None:
        """When the earliest and the latest record are from that were looked at; None where records carry no times."""
        if self.first_time is None or self.last_time is None:
            return None
        return cast(
            "tuple[datetime, datetime]",
            tuple(datetime.fromtimestamp(one / 1000, UTC) for one in (self.first_time, self.last_time)),
        )

    def saw(self, first: int, last: int) -> None:
        """Take note of times of records that were looked at."""
        self.first_time = first if self.first_time is None else min(self.first_time, first)
        self.last_time = last if self.last_time is None else max(self.last_time, last)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, as a frame's attrs keep them: JSON takes them."""
        return asdict(self)

    @classmethod
    def of(cls, given: Any) -> Scan:
        """Return the receipt that a frame carries, that an error or an interrupt left behind, or that is given itself.

        >>> Scan.of({"found": 2}).found
        2
        """
        if isinstance(given, Scan):
            return given
        given = getattr(given, "partial", given)
        attrs = getattr(given, "attrs", None)
        receipt = attrs.get("scan") if isinstance(attrs, Mapping) else given
        known = {one.name for one in fields(cls)}
        if not isinstance(receipt, Mapping) or not receipt or not set(receipt) <= known:
            raise InputError("resume= is not a receipt", hint="give the frame that find() gave, or its attrs['scan']")
        return cls(**receipt)

    def __str__(self) -> str:
        where = "" if self.parts else f" at {self.begin:,} to {max(self.begin, self.end - 1):,}" if self.records else ""
        looked = f"{self.records:,} records ({size_of(self.bytes)}){where} were looked at"
        if self.found is None:
            return one_line(f"{looked} of {self.source}, {self.why}")
        goes = ""
        if not self.complete:
            goes = "; find(..., resume=df) goes on"
            if not self.parts:
                goes += f" {'before' if self.newest_first else 'at'} {self.next:,}"
        return one_line(f"found {self.found:,} in {self.source}: {looked}, {self.why or 'and no more'}{goes}")

    def __repr__(self) -> str:
        return f"<Scan: {self}>"

    def _repr_html_(self) -> str:
        rows: list[tuple[Any, Any]] = [("asked", self.question)]
        if self.found is not None:
            rows.append(("found", f"{self.found:,}"))
        rows.append(("looked at", f"{self.records:,} records, {size_of(self.bytes)}, in {self.seconds:.1f} s"))
        if not self.parts:
            rows.append(("positions", f"{self.begin:,} up to {self.end:,}, of {self.start:,} up to {self.stop:,}"))
        if (times := self.times) is not None:
            rows.append(("times", " to ".join(f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in times)))
        rows.append(("all of it", "yes" if self.complete else f"no: {self.why}"))
        return text(self) + table(("", ""), rows)


def size_of(count: float) -> str:
    """Return a number of bytes as a person reads it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
